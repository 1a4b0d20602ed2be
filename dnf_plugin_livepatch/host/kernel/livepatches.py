# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own account of its live patches: /sys/kernel/livepatch and /sys/module, read only.

Entries appear and vanish while they are read; an entry that vanishes is left out.
"""

from __future__ import annotations

import os
import sys

from ...base import names
from ...base.model import Function, LoadedPatch
from ...base.paths import Paths
from ..read import read_bytes, read_text
from .module_file import note_build_id

MAX_PATCHES = 256
MAX_NAMES = 4096


def _names(path: str, limit: int) -> list[str]:
    try:
        return sorted(os.listdir(path))[:limit]
    except (OSError, ValueError):
        return []


def build_id(paths: Paths, module: str) -> str:
    """Return the ELF build id of the loaded ``module``; "" when it is not loaded or has none."""
    data = read_bytes(f"{paths.modules}/{module}/notes/.note.gnu.build-id", 4096)
    return note_build_id(data, "<" if sys.byteorder == "little" else ">")


def loaded(paths: Paths, module: str) -> bool:
    """Return whether a module of that name is in the kernel, patching or not; a built-in one is not."""
    return os.path.exists(f"{paths.modules}/{module}/initstate")


def coming(paths: Paths, module: str) -> bool:
    """Return whether the kernel is loading a module of that name now: its init has not ended."""
    return read_text(f"{paths.modules}/{module}/initstate", 16) == "coming"


def _functions(folder: str) -> tuple[tuple[Function, ...], tuple[str, ...]]:
    functions: list[Function] = []
    patched: list[str] = []
    for name in _names(folder, MAX_NAMES):
        path = f"{folder}/{name}"
        if not os.path.isdir(path):
            continue
        # Kernels before 6.1 have no "patched" attribute: every object that they list is patched.
        if read_text(path + "/patched", 8) in ("1", ""):
            patched.append(name)
        for entry in _names(path, MAX_NAMES):
            function, comma, position = entry.rpartition(",")
            number = names.decimal(position, 5)
            if comma and function and number is not None:
                functions.append(Function(name, function, number))
            if len(functions) >= MAX_NAMES:
                return tuple(functions), tuple(patched)
    return tuple(functions), tuple(patched)


def one(paths: Paths, module: str) -> LoadedPatch | None:
    """Return the live patch ``module`` as sysfs shows it now, or None when it is not there."""
    if not names.MODULE.match(module):
        return None
    folder = f"{paths.klp}/{module}"
    enabled = read_text(folder + "/enabled", 8)
    transition = read_text(folder + "/transition", 8)
    if enabled not in ("0", "1") or transition not in ("0", "1"):
        return None
    functions, patched = _functions(folder)
    replace = read_text(folder + "/replace", 8)
    order = read_text(folder + "/stack_order", 8)
    return LoadedPatch(
        module=module,
        enabled=enabled == "1",
        transition=transition == "1",
        build_id=build_id(paths, module),
        srcversion=read_text(f"{paths.modules}/{module}/srcversion", 128),
        replace={"1": True, "0": False}.get(replace),
        stack_order=names.decimal(order, 9) or 0,
        functions=functions,
        patched_objects=patched,
    )


def read(paths: Paths) -> tuple[LoadedPatch, ...]:
    """Return every live patch in the kernel, by stack order where sysfs has it, then by name."""
    patches = [one(paths, name) for name in _names(paths.klp, MAX_PATCHES)]
    return tuple(sorted((p for p in patches if p is not None), key=lambda p: (p.stack_order, p.module)))


def transition(paths: Paths) -> str:
    """Return the module whose transition is under way; "" when the kernel is at rest."""
    for name in _names(paths.klp, MAX_PATCHES):
        if read_text(f"{paths.klp}/{name}/transition", 8) == "1":
            return name
    return ""
