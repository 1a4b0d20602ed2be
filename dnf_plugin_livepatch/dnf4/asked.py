# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user asked DNF for, read from the command line or, for API users, from the calls made.

DNF tells plugins neither. With a command line the command object is asked; dnf-automatic, Ansible and
other users of the API have none, so that ``Watch`` notes their calls of the public marking methods.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any, Callable

from ..base.model import Nevra
from ..planning.policy import ALL, NAMED, NONE, Request
from . import UPGRADES


class Watch:
    """Notes on one ``dnf.Base`` what an API user asks of it, by wrapping three methods of the object.

    ``resolve`` is wrapped for its answer too: DNF computes "is there anything to do" before plugins
    may add to an empty transaction, and callers such as Ansible stop at a False. ``before_all`` is called
    before the first upgrade of everything is put into the goal.
    """

    def __init__(self, base: Any, before_all: Callable[[], None]) -> None:
        self.everything = False
        self.specs: list[str] = []
        self.allow_erasing = False
        upgrade_all, upgrade, resolve = base.upgrade_all, base.upgrade, base.resolve

        def watched_upgrade_all(*args: Any, **kwargs: Any) -> Any:
            if not self.everything:
                before_all()
            self.everything = True
            return upgrade_all(*args, **kwargs)

        def watched_upgrade(pkg_spec: str, *args: Any, **kwargs: Any) -> Any:
            self.specs.append(str(pkg_spec))
            return upgrade(pkg_spec, *args, **kwargs)

        def watched_resolve(allow_erasing: bool = False) -> Any:
            self.allow_erasing = allow_erasing
            return resolve(allow_erasing) or bool(base.transaction)

        base.upgrade_all = watched_upgrade_all
        base.upgrade = watched_upgrade
        base.resolve = watched_resolve


def aside(base: Any) -> str:
    """Why no transaction of this process is for us; "" when nothing speaks against it."""
    if base.conf.installroot != "/":
        return "an installroot is another machine's"
    if "test" in base.conf.tsflags:
        return "the transaction is only tested"
    return ""


def dry(base: Any) -> bool:
    """Is this run meant to leave the host as it is? DNF runs the hooks all the same with nothing to do."""
    conf = base.conf
    return bool(aside(base) or conf.downloadonly or conf.assumeno)


def read(base: Any, cli: Any, watch: Watch | None) -> tuple[Request, tuple[str, ...]]:
    """The request and the package specs it names."""
    why = aside(base)
    if why:
        return Request(NONE, why), ()
    command = getattr(cli, "command", None)
    if command is not None:
        name = command.aliases[0]
        if name not in UPGRADES:
            return Request(NONE, f"'{name}' is no upgrade"), ()
        opts = command.opts
        specs = [*(opts.pkg_specs or ()), *(opts.filenames or ()), *("@" + g for g in opts.grp_specs or ())]
        kind = NAMED if specs else ALL
    elif watch is not None and (watch.everything or watch.specs):
        specs, kind = watch.specs, ALL if watch.everything else NAMED
    else:
        return Request(NONE, "no upgrade was asked for"), ()
    limits = filters(base, getattr(command, "opts", None))
    opaque = bool(getattr(base, "_update_security_filters", ()))
    security = opaque or "security" in limits.get("advisory_type", ())
    return Request(kind, "", security, security or bool(limits)), tuple(specs)


def bare(cli: Any) -> bool:
    """Is this the command to upgrade everything, with nothing asked for by name?"""
    command = getattr(cli, "command", None)
    if command is None or command.aliases[0] not in UPGRADES:
        return False
    return not any(
        getattr(command.opts, name, None)
        for name in ("pkg_specs", "filenames", "grp_specs", "advisory", "cves", "bugzilla")
    )


_FILTERS = (
    "security", "bugfix", "enhancement", "newpackage", "advisory", "severity", "cves", "bugzilla"
)  # fmt: skip


def filters(base: Any, opts: Any = None) -> dict[str, set[str]]:
    """The advisory filters in effect: hawkey's filter name without its modifiers -> values.

    DNF has no public way to ask for them. Should it keep them elsewhere one day, any filter among the
    command's ``opts`` counts as "security only".
    """
    options = getattr(base, "_update_security_options", None)
    if options is None:
        limited = any(getattr(opts, name, None) for name in _FILTERS)
        return {"advisory_type": {"security"}} if limited else {}
    result: dict[str, set[str]] = {}
    for key, values in options.items():
        result.setdefault(key.partition("__")[0], set()).update(str(value) for value in values)
    return result


def names(specs: Iterable[str], nevra: Nevra) -> bool:
    """Did the user name this package, by name, with version, or by a pattern?"""
    forms = (
        nevra.name,
        f"{nevra.name}.{nevra.arch}",
        f"{nevra.name}-{nevra.evr}",
        str(nevra),
    )
    return any(fnmatch.fnmatchcase(form, spec) for spec in specs for form in forms)


def passes(base: Any, advisories: Iterable[Any]) -> bool:
    """Does one of these hawkey advisories pass the filters in effect, "security" left aside?

    Being a security update is judged by the CVEs that are open, not by the advisory's word for itself.
    """
    import hawkey

    kinds = {
        hawkey.ADVISORY_SECURITY: "security",
        hawkey.ADVISORY_BUGFIX: "bugfix",
        hawkey.ADVISORY_ENHANCEMENT: "enhancement",
        hawkey.ADVISORY_NEWPACKAGE: "newpackage",
    }
    references = {hawkey.REFERENCE_CVE: "advisory_cve", hawkey.REFERENCE_BUGZILLA: "advisory_bug"}
    limits = filters(base)
    limits.setdefault("advisory_type", set()).discard("security")
    for advisory in advisories:
        facts = {
            ("advisory_type", kinds.get(advisory.type, "")),
            ("advisory", advisory.id or ""),
            ("advisory_severity", advisory.severity or ""),
            *((references.get(ref.type, ""), ref.id or "") for ref in advisory.references),
        }
        if any(value and value in limits.get(key, ()) for key, value in facts):
            return True
    return False
