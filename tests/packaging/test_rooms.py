# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms of the package: what each is for and may import, and that nothing goes in a circle."""

import ast
import os
import re
import sys

import pytest

from tests.packaging.support import tree
from tests.packaging.support.arrows import ARROWS, room
from tests.packaging.support.imports import GRAPH, MODULES, PACKAGE, circles, imports

DNF = ("dnf", "hawkey", "libdnf", "libdnf5", "libcomps")
PURE = ("base", "messages", "vendors", "formats", "exposure", "planning")

# A room that decides gets facts as arguments. It reads no file and starts no program.
IO = ("os", "io", "subprocess", "socket", "shutil", "tempfile", "pathlib", "urllib", "http", "ctypes", "rpm")
# config.py and profiles.py read their own files. compressed.py reads what its caller has opened, by libzstd.
READERS = tuple(f"{PACKAGE}/{name}.py" for name in ("base/config", "vendors/profiles", "formats/compressed"))


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
    assert circles(GRAPH) == []


def test_a_circle_is_found_however_long_it_is():
    graph = {"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": []}
    assert circles(graph) == ["a -> b -> c -> a"] and circles({"a": ["b"], "b": []}) == []


def test_the_size_of_the_tree_is_printed_in_one_line():
    shown = tree.run(sys.executable, "scripts/architecture", "--count").stdout
    form = r"(\d+) rooms, (\d+) files, (\d+) arrows, 0 circles; the largest room is (\S+) with (\d+) files\n"
    rooms, files, arrows, largest, most = re.fullmatch(form, shown).groups()
    assert int(files) == len(MODULES) and int(rooms) == len({room(name) for name in MODULES} & set(ARROWS))
    assert int(arrows) <= sum(map(len, ARROWS.values())) and largest in ARROWS and 1 < int(most) < 25


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


def test_what_decides_is_given_the_time():
    """base/times.py reads the clock for the rooms that act; a decision gets the time as an argument."""
    found = [
        f"{name}:{node.lineno}"
        for name in MODULES
        if room(name) in PURE and name != f"{PACKAGE}/base/times.py"
        for node in ast.walk(ast.parse(tree.read(name)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if (node.value.id, node.attr) in (("times", "now"), ("time", "time"))
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
