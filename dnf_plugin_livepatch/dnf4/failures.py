# SPDX-License-Identifier: GPL-2.0-or-later
"""Transactions that fail: DNF calls no hook for them, so two methods of one ``dnf.Base`` are wrapped."""

from __future__ import annotations

import dnf.cli
import dnf.exceptions

from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Callable


def watch(base: Any, unresolved: Callable[[], None], undone: Callable[[], None]) -> None:
    """Call ``unresolved`` when ``base.resolve`` fails, ``undone`` when ``base.do_transaction`` does.

    The failure itself goes on to the caller. A user's No is no failure.
    """
    for name, told in (("resolve", unresolved), ("do_transaction", undone)):
        setattr(base, name, _watched(getattr(base, name), told))


def _watched(method: Callable[..., Any], told: Callable[[], None]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except dnf.cli.CliError:
            raise
        except dnf.exceptions.Error:
            told()
            raise

    return watched
