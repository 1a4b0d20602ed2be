# SPDX-License-Identifier: GPL-2.0-or-later
"""Live patches that a vendor's own client loads, for reconcile and status. sysfs does not show them.

In rows and results the name of the profile, with dashes as underscores, stands in the place of a module's
name. The client is the only source, so it is asked anew each time. If a client lists patches by name, each
package is judged on its own. If it does not, nobody can know which package is in force, and only the CVEs
that the client itself reports count as closed.
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
    """The clients' actions and the state after them. ``desired`` are the NEVRAs that should be in force.

    ``ours`` are the packages that a client loaded on request: the label of its profile and the NEVRA.
    """

    desired: tuple[str, ...] = ()
    in_force: tuple[InForce, ...] = ()
    actions: tuple[Action, ...] = ()
    problems: tuple[Problem, ...] = ()
    ours: tuple[tuple[str, str], ...] = ()


class Row(NamedTuple):
    """One patch of a client, for status; ``package`` is "" for other products and for unknown packages."""

    module: str
    profile: str
    package: str
    in_force: bool
    cves: tuple[str, ...]
    reason: str


def _newest(patches: Sequence[InstalledPatch], rule: Profile) -> tuple[InstalledPatch, ...]:
    """Return the installed packages of one profile that count: of a cumulative vendor only the newest."""
    found = tuple(patch for patch in patches if patch.profile == rule.name and patch.kind == "patch")
    return found[:1] if rule.cumulative else found


def _shut_out(
    rule: Profile, rules: Iterable[Profile], patches: Sequence[InstalledPatch], stays_out: Container[str]
) -> tuple[Nevra, ...]:
    """Return the packages that have to stay out and that ``rule``'s client would load too.

    Profiles may share one client.
    """
    commands = {other.name: other.client.apply for other in rules if other.client is not None}
    mine = commands[rule.name]
    return tuple(
        patch.nevra
        for patch in patches
        if patch.kind == "patch" and commands.get(patch.profile) == mine and str(patch.nevra) in stays_out
    )


def _label(rule: Profile) -> str:
    return rule.name.replace("-", "_")  # a valid name of a module


def _present(rule: Profile) -> bool:
    """Return whether the product of ``rule``, which is only shown and never driven, is on this host."""
    own = rule.client
    return own is not None and not own.apply and any(os.access(argv[0], os.X_OK) for argv in own.state)


def _in_force(found: client.ClientState) -> bool:
    return found.state in ("in-force", "outdated")


def _verdict(
    rule: Profile, wanted: Sequence[InstalledPatch], result: client.ClientResult
) -> tuple[list[InForce], list[Problem]]:
    """Judge for each package whether it is in force after ``result``.

    A client that lists no patches by name counts only where its command succeeded.
    """
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


def _rest(rule: Profile, found: client.ClientState) -> tuple[str, ...]:
    """Return the CVEs that an older package closes while the newer one is not in force.

    Only a client that lists no patches by name leaves such a rest.
    """
    return found.cves if found.state in ("partial", "outdated") and not client.names(rule) else ()


def converge(
    rules: Sequence[Profile],
    patches: Sequence[InstalledPatch],
    kernel: Kernel,
    timeout: float,
    stays_out: Container[str] = (),
    ours: Mapping[str, str] = {},
    gone: Callable[[str], bool] = lambda nevra: False,
    progress: Callable[[str], None] | None = None,
) -> Outside:
    """Let each client load the packages ``patches`` (newest first) that are installed for ``kernel``.

    ``stays_out`` are the NEVRAs that are blocked or unloaded by hand. ``ours`` is that of the last run in
    this boot: such a package is taken out again when it is ``gone`` or has to stay out. Patches that a
    client had loaded before are left alone. ``progress`` gets a line for each ``timeout`` seconds that a
    client takes.
    """
    clients = _Clients(rules, patches, kernel, timeout, stays_out, dict(ours), gone, progress)
    for rule in rules:
        clients.show_other_product(rule)
        if rule.loader == "kernel" or rule.client is None:
            continue
        wanted = [patch for patch in _newest(patches, rule) if str(patch.nevra) not in stays_out]
        if wanted:
            clients.load(rule, rule.client, wanted)
        else:
            clients.take_out(rule, rule.client)
    return Outside(
        tuple(clients.desired),
        tuple(clients.in_force),
        tuple(clients.actions),
        tuple(clients.problems),
        tuple(sorted(clients.owned.items())),
    )


class _Clients:
    """One round with the clients: the packages it works on and the results so far."""

    def __init__(
        self,
        rules: Sequence[Profile],
        patches: Sequence[InstalledPatch],
        kernel: Kernel,
        timeout: float,
        stays_out: Container[str],
        owned: dict[str, str],
        gone: Callable[[str], bool],
        progress: Callable[[str], None] | None,
    ) -> None:
        self.rules, self.patches, self.kernel = rules, patches, kernel
        self.timeout, self.stays_out, self.owned, self.gone = timeout, stays_out, owned, gone
        self.progress = progress
        self.desired: list[str] = []
        self.in_force: list[InForce] = []
        self.actions: list[Action] = []
        self.problems: list[Problem] = []

    def note(self, verb: str, rule: Profile, nevra: str, result: client.ClientResult) -> None:
        """Note that ``rule``'s client changed the kernel, or tried to."""
        outcome = "done" if result.ok else "failed"
        self.actions.append(Action(verb, _label(rule), nevra, outcome, round(result.seconds, 3)))

    def show_other_product(self, rule: Profile) -> None:
        """Note the patches of a product that is on this host and that is never driven."""
        if _present(rule):
            found = client.state(rule, self.kernel)
            if _in_force(found):
                self.in_force.append(InForce(_label(rule), "", found.cves))

    def take_out(self, rule: Profile, tool: Client) -> None:
        """Have the client unload a package that it loaded on request and that is gone or has to stay out."""
        nevra = self.owned.get(_label(rule), "")
        if not (nevra and tool.remove and (nevra in self.stays_out or self.gone(nevra))):
            return
        result = client.remove(rule, self.kernel, max(self.timeout, tool.timeout), self.progress)
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
        result = client.apply(rule, self.kernel, max(self.timeout, tool.timeout), shut, self.progress)
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
    """Return the clients' reports on their installed patches, and on other products on this host."""
    found: list[Row] = []
    for rule in rules:
        other = _present(rule)
        mine = _newest(patches, rule) if rule.loader != "kernel" else ()
        if not other and not mine:
            continue
        reported = client.state(rule, kernel)
        for patch in mine:
            own = client.of_package(rule, reported, patch.nevra)
            nevra, loaded = str(patch.nevra), own.state == "in-force"
            cves = own.cves
            if client.names(rule) or not loaded:
                cves = cves or cover.get(nevra, ()) or patch.cves
            reason = "" if loaded else own.why or own.state
            found.append(Row(_label(rule), rule.name, nevra, loaded, cves, reason))
        others = reported.cves if other else _rest(rule, reported)
        if _in_force(reported) if other else others:
            found.append(Row(_label(rule), rule.name, "", True, others, ""))
    return tuple(found)
