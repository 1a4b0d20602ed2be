# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/release, NEWS.md, and the files that a project shows to the outside."""

import os
import re
import shutil
import sys

import pytest
import yaml

import dnf_plugin_livepatch
from tests.packaging.support import tree

VERSION = dnf_plugin_livepatch.__version__
CHANGED = ["NEWS.md", "dnf_plugin_livepatch/__init__.py", "spec/dnf-plugin-livepatch.spec"]
CHANGED += [name for name in tree.tracked() if name.startswith("man/")]


def numbers(version):
    return [int(number) for number in version.split(".")]


def above(version):
    first, second, _ = numbers(version)
    return f"{first}.{second + 1}.0"


@pytest.fixture
def copy(tmp_path):
    """The files that a release changes, with something to tell in NEWS.md."""
    for name in CHANGED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.join(tree.TOP, name), tmp_path / name)
    text = tree.read("NEWS.md")
    (tmp_path / "NEWS.md").write_text(text.replace("\n## ", "\n## Unreleased\n\n* A change.\n\n## ", 1))
    return tmp_path


def release(top, *words):
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1798977600"}
    return tree.run(sys.executable, "scripts/release", "--top", str(top), *words, env=environment)


def texts(top):
    return {name: (top / name).read_text() for name in CHANGED}


def test_a_release_sets_every_version(copy):
    version = above(VERSION)
    done = release(copy, version)
    assert done.returncode == 0, done.stdout
    found = texts(copy)
    assert f'__version__ = "{version}"' in found["dnf_plugin_livepatch/__init__.py"]
    assert re.search(rf"^Version: +{version}$", found["spec/dnf-plugin-livepatch.spec"], re.M)
    assert "%changelog\n* Sun Jan 03 2027 the" in found["spec/dnf-plugin-livepatch.spec"]
    assert f"## {version}\n\n* A change." in found["NEWS.md"] and "Unreleased" not in found["NEWS.md"]
    for name in CHANGED:
        if name.startswith("man/"):
            assert f'2027-01-03 "dnf-plugin-livepatch {version}"' in found[name]
    assert sorted(done.stdout.split()) == sorted(CHANGED)


def test_a_dry_run_shows_the_changes_and_makes_none(copy):
    before, version = texts(copy), above(VERSION)
    done = release(copy, "--dry-run", version)
    assert done.returncode == 0 and texts(copy) == before
    assert re.findall(r"^\+\+\+ b/(.*)$", done.stdout, re.M) and f"+## {version}" in done.stdout


def test_a_second_run_changes_nothing(copy):
    assert release(copy, above(VERSION)).returncode == 0
    assert release(copy, above(VERSION)).stdout == ""


@pytest.mark.parametrize("version", ["0.9.0", "1.1", "1.01.0", "one"])
def test_a_wrong_version_is_refused(copy, version):
    before = texts(copy)
    assert release(copy, version).returncode == 1 and texts(copy) == before


def test_a_release_without_news_is_refused(copy):
    (copy / "NEWS.md").write_text(tree.read("NEWS.md"))
    done = release(copy, above(VERSION))
    assert done.returncode == 1 and "NEWS.md" in done.stdout


def test_news_has_the_present_version_and_its_form():
    text = tree.read("NEWS.md")
    sections = re.findall(r"^## (.*)$", text, re.M)
    versions = sections[1:] if sections[0] == "Unreleased" else sections
    assert versions[0] == VERSION
    assert versions == sorted(versions, key=numbers, reverse=True)
    for body in re.split(r"^## .*$", text, flags=re.M)[1:]:
        entries = re.findall(r"^\* (.*(?:\n  .*)*)", body, re.M)
        assert entries and all(re.match(r"[A-Z`].*\.$", entry.replace("\n", " ")) for entry in entries), body


def test_hooks_before_a_commit_are_those_of_test_lint():
    (place,) = yaml.safe_load(tree.read(".pre-commit-config.yaml"))["repos"]
    assert place["repo"] == "local"
    assert {hook["language"] for hook in place["hooks"]} == {"system"}
    assert "make test-lint" in {hook["entry"] for hook in place["hooks"]}


def test_a_bug_report_asks_for_what_is_needed():
    form = yaml.safe_load(tree.read(".github/ISSUE_TEMPLATE/bug_report.yml"))
    labels = " ".join(item["attributes"].get("label", "") for item in form["body"])
    for words in ("livepatch status --json", "livepatch doctor", "dnf --version", "/var/log/dnf.log"):
        assert words in labels


def test_editors_are_told_the_length_of_lines():
    assert "max_line_length = 109" in tree.read(".editorconfig")
    assert "line-length = 109" in tree.read("pyproject.toml")
