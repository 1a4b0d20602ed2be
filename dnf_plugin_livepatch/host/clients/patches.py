# SPDX-License-Identifier: GPL-2.0-or-later
"""Live patches that a vendor's own client loads, for reconcile and status. Nothing of them is in sysfs.

In rows and results such a patch goes by its profile's name, dashes as underscores, where others have a
module's. What the client says of the running kernel is all there is to believe, so it is asked again each
time. A client that names its patches is believed of each package by itself. One that names none cannot
tell whose patches are in force: then no package closes more than the CVEs that the client itself tells.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Callable, NamedTuple

from ...base.model import Action, InForce, InstalledPatch, Kernel, Nevra, Problem
from ...messages.catalogue import problem
from ...vendors.profile_file import Profile
from . import client as clients


class Outside(NamedTuple):
    """What the clients did and left. ``desired`` are the NEVRAs that should be in force.

    ``ours`` is what a client loaded because we asked: the label of its profile and the NEVRA.
    """

    desired: tuple[str, ...] = ()
    in_force: tuple[InForce, ...] = ()
    actions: tuple[Action, ...] = ()
    problems: tuple[Problem, ...] = ()
    ours: tuple[tuple[str, str], ...] = ()


class Row(NamedTuple):
    """One patch of a client for status; ``package`` is "" for a rival's, and for what no package tells."""

    module: str
    profile: str
    package: str
    in_force: bool
    cves: tuple[str, ...]
    reason: str


def _newest(patches: Sequence[InstalledPatch], rule: Profile) -> tuple[InstalledPatch, ...]:
    """The installed packages of one profile that count: of a cumulative vendor the newest, the first."""
    found = tuple(patch for patch in patches if patch.profile == rule.name and patch.kind == "patch")
    return found[:1] if rule.cumulative else found


def _shut_out(
    rule: Profile, rules: Iterable[Profile], patches: Sequence[InstalledPatch], stays_out: Container[str]
) -> tuple[Nevra, ...]:
    """What is to stay out and ``rule``'s client would load as well: profiles may share one client."""
    commands = {other.name: other.client.apply for other in rules if other.client is not None}
    mine = commands[rule.name]
    return tuple(
        patch.nevra
        for patch in patches
        if patch.kind == "patch" and commands.get(patch.profile) == mine and str(patch.nevra) in stays_out
    )


def _label(rule: Profile) -> str:
    return rule.name.replace("-", "_")  # fit to stand where a module's name is expected


def _present(rule: Profile) -> bool:
    """Whether a rival, which has no package and no command of ours, is on this host."""
    client = rule.client
    return (
        client is not None and not client.apply and any(os.access(argv[0], os.X_OK) for argv in client.state)
    )


def _in_force(found: clients.ClientState) -> bool:
    return found.state in ("in-force", "outdated")


def _verdict(
    rule: Profile, wanted: Sequence[InstalledPatch], result: clients.ClientResult
) -> tuple[list[InForce], list[Problem]]:
    """Of each package whether it is in force after ``result``. A client that names none has to succeed."""
    in_force: list[InForce] = []
    problems: list[Problem] = []
    for patch in wanted:
        own = clients.of_package(rule, result.after, patch.nevra)
        if own.state == "in-force" and (result.outcome == "done" or clients.names(rule)):
            seconds = round(result.seconds, 3)
            in_force.append(InForce(_label(rule), str(patch.nevra), own.cves, seconds))
        else:
            problems.append(problem("client-failed", nevra=patch.nevra, why=result.why or own.why))
    rest = _rest(rule, result.after)
    return in_force + ([InForce(_label(rule), "", rest)] if rest else []), problems


def _rest(rule: Profile, told: clients.ClientState) -> tuple[str, ...]:
    """What an older package closes while the newer one is not in force, where the client names none."""
    return told.cves if told.state in ("partial", "outdated") and not clients.names(rule) else ()


def converge(
    rules: Sequence[Profile],
    patches: Sequence[InstalledPatch],
    kernel: Kernel,
    timeout: float,
    stays_out: Container[str] = (),
    ours: Mapping[str, str] = {},
    gone: Callable[[str], bool] = lambda nevra: False,
) -> Outside:
    """Let each client load what is installed for ``kernel``; ``patches`` newest first.

    ``stays_out`` are blocked or held NEVRAs. ``timeout`` in seconds is the least that each client gets.
    ``ours`` is that of the last run in this boot: it is taken out again when its package is ``gone`` or is
    to stay out. What a client had loaded before we asked is left alone.
    """
    desired: list[str] = []
    in_force: list[InForce] = []
    actions: list[Action] = []
    problems: list[Problem] = []
    owned = dict(ours)
    for rule in rules:
        if _present(rule):
            found = clients.state(rule, kernel)
            if _in_force(found):
                in_force.append(InForce(_label(rule), "", found.cves))
        if rule.loader == "kernel" or rule.client is None:
            continue
        wanted = [patch for patch in _newest(patches, rule) if str(patch.nevra) not in stays_out]
        mine = [str(patch.nevra) for patch in wanted]
        if not mine:
            nevra = owned.get(_label(rule), "")
            if nevra and rule.client.remove and (nevra in stays_out or gone(nevra)):
                result = clients.remove(rule, kernel, max(timeout, rule.client.timeout))
                outcome = "done" if result.ok else "failed"
                actions.append(Action("unload", _label(rule), nevra, outcome, round(result.seconds, 3)))
                if result.ok:
                    del owned[_label(rule)]
                else:
                    problems.append(problem("client-left", nevra=nevra, why=result.why))
            continue
        desired += mine
        before = clients.state(rule, kernel)
        shut = _shut_out(rule, rules, patches, stays_out)
        result = clients.apply(rule, kernel, max(timeout, rule.client.timeout), shut)
        if result.after != before or not result.ok:
            outcome = "done" if result.ok else "failed"
            actions.append(Action("load", _label(rule), mine[0], outcome, round(result.seconds, 3)))
        if result.outcome == "done" and (before.state == "none" or _label(rule) in owned):
            owned[_label(rule)] = mine[0]
        if result.outcome == "absent":
            facts = {"nevra": mine[0], "client": rule.client.title, "remedy": rule.client.absent}
            problems.append(problem("client-absent", **facts))
            continue
        told, missing = _verdict(rule, wanted, result)
        in_force += told
        problems += missing
    return Outside(
        tuple(desired), tuple(in_force), tuple(actions), tuple(problems), tuple(sorted(owned.items()))
    )


def rows(
    rules: Iterable[Profile],
    patches: Sequence[InstalledPatch],
    kernel: Kernel,
    cover: Mapping[str, tuple[str, ...]],
) -> tuple[Row, ...]:
    """What the clients say now of the installed patches that they load, and of rivals on this host."""
    found: list[Row] = []
    for rule in rules:
        rival = _present(rule)
        mine = _newest(patches, rule) if rule.loader != "kernel" else ()
        if not rival and not mine:
            continue
        told = clients.state(rule, kernel)
        for patch in mine:
            own = clients.of_package(rule, told, patch.nevra)
            nevra, loaded = str(patch.nevra), own.state == "in-force"
            cves = own.cves
            if clients.names(rule):
                cves = cves or cover.get(nevra, ()) or patch.cves
            reason = "" if loaded else own.why or own.state
            found.append(Row(_label(rule), rule.name, nevra, loaded, cves, reason))
        others = told.cves if rival else _rest(rule, told)
        if _in_force(told) if rival else others:
            found.append(Row(_label(rule), rule.name, "", True, others, ""))
    return tuple(found)
