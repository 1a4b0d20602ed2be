# SPDX-License-Identifier: GPL-2.0-or-later
"""Source RPMs that livepatch-rpm wrote: their recipe and sources, for the next package and for rebuilds."""

from __future__ import annotations

import os
from typing import NamedTuple

from ...toolkit.errors import refuse
from ...toolkit.files import contents
from ..readers import source
from ..readers.elf import MAX_MODULE
from ..readers.recipe import MAX_BYTES, Recipe, parse
from ..readers.rpm_file import payload, read_header


class Base(NamedTuple):
    """The previous package: its recipe, and its sources as (name, content)."""

    path: str
    recipe: Recipe
    sources: tuple[tuple[str, bytes], ...]


def read(path: str) -> Base:
    """The Base in the source RPM ``path``. Raises ToolError ``base-unfit`` or ``rpm-unreadable``."""
    if not os.path.isfile(path):
        refuse("input-missing", path=path)
    if read_header(path).nevra.arch != "src":
        refuse("base-unfit", path=path, why="it is no source RPM")
    files = payload(path)
    names = {os.path.basename(name): data for name, data in files.items()}
    if "livepatch.json" not in names:
        refuse("base-unfit", path=path, why="it holds no livepatch.json")
    found = parse(str(names["livepatch.json"], "utf-8", "replace"), path)
    return Base(path, found, tuple(sorted(names.items())))


def from_folder(path: str) -> Recipe:
    """The Recipe in the file ``path`` of an unpacked source RPM. Raises ToolError."""
    return parse(contents(path, MAX_BYTES, "base-unfit").decode("utf-8", "replace"), path)


def paths_of(recipe: Recipe, folder: str, work: str) -> tuple[str, ...]:
    """The paths of the engine's inputs in ``folder``, their digests checked. Raises ToolError."""
    if recipe.kind == "source":
        tarball = contents(os.path.join(folder, source.TARBALL), source.MAX_SOURCE, "base-unfit")
        source.unpack(tarball, os.path.join(work, "source"), folder)
        return (os.path.join(work, "source"),)
    found = []
    for item in recipe.inputs:
        path = os.path.join(folder, item.name)
        if source.digest(contents(path, MAX_MODULE, "base-unfit")) != item.sha256:
            refuse("base-unfit", path=path, why="it was changed")
        found.append(os.path.abspath(path))
    return tuple(found)
