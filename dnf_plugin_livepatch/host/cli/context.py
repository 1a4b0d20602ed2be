# SPDX-License-Identifier: GPL-2.0-or-later
"""What every verb of the command gets, and how a verb is described."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Sequence

from ...base import config
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse
    from typing import Any, Callable, Union

    Options = Union[argparse.Namespace, types.SimpleNamespace]


class Verb(NamedTuple):
    """One verb: what imports its module, the function there ("" for verbs of its own), and its help.

    ``flags`` are its options that take no value, beside --json; ``only_flags`` says that it has no others.
    """

    module: Callable[[], types.ModuleType]
    function: str
    text: str
    flags: dict[str, str] = {}
    only_flags: bool = True


class Context:
    """What every verb gets: the options, the paths, the configuration, and how to print."""

    def __init__(self, options: Options) -> None:
        self.options: Any = options
        self.paths = Paths(os.environ.get("LIVEPATCH_ROOT") or "/")
        self.settings, self.faults = config.read(self.paths.config)

    @property
    def _output(self) -> str:
        """The file of --output; "" where none is given, and for the verbs that have no such option."""
        return getattr(self.options, "output", None) or ""

    @property
    def colour(self) -> bool:
        """Whether what is told goes to a terminal that wants colours."""
        if self._output:
            return False
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int:
        """The columns of the terminal that is written to; 0, which is no limit, where it is none."""
        if self._output:
            return 0
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns
        except (OSError, ValueError):
            return 0

    def put(self, text: str) -> None:
        """Print ``text``, or write it to --output as a whole: readers never see half a file."""
        if self._output:
            from ..files import atomic

            atomic.write_bytes(os.path.abspath(self._output), text.encode("utf-8"))
        else:
            sys.stdout.write(text)

    def json(self, data: dict[str, Any]) -> None:
        """Tell ``data`` with the schema number, and nothing else."""
        import json

        self.put(json.dumps({"schema": 1, **data}, indent=1) + "\n")

    def lines(self, lines: Sequence[str]) -> None:
        """Tell ``lines``, with nothing in them that could drive a terminal but our own colours."""
        kept = "\033" if self.colour else ""
        safe = ["".join(c if c.isprintable() or c == kept else "?" for c in line) for line in lines]
        self.put("".join(line + "\n" for line in safe))
