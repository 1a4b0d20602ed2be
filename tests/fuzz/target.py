# SPDX-License-Identifier: GPL-2.0-or-later
"""The form of a target, and how a parser of files is given bytes."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from dnf_plugin_livepatch.base.paths import Paths

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
#: A folder of this process, the root of the host that the targets read. In memory, files cost little.
FOLDER = tempfile.mkdtemp(prefix="fuzz-", dir=_MEMORY)
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
PATHS = Paths(FOLDER)
#: What parts an input that goes into several files.
CUT = b"\n%%\n"


class Target(NamedTuple):
    """One parser: ``run`` gives it bytes, ``declared`` are the exceptions that it may raise for them.

    ``seed`` and ``more`` are valid inputs. A target that is ``slow`` gets that many times fewer inputs.
    """

    run: Callable[[bytes], object]
    declared: tuple[type[Exception], ...] = ()
    seed: bytes = b""
    more: tuple[bytes, ...] = ()
    slow: int = 1


def text(function: Callable[[str], object]) -> Callable[[bytes], object]:
    """``function`` is given the bytes as text."""
    return lambda data: function(data.decode("utf-8", "replace"))


def file(function: Callable[[str], object], path: str) -> Callable[[bytes], object]:
    """``function`` is given the path of a file with the bytes; ``path`` is below the target's own root."""
    return files(lambda: function(PATHS.at(path)), path)


def files(function: Callable[[], object], *paths: str) -> Callable[[bytes], object]:
    """``function`` is called once the bytes, cut at each CUT, are in the files ``paths``."""
    places = [PATHS.at(path) for path in paths]
    for place in places:
        os.makedirs(os.path.dirname(place), exist_ok=True)

    def run(data: bytes) -> object:
        parts = data.split(CUT, len(places) - 1)
        for number, place in enumerate(places):
            with open(place, "wb") as target:
                target.write(parts[number] if number < len(parts) else b"")
        return function()

    return run


def json_object(data: str) -> dict[str, object]:
    """A JSON object, as ``atomic.read_json`` hands it on."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def valid(name: str) -> bytes:
    """A valid input that a program made, from the corpus."""
    with open(os.path.join(TOP, "tests/fuzz/corpus", name + ".valid"), "rb") as found:
        return found.read()


def shipped(name: str) -> bytes:
    """A profile of this project."""
    with open(os.path.join(TOP, "profiles", name), "rb") as found:
        return found.read()


def slug(name: str) -> str:
    """The name of a target as the first part of a file's name."""
    return re.sub("[^a-z0-9]+", "-", name.lower())
