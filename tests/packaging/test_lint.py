# SPDX-License-Identifier: GPL-2.0-or-later
"""The linters, and the rules of the project that a program can check."""

import ast
import os
import re
import subprocess
import sys

import pytest
import tree

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


def test_everything_runs_on_python_3_9():
    clean(tool("vermin"), "-q", "--no-tips", "--violations", "--target=3.9-", "--", *MODULES)


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
    clean(tool("codespell"), "--ignore-words-list", "inforce,actived,deactived,bu,asymmetri", "--", *texts)


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
        r"^COPYING$|\.(md|json|xml|gz|tsv|csv|txt|svg|patch|diff|rpm|asc|config|origin)$|^\.gitignore$"
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


def imports(name):
    """(module, line, at top level?) for each import of a file, relative ones made absolute."""
    text = ast.parse(tree.read(name), name)
    base = name[: -len(".py")].split("/")
    top = set(text.body)
    for node in ast.walk(text):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, node in top
        elif isinstance(node, ast.ImportFrom):
            prefix = base[: -node.level] if node.level else []
            module = ".".join(prefix + (node.module.split(".") if node.module else []))
            yield module, node.lineno, node in top
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno, node in top


def room(name):
    """The folder of a module in the package; "pure" for the modules at its top."""
    parts = name.split("/")
    return "pure" if len(parts) == 2 else parts[1]


def below(module, *names):
    """Is ``module`` one of ``names`` or inside of one?"""
    return any(module == name or module.startswith(name + ".") for name in names)


DNF = ("dnf", "hawkey", "libdnf", "libcomps")
OURS = {part: f"{PACKAGE}.{part}" for part in ("dnf4", "runtime", "rpmtool", "repotool")}
# Pure modules decide; they get facts as arguments. config.py may read its one file with open(), and
# profiles.py the files that it is about.
READERS = ("dnf_plugin_livepatch/vendors/profiles.py",)
IO = ("os", "io", "subprocess", "socket", "shutil", "tempfile", "pathlib", "urllib", "http", "ctypes", "rpm")
FORBIDDEN = {
    "pure": DNF + IO + tuple(OURS.values()),
    "runtime": DNF + (OURS["dnf4"], OURS["rpmtool"], OURS["repotool"]),
    "dnf4": (OURS["rpmtool"], OURS["repotool"]),
    "rpmtool": (OURS["dnf4"], OURS["runtime"]),
    "repotool": (OURS["dnf4"], OURS["runtime"]),
    "dnf-plugins": (),
}


def test_arrows_between_rooms_point_one_way():
    found = [
        f"{name}:{line}: {room(name)} imports {module}"
        for name in MODULES
        for module, line, _ in imports(name)
        if below(module, *FORBIDDEN[room(name)]) and not (name in READERS and module.startswith("os"))
    ]
    assert found == []


def test_the_plugin_never_changes_the_kernel():
    """dnf4 may read through the runtime; what acts on the kernel runs in the reconcile unit."""
    actors = tuple(f"{OURS['runtime']}.{name}" for name in ("loader", "reconcile", "converge", "change"))
    found = [
        f"{name}:{line}: {module}"
        for name in MODULES
        if room(name) == "dnf4"
        for module, line, _ in imports(name)
        if below(module, *actors)
    ]
    assert found == []


def test_the_host_needs_only_python_dnf_and_rpm():
    known = set(sys.stdlib_module_names) | {PACKAGE, "rpm", "systemd"} | set(DNF)
    found = [
        f"{name}:{line}: {module}"
        for name in MODULES
        if room(name) in ("pure", "runtime", "dnf4", "dnf-plugins")
        for module, line, _ in imports(name)
        if module.split(".")[0] not in known
    ]
    assert found == []


START_UP = {
    "runtime.cli": "before = set()",
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
    slow = {"dataclasses", "pathlib", "rpm", "asyncio", "urllib.request", "logging.config", "inspect"}
    assert slow & set(output.stdout.split()) == set()
