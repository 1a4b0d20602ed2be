# SPDX-License-Identifier: GPL-2.0-or-later
"""Transactions that fail: DNF calls no hook for them, so methods of one ``dnf.Base`` are wrapped.

``watch`` reports a failure. ``Spared`` keeps packages that planning added from being the cause of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dnf.cli
import dnf.exceptions
import libdnf

from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Callable

    #: Takes packages, each with the reason, out of the transaction; False where they have to stay in it.
    GiveUp = Callable[[Mapping[str, str]], bool]


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


class Spared:
    """An upgrade that goes on without the packages that planning added and that cannot be had.

    Such a package cannot be downloaded, is damaged, has no good signature, or does not pass rpm's test. The
    user asked for none of that, and DNF would end the whole upgrade, every night anew. ``brought`` tells the
    packages that are in the transaction since planning added live patches.
    """

    def __init__(self, base: Any, brought: Callable[[], frozenset[str]], give_up: GiveUp) -> None:
        self._base = base
        self._brought = brought
        self._give_up = give_up
        self._gone: set[str] = set()
        self._transact, self._download = base.do_transaction, base.download_packages
        base.do_transaction, base.download_packages = self._transacted, self._downloaded
        wraps: dict[str, Callable[..., Any]] = {
            "_sig_check_pkg": self._checked,
            "_get_key_for_package": self._trusted,
            "package_signature_check": self._judged,
        }
        for name, wrap in wraps.items():
            if hasattr(base, name):
                setattr(base, name, wrap(getattr(base, name)))

    def _drop(self, bad: Mapping[str, str]) -> bool:
        """Drop the packages ``bad``, each with its reason; False where nothing was dropped."""
        from .packages import incoming

        before = set(map(str, incoming(self._base)))
        if not (bad and self._give_up(bad)):
            return False
        self._gone |= before.difference(map(str, incoming(self._base)))
        return True

    def _downloaded(self, pkglist: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        packages = list(pkglist)
        try:
            return self._download(packages, *args, **kwargs)
        except dnf.exceptions.Error:
            bad = {}
            for package in packages:
                if str(package) in self._brought():
                    try:
                        self._download([package])
                    except dnf.exceptions.Error as error:
                        bad[str(package)] = f"it cannot be downloaded ({_line(error)})"
            if not self._drop(bad):
                raise
        rest = [package for package in packages if str(package) not in self._gone]
        return self._download(rest, *args, **kwargs)

    def _checked(self, check: Callable[[Any], tuple[int, str]]) -> Callable[[Any], tuple[int, str]]:
        def checked(package: Any) -> tuple[int, str]:
            if str(package) in self._gone:
                return 0, ""
            result, why = check(package)
            # With 1 the repository's key may help, which whoever asks imports.
            return (0, "") if result not in (0, 1) and self._unsigned(package, why) else (result, why)

        return checked

    def _judged(self, check: Callable[[Any], tuple[int, str]]) -> Callable[[Any], tuple[int, str]]:
        """The public check, whose users import no key."""

        def judged(package: Any) -> tuple[int, str]:
            result, why = check(package)
            return (0, "") if result and self._unsigned(package, why) else (result, why)

        return judged

    def _trusted(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        def trusted(package: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return fetch(package, *args, **kwargs)
            except (dnf.exceptions.Error, ValueError) as error:
                if not self._unsigned(package, error):
                    raise

        return trusted

    def _unsigned(self, package: Any, why: object) -> bool:
        name = str(package)
        return name in self._brought() and self._drop({name: f"its signature does not hold ({_line(why)})"})

    def _transacted(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._transact(*args, **kwargs)
        except dnf.cli.CliError:
            raise
        except dnf.exceptions.Error as error:
            text = str(error)
            bad = {name: f"rpm refuses it ({_line(text, name)})" for name in self._brought() if name in text}
            if self._begun or not self._drop(bad):
                raise
        return self._transact(*args, **kwargs)

    @property
    def _begun(self) -> bool:
        """Did rpm begin to change the host?"""
        untouched = libdnf.transaction.TransactionItemState_UNKNOWN
        return any(item.state != untouched for item in self._base.transaction or ())


def _line(error: object, about: str = "") -> str:
    """The line of an error that is ``about`` a package, in 200 characters at most."""
    from ..base import texts

    rows = [row.strip() for row in str(error).splitlines() if about in row and row.strip()]
    return texts.printable(rows[0])[:200].rstrip(".") if rows else type(error).__name__
