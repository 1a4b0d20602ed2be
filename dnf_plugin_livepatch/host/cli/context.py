# SPDX-License-Identifier: GPL-2.0-or-later
"""The context that every verb of the command gets, and the description of a verb."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Sequence

from ...base import config, texts
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.catalogue import problem
from .. import output

if TYPE_CHECKING:
    import argparse
    from typing import Any, Callable, Union

    Options = Union[argparse.Namespace, types.SimpleNamespace]


class Refusal(Exception):
    """A verb cannot do what was asked; ``problem`` is the message with the reason and the remedy."""

    def __init__(self, identifier: str, **facts: object) -> None:
        self.problem = problem(identifier, **facts)
        super().__init__(self.problem.text)


class Verb(NamedTuple):
    """One verb: the import of its module, the function there ("" for verbs of its own), and its help.

    ``flags`` are the options that take no value, beside --json. ``only_flags`` is True where the verb has no
    other options.
    """

    module: Callable[[], types.ModuleType]
    function: str
    text: str
    flags: dict[str, str] = {}
    only_flags: bool = True


class Context:
    """The options, the paths, the configuration and the output of one call of the command."""

    def __init__(self, options: Options) -> None:
        self.options: Any = options
        root = os.environ.get("LIVEPATCH_ROOT") or "/"
        self.paths = Paths(root, foreign=root != "/")
        if not os.path.isdir(root):
            raise Refusal("root-missing", root=root)
        path = self.paths.config
        self.faults: tuple[str, ...]
        if os.path.exists(path) and not os.path.isfile(path):
            # A pipe in an image would keep its reader waiting.
            self.settings = config.Config(mode="report")
            self.faults = (f"{path}: it is no file; mode = report is used",)
        else:
            self.settings, self.faults = config.read(path)

    @property
    def _output(self) -> str:
        """The file of --output; "" where none is given, and for the verbs that have no such option."""
        return getattr(self.options, "output", None) or ""

    @property
    def colour(self) -> bool:
        """Whether the output goes to a terminal that wants colours."""
        if self._output:
            return False
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int:
        """The columns of the terminal; 0, which is no limit, where the output goes to none."""
        if self._output:
            return 0
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns
        except (OSError, ValueError):
            return 0

    def put(self, text: str) -> None:
        """Print ``text``, or write the file of --output as a whole: readers never see half a file."""
        if self._output:
            from ..files import atomic

            data = texts.plain(text).encode("utf-8")
            try:
                atomic.write_bytes(os.path.abspath(self._output), data, ours=False)
            except OSError as error:
                raise Refusal("output-unwritable", path=self._output, why=error.strerror) from None
        else:
            output.write(text)

    def json(self, data: dict[str, Any]) -> None:
        """Print ``data`` with the schema number, and nothing else."""
        import json

        self.put(json.dumps({"schema": 1, **data}, indent=1) + "\n")

    def lines(self, lines: Sequence[str]) -> None:
        """Print ``lines``, in colours where the terminal wants them, or write the file of --output."""
        if self._output:
            self.put("".join(texts.line(line) + "\n" for line in lines))
        else:
            output.show(lines, colour=self.colour)
