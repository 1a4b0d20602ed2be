# SPDX-License-Identifier: GPL-2.0-or-later
"""Softness: whatever fails becomes one warning line, with the trace in dnf's log file.

Every dnf command imports this module, which imports little before something fails.
"""

from __future__ import annotations

import functools

from ..base.typed import TYPE_CHECKING
from .log import LOG

if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    _T = TypeVar("_T")


class Faults:
    """The faults of one ``dnf.Base``, each told once, however many hooks and parts meet it."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    @property
    def none(self) -> bool:
        """Has everything gone well so far?"""
        return not self._said

    def attempt(self, what: str, default: _T, function: Callable[[], _T]) -> _T:
        """The answer of ``function``; ``default``, should it fail in any way."""
        try:
            return function()
        except Exception as error:  # dnf's user asked for an upgrade, not for a live patch
            self._complain(what, error)
            return default

    def _complain(self, what: str, error: Exception) -> None:
        """Say once in one line that ``what`` failed, whatever else may be broken too."""
        name = type(error).__name__
        told = f"{name}: {error}" if str(error) else name
        LOG.debug("livepatch: %s", what, exc_info=error)
        if told in self._said:
            return
        self._said.add(told)
        try:
            from ..messages import catalogue
            from ..planning import lines

            LOG.warning("%s", lines.line(catalogue.problem("plugin-fault", what=what, error=told))[1])
        except Exception:
            LOG.warning("livepatch: The plugin is broken (%s); dnf goes on without it.", told)


def of(base: Any) -> Faults:
    """The faults of ``base``."""
    found = getattr(base, "_livepatch_faults", None)
    if not isinstance(found, Faults):
        found = base._livepatch_faults = Faults()
    return found


def soft(hook: Callable[[Any], None]) -> Callable[[Any], None]:
    """A hook of the plugin that raises nothing."""

    @functools.wraps(hook)
    def run(self: Any) -> None:
        of(self.base).attempt(hook.__name__.strip("_"), None, lambda: hook(self))

    return run
