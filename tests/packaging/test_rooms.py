# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms of the package: what each is for and may import, and that nothing goes in a circle."""

import ast
import os
import re
import sys

import pytest

from tests.packaging.support import tree
from tests.packaging.support.arrows import ARROWS, room

PACKAGE = "dnf_plugin_livepatch"
MODULES = [
    name
    for name in tree.tracked()
    if name.startswith(PACKAGE + "/") and name.endswith(".py") and "/dnf-plugins/" not in name
]
DNF = ("dnf", "hawkey", "libdnf", "libdnf5", "libcomps")
PURE = ("base", "messages", "vendors", "formats", "exposure", "planning")

# What decides gets facts as arguments; it reads and starts nothing.
IO = ("os", "io", "subprocess", "socket", "shutil", "tempfile", "pathlib", "urllib", "http", "ctypes", "rpm")
# config.py reads its one file with open(), profiles.py and templates.py the files that they are about.
READERS = (f"{PACKAGE}/vendors/profiles.py",)


def imports(name):
    """(module, line) for each import of a file wherever it stands, relative ones made absolute."""
    base = name[: -len(".py")].split("/")
    for node in ast.walk(ast.parse(tree.read(name), name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            prefix = base[: -node.level] if node.level else []
            module = ".".join(prefix + (node.module.split(".") if node.module else []))
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield (full if full in PATHS else module), node.lineno


PATHS = {name[: -len(".py")].replace("/", ".").removesuffix(".__init__"): name for name in MODULES}
GRAPH = {
    name: sorted({PATHS[module] for module, _ in imports(name) if module in PATHS} - {name})
    for name in MODULES
}


def test_every_room_is_in_the_table():
    assert {room(name) for name in MODULES} - {"__init__", "host"} - set(ARROWS) == set()


@pytest.mark.parametrize("place", ARROWS)
def test_arrows_between_rooms_point_one_way(place):
    found = [
        f"{name} imports {target}"
        for name in MODULES
        if room(name) == place
        for target in GRAPH[name]
        if room(target) not in (place, "__init__", *ARROWS[place]) and not target.endswith("/__init__.py")
    ]
    assert found == []


def test_the_table_itself_has_no_way_back():
    done = []
    for place, targets in ARROWS.items():
        assert set(targets) <= set(done), f"{place} may import only what stands above it"
        done.append(place)


def test_no_circle_of_imports():
    """Late imports and those for the type checker count: a circle is one whenever it is closed."""
    state, circles = {}, []

    def walk(name, way):
        if state.get(name) == "done":
            return
        if name in way:
            circles.append(" -> ".join([*way[way.index(name) :], name]))
            return
        for target in GRAPH[name]:
            walk(target, [*way, name])
        state[name] = "done"

    for name in MODULES:
        walk(name, [])
    assert circles == []


@pytest.mark.parametrize("folder", sorted({os.path.dirname(name) for name in MODULES}))
def test_a_room_says_in_one_line_what_it_is_for(folder):
    docstring = ast.get_docstring(ast.parse(tree.read(folder + "/__init__.py"))) or ""
    assert re.fullmatch(r"[A-Z][^\n]{20,109}\.", docstring), folder


def test_nothing_is_imported_under_another_name():
    """An alias is a name that failed. createrepo_c's own documentation calls it cr."""
    found = [
        f"{name}:{node.lineno}: {alias.name} as {alias.asname}"
        for name in MODULES
        for node in ast.walk(ast.parse(tree.read(name)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if alias.asname and (alias.name, alias.asname) != ("createrepo_c", "cr")
    ]
    assert found == []


def test_what_decides_does_no_io():
    found = [
        f"{name}:{line}: {module}"
        for name in MODULES
        if room(name) in PURE and name not in READERS
        for module, line in imports(name)
        if module.split(".")[0] in IO
    ]
    assert found == []


def test_only_the_adapter_knows_the_package_manager():
    found = [
        f"{name}:{line}: {module}"
        for name in MODULES
        if room(name) != "dnf4" and not re.match("toolkit|rpmtool|repotool", room(name))
        for module, line in imports(name)
        if module.split(".")[0] in DNF
    ]
    assert found == []


def test_the_host_needs_only_python_dnf_and_rpm():
    known = set(sys.stdlib_module_names) | {PACKAGE, "rpm", "systemd"} | set(DNF)
    found = [
        f"{name}:{line}: {module}"
        for name in MODULES
        if not re.match("toolkit|rpmtool|repotool", room(name))
        for module, line in imports(name)
        if module.split(".")[0] not in known
    ]
    assert found == []


def test_every_module_is_reached():
    """Nothing lies about that no program starts and no other module imports."""
    started = {f"{PACKAGE}/{name}.py" for name in STARTED}
    reached = {target for targets in GRAPH.values() for target in targets} | started
    assert [name for name in MODULES if name not in reached and not name.endswith("/__init__.py")] == []


STARTED = (
    "host/reconcile/run",
    "host/reconcile/settle",
    "dnf4/plugin",
    "host/cli/main",
    "rpmtool/cli",
    "repotool/cli",
)
