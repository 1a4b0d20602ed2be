# SPDX-License-Identifier: GPL-2.0-or-later
"""Each row of the page on threats names tests that exist."""

import ast
import os
import re

import pytest

from tests.packaging.support import tree

PAGE = "docs/explanation/threats.md"
HEAD = ["controls", "cannot", "remains", "shown by"]
ATTACKERS = (
    "unprivileged local user",
    "not trusted",
    "without a key",
    "not signed",
    "key is stolen",
    "LIVEPATCH_ROOT",
    "vendor's client",
    "livepatch-rpm",
    "publisher or builder",
    "container",
    "power",
)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


SECTIONS = {
    title: [cells(line) for line in text.splitlines() if line.startswith("|")]
    for title, text in re.findall(r"^## (.*)\n((?:(?!## ).*\n?)*)", tree.read(PAGE), re.M)
}
ROWS = [row for table in SECTIONS.values() for row in table[2:]]


def functions(path):
    """The tests in the file ``path``, as pytest collects them."""
    return {
        node.name
        for node in ast.parse(tree.read(path)).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_attacker_has_a_table():
    tables = [title for title, table in SECTIONS.items() if table]
    for words in ATTACKERS:
        assert [title for title in tables if words in title], words
    assert all(table[0] == HEAD for table in SECTIONS.values() if table) and len(ROWS) > 50
    assert "Out of scope" in SECTIONS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[-1])
def test_a_row_says_who_can_do_what_and_its_test_exists(row):
    assert len(row) == len(HEAD) and row[0] and row[1]
    named = re.findall(r"`([^`]*)`", row[-1])
    assert named and re.sub(r"`[^`]*`|[, ]", "", row[-1]) == ""
    for test in named:
        path, _, name = test.partition("::")
        assert os.path.basename(path).startswith("test_") and path.startswith("tests/")
        assert os.path.exists(os.path.join(tree.TOP, path)), path
        assert name in functions(path), test


def test_no_two_rows_rest_on_one_test():
    """A second row with the same test claims more than one test can show."""
    named = [row[-1] for row in ROWS]
    assert [test for test in set(named) if named.count(test) > 1] == []
