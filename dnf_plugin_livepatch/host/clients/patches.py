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

from ...base.model import Action, InForce, InstalledPatch, Kernel, Nevra, Problem
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.catalogue import problem
from ...vendors.profile_file import Client, Profile
from . import client

if TYPE_CHECKING:
    from typing import Callable


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
    own = rule.client
    return own is not None and not own.apply and any(os.access(argv[0], os.X_OK) for argv in own.state)


def _in_force(found: client.ClientState) -> bool:
    return found.state in ("in-force", "outdated")


def _verdict(
    rule: Profile, wanted: Sequence[InstalledPatch], result: client.ClientResult
) -> tuple[list[InForce], list[Problem]]:
    """Of each package whether it is in force after ``result``. A client that names none has to succeed."""
    in_force: list[InForce] = []
    problems: list[Problem] = []
    for patch in wanted:
        own = client.of_package(rule, result.after, patch.nevra)
        if own.state == "in-force" and (result.outcome == "done" or client.names(rule)):
            seconds = round(result.seconds, 3)
            in_force.append(InForce(_label(rule), str(patch.nevra), own.cves, seconds))
        else:
            problems.append(problem("client-failed", nevra=patch.nevra, why=result.why or own.why))
    rest = _rest(rule, result.after)
    return in_force + ([InForce(_label(rule), "", rest)] if rest else []), problems


def _rest(rule: Profile, told: client.ClientState) -> tuple[str, ...]:
    """What an older package closes while the newer one is not in force, where the client names none."""
    return told.cves if told.state in ("partial", "outdated") and not client.names(rule) else ()


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
    work = _Clients(rules, patches, kernel, timeout, stays_out, dict(ours), gone)
    for rule in rules:
        work.show_other_product(rule)
        if rule.loader == "kernel" or rule.client is None:
            continue
        wanted = [patch for patch in _newest(patches, rule) if str(patch.nevra) not in stays_out]
        if wanted:
            work.load(rule, rule.client, wanted)
        else:
            work.take_out(rule, rule.client)
    return Outside(
        tuple(work.desired),
        tuple(work.in_force),
        tuple(work.actions),
        tuple(work.problems),
        tuple(sorted(work.owned.items())),
    )


class _Clients:
    """One round with the clients: what it works on and what came of it so far."""

    def __init__(
        self,
        rules: Sequence[Profile],
        patches: Sequence[InstalledPatch],
        kernel: Kernel,
        timeout: float,
        stays_out: Container[str],
        owned: dict[str, str],
        gone: Callable[[str], bool],
    ) -> None:
        self.rules, self.patches, self.kernel = rules, patches, kernel
        self.timeout, self.stays_out, self.owned, self.gone = timeout, stays_out, owned, gone
        self.desired: list[str] = []
        self.in_force: list[InForce] = []
        self.actions: list[Action] = []
        self.problems: list[Problem] = []

    def note(self, verb: str, rule: Profile, nevra: str, result: client.ClientResult) -> None:
        """Note that ``rule``'s client changed something, or tried to."""
        outcome = "done" if result.ok else "failed"
        self.actions.append(Action(verb, _label(rule), nevra, outcome, round(result.seconds, 3)))

    def show_other_product(self, rule: Profile) -> None:
        """Note the patches of a product that is on this host and that we never drive."""
        if _present(rule):
            found = client.state(rule, self.kernel)
            if _in_force(found):
                self.in_force.append(InForce(_label(rule), "", found.cves))

    def take_out(self, rule: Profile, tool: Client) -> None:
        """Have the client unload what we had it load, once the package is gone or is to stay out."""
        nevra = self.owned.get(_label(rule), "")
        if not (nevra and tool.remove and (nevra in self.stays_out or self.gone(nevra))):
            return
        result = client.remove(rule, self.kernel, max(self.timeout, tool.timeout))
        self.note("unload", rule, nevra, result)
        if result.ok:
            del self.owned[_label(rule)]
        else:
            self.problems.append(problem("client-left", nevra=nevra, why=result.why))

    def load(self, rule: Profile, tool: Client, wanted: Sequence[InstalledPatch]) -> None:
        """Have the client load the packages ``wanted``, and note which of them are in force then."""
        mine = [str(patch.nevra) for patch in wanted]
        self.desired += mine
        before = client.state(rule, self.kernel)
        shut = _shut_out(rule, self.rules, self.patches, self.stays_out)
        result = client.apply(rule, self.kernel, max(self.timeout, tool.timeout), shut)
        if result.after != before or not result.ok:
            self.note("load", rule, mine[0], result)
        if result.outcome == "done" and (before.state == "none" or _label(rule) in self.owned):
            self.owned[_label(rule)] = mine[0]
        if result.outcome == "absent":
            facts = {"nevra": mine[0], "client": tool.title, "remedy": tool.absent}
            self.problems.append(problem("client-absent", **facts))
            return
        in_force, missing = _verdict(rule, wanted, result)
        self.in_force += in_force
        self.problems += missing


def rows(
    rules: Iterable[Profile],
    patches: Sequence[InstalledPatch],
    kernel: Kernel,
    cover: Mapping[str, tuple[str, ...]],
) -> tuple[Row, ...]:
    """What the clients say now of the installed patches that they load, and of rivals on this host."""
    found: list[Row] = []
    for rule in rules:
        other = _present(rule)
        mine = _newest(patches, rule) if rule.loader != "kernel" else ()
        if not other and not mine:
            continue
        told = client.state(rule, kernel)
        for patch in mine:
            own = client.of_package(rule, told, patch.nevra)
            nevra, loaded = str(patch.nevra), own.state == "in-force"
            cves = own.cves
            if client.names(rule):
                cves = cves or cover.get(nevra, ()) or patch.cves
            reason = "" if loaded else own.why or own.state
            found.append(Row(_label(rule), rule.name, nevra, loaded, cves, reason))
        others = told.cves if other else _rest(rule, told)
        if _in_force(told) if other else others:
            found.append(Row(_label(rule), rule.name, "", True, others, ""))
    return tuple(found)
