# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/architecture.md against the tree: the map of the rooms and the table of files."""

import re
import sys
import xml.etree.ElementTree

import pytest

from dnf_plugin_livepatch.base.paths import Paths
from tests.packaging.support import tree

DOCUMENT = tree.read("docs/architecture.md")
FILES = set(re.findall(r"`(/[^`]*)`", DOCUMENT.split("## Files\n")[1]))
FOLDERS = {"state_dir", "run_dir"}
PROPERTIES = sorted(name for name, value in vars(Paths).items() if isinstance(value, property))


def covered(path):
    """Is ``path`` in the table: itself, or the folder that a row describes?"""
    return any(row == path or row.startswith(path + "/") for row in FILES)


def test_the_map_is_made_from_the_tree():
    made = tree.run(sys.executable, "scripts/architecture").stdout
    assert made in DOCUMENT, "run: scripts/architecture --write"


@pytest.mark.parametrize("name", [name for name in PROPERTIES if name not in FOLDERS])
def test_every_path_is_in_the_table(name):
    value = getattr(Paths(), name)
    for path in (value,) if isinstance(value, str) else value:
        assert covered(path), path


def test_paths_of_a_kernel_are_in_the_table():
    paths = Paths()
    for path in (paths.manifest_dir("R"), paths.module_dir("R"), paths.kept_dir("R")):
        assert covered(path), path


def test_files_that_no_path_names_are_in_the_table():
    assert Paths().run_dir + "/guard.lock" in FILES and Paths().memo("KIND") in FILES


def test_no_file_in_the_table_is_unknown():
    """State and run files in the table have a path in base/paths.py."""
    paths = Paths()
    known = {getattr(paths, name) for name in PROPERTIES if isinstance(getattr(paths, name), str)}
    known |= {paths.memo("KIND"), paths.run_dir + "/guard.lock", paths.run_dir + "/notices.lock"}
    ours = {row for row in FILES if row.startswith((paths.state_dir, paths.run_dir))}
    assert ours - known == set()


def test_the_drawing_names_the_moves_and_the_files_between_them():
    root = xml.etree.ElementTree.fromstring(tree.read("docs/images/how-it-works.svg"))
    words = [item.text for item in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Plan", "Reconcile", "Tell", "request", "result.json"} <= set(words)
