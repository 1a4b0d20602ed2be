# SPDX-License-Identifier: GPL-2.0-or-later
"""The linters, and the rules of the project that a program can check."""

import ast
import os
import re
import subprocess
import sys

import pytest

from tests.packaging.support import tree

PACKAGE = "dnf_plugin_livepatch"
FILES = tree.tracked()
PYTHON = [name for name in FILES if tree.is_python(name)]
SHELL = [name for name in FILES if tree.is_shell(name)]
MAN = [name for name in FILES if name.startswith("man/")]
MODULES = [name for name in PYTHON if name.startswith(PACKAGE + "/")]


def tool(name):
    """A program of the virtual environment that runs the tests."""
    return os.path.join(os.path.dirname(sys.executable), name)


def clean(*argv):
    """The program found nothing."""
    result = tree.run(*argv)
    assert result.returncode == 0, result.stdout


def test_the_lists_are_not_empty():
    assert len(MODULES) > 10 and len(SHELL) >= 2 and len(MAN) >= 4


def test_ruff():
    clean(tool("ruff"), "check", "--no-cache", "--output-format", "concise", "--", *PYTHON)


def test_mypy_strict():
    clean(sys.executable, "-m", "mypy")


TOOLS = re.compile(f"{PACKAGE}/(rpmtool|repotool|toolkit)/|bin/livepatch-(rpm|repo)")
HOST = [name for name in MODULES if not TOOLS.match(name)]


def vermin(target, names, *exclude):
    options = [word for feature in ("typing.TypeAlias", *exclude) for word in ("--exclude", feature)]
    clean(tool("vermin"), "-q", "--no-tips", "--violations", f"--target={target}-", *options, "--", *names)


def test_everything_runs_on_python_3_9():
    """TypeAlias is imported for the type checker alone."""
    vermin("3.9", MODULES)


#: What Python 3.6 lacks and the host side may use: annotations are not evaluated, and base/typed.py
#: sets _field_defaults itself.
ANNOTATIONS = ("__future__.annotations", "typing.Protocol", "collections.namedtuple._field_defaults")
#: Methods that came later, which vermin sees only where it knows the type.
LATER = {"isascii", "removeprefix", "removesuffix", "fromisoformat", "is_relative_to", "with_stem"}


def test_host_side_runs_on_python_3_6_but_for_annotations():
    vermin("3.6", HOST, *ANNOTATIONS)
    found = [
        f"{name}:{node.lineno} {node.attr}"
        for name in HOST
        for node in ast.walk(ast.parse(tree.read(name)))
        if isinstance(node, ast.Attribute) and node.attr in LATER
    ]
    assert found == []


@pytest.mark.parametrize("name", SHELL)
def test_shellcheck(name):
    shell = "bash" if "bash" in tree.read(name).split("\n", 1)[0] or "completion" in name else "sh"
    # SC2016: formats for other programs are quoted so that the shell leaves them alone. SC2012: file names
    # of our own making are listed.
    clean("shellcheck", "--shell", shell, "--exclude", "SC2016,SC2012", name)


@pytest.mark.parametrize("name", MAN)
def test_mandoc(name):
    assert tree.run("mandoc", "-Tlint", name).stdout == ""


def test_spelling():
    """The names of others are as they are; tests misspell on purpose."""
    texts = [name for name in FILES if not re.search(r"^COPYING|^tests/|\.(xml|gz|json|tsv|csv|rpm)$", name)]
    clean(
        tool("codespell"), "--ignore-words-list", "inforce,fpr,actived,deactived,bu,asymmetri", "--", *texts
    )


def test_no_place_of_one_machine_and_no_registry():
    """What is written must be true on every machine; packages come from where pip and apt are set to."""
    places = ["/work" + "/main", "/work" + "/shared", "/ho" + "me/", "/ro" + "ot/.c", "/ro" + "ot/.p"]
    hosts = ["deb.deb" + "ian.org", "pypi" + ".org", "registry.np" + "mjs", "proxy.gol" + "ang"]
    pattern = re.compile(r"(?<![\w.}])(" + "|".join(re.escape(word) for word in places + hosts) + ")")
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in FILES
        if not re.search(r"\.(xml|gz|rpm)$", name)
        for number, line in enumerate(tree.read(name).split("\n"), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_every_source_names_its_licence():
    """Data, kernel configurations and prose have none; JSON cannot hold a comment."""
    free = re.compile(
        r"^COPYING$|\.(md|json|xml|gz|tsv|csv|txt|svg|patch|diff|rpm|asc|config|origin)$|^\.gitignore$|^tests/fuzz/corpus/"
    )
    missing = [
        name
        for name in FILES
        if not free.search(name)
        and "SPDX-License-Identifier: GPL-2.0-or-later" not in "".join(tree.read(name).split("\n")[:4])
    ]
    assert missing == []


def test_no_source_is_longer_than_500_lines():
    long = [(name, tree.read(name).count("\n")) for name in PYTHON + SHELL]
    assert [item for item in long if item[1] > 500] == []


def test_nothing_is_left_to_do():
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    assert [name for name in PYTHON + SHELL if words.search(tree.read(name))] == []


TESTS = [name for name in PYTHON if name.startswith("tests/")]


def imported(name):
    """The modules that the file ``name`` imports, those of ``from`` with each name in them too."""
    for node in ast.walk(ast.parse(tree.read(name))):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{item.name}" for item in node.names)


def test_no_test_imports_another_test_file():
    """Definitions that several test files share are in the folder ``support`` of their suite."""
    shared = re.compile(r"(^|\.)(test_\w+|conftest)$")
    found = [(name, module) for name in TESTS for module in imported(name) if shared.search(module)]
    assert [(name, module) for name, module in found if not module.startswith(PACKAGE)] == []


def test_no_test_edits_the_product():
    """A test that rewrites a line of the product goes on passing, without effect, when the line changes."""
    editor = re.compile(rf"\bsed\b[^\n]*-i[^\n]*\n?[^\n]*{PACKAGE}|{PACKAGE}[^\n]*\n?[^\n]*\bsed\b[^\n]*-i")
    own = "tests/packaging/test_lint.py"
    assert [name for name in TESTS if name != own and editor.search(tree.read(name))] == []


START_UP = {
    "host.cli.main": "before = set()",
    "host.report.status": "before = set()",
    "host.reconcile.run": "before = set()",
    # What DNF itself has imported by then costs nothing more.
    "dnf4.plugin": "import dnf.cli.cli; before = set(sys.modules)",
}


@pytest.mark.parametrize("module", START_UP)
def test_start_up_imports_nothing_slow(module):
    """dataclasses or pathlib alone cost more than the rest of a run of `livepatch status`."""
    code = f"""
import sys
sys.path.insert(0, {tree.TOP!r})
sys.path.append("/usr/lib/python3/dist-packages")
{START_UP[module]}
import {PACKAGE}.{module}
print(*sorted(set(sys.modules) - before))
"""
    # -S: a .pth file of the machine may import anything.
    output = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert output.returncode == 0, output.stderr
    slow = {
        "dataclasses",
        "pathlib",
        "typing",
        "rpm",
        "asyncio",
        "urllib.request",
        "logging.config",
        "inspect",
    }
    assert slow & set(output.stdout.split()) == set()


def test_typing_is_for_the_type_checker():
    """Importing typing costs half as much as starting the interpreter; base/typed.py stands in for it."""
    found = [
        f"{name}:{node.lineno}"
        for name in HOST
        for node in ast.parse(tree.read(name)).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and "typing" in (getattr(node, "module", None), *(alias.name for alias in node.names))
    ]
    assert found == []
