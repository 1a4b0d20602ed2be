# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules of the package and their imports, for test_rooms.py and scripts/architecture."""

import ast

from tests.packaging.support import tree
from tests.packaging.support.arrows import room

PACKAGE = "dnf_plugin_livepatch"
MODULES = [
    name
    for name in tree.tracked()
    if name.startswith(PACKAGE + "/") and name.endswith(".py") and "/dnf-plugins/" not in name
]
PATHS = {name[: -len(".py")].replace("/", ".").removesuffix(".__init__"): name for name in MODULES}


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


GRAPH = {
    name: sorted({PATHS[module] for module, _ in imports(name) if module in PATHS} - {name})
    for name in MODULES
}


def circles(graph):
    """Every circle of imports that a walk over ``graph`` closes, as a text.

    Late imports and those for the type checker count: a circle is one whenever it is closed.
    """
    done, found = set(), []

    def walk(name, way):
        if name in way:
            found.append(" -> ".join([*way[way.index(name) :], name]))
        elif name not in done:
            for target in graph[name]:
                walk(target, [*way, name])
            done.add(name)

    for name in graph:
        walk(name, [])
    return found


def count():
    """One line about the size of the tree: its rooms, files, arrows and circles, and its largest room."""
    files = {}
    for name in MODULES:
        if not name.endswith("/__init__.py"):
            files.setdefault(room(name), []).append(name)
    used = {(room(name), room(target)) for name in MODULES for target in GRAPH[name]}
    arrows = [pair for pair in used if pair[0] != pair[1] and files.keys() >= set(pair)]
    largest = max(files, key=lambda place: len(files[place]))
    return (
        f"{len(files)} rooms, {len(MODULES)} files, {len(arrows)} arrows, {len(circles(GRAPH))} circles; "
        f"the largest room is {largest} with {len(files[largest])} files"
    )
