# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of this host, gathered once: what status, cves, metrics, check and the others tell.

Reads sysfs, the state files and (through ``inventory``) what the rpm database holds; changes nothing, needs
no privileges, no repository and no dnf. ``judge`` is the pure part.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    NamedTuple,
)

from ...base import times
from ...base.config import Config
from ...base.model import (
    CLOSED_LIVE,
    EXACT,
    UNKNOWN,
    CveState,
    Exposure,
    InForce,
    InstalledModule,
    InstalledPatch,
    Kernel,
    LoadedPatch,
    Problem,
    ReconcileResult,
    Unfixable,
)
from ...base.paths import Paths
from ...exposure import compute, support
from ...exposure.compute import Inputs
from ...exposure.debt import rank
from ...messages import catalogue

if TYPE_CHECKING:
    from ..files import notices
    from ..packages import inventory

#: States of one patch, most urgent first.
BLOCKED, NOT_LOADED, OTHER_BUILD, DISABLED = "blocked", "not-loaded", "other-build", "disabled"
HELD, WITHDRAWN = "unloaded-by-admin", "withdrawn"
TRANSITION, IN_FORCE, FOREIGN, SUBSCRIPTION = "in-transition", "in-force", "loaded-by-others", "subscription"

#: States of an installed patch that should be in force and is not, for no reason anybody gave.
MISSING = (NOT_LOADED, OTHER_BUILD, DISABLED)


class PatchRow(NamedTuple):
    """One live patch, installed or loaded or both.

    ``owner`` is ``livepatch`` for a module that reconcile loaded, ``package`` for one that is installed,
    ``other`` for a loaded one that no package of this host brought. ``enabled``, ``transition`` are
    None where the module is not loaded. ``in_force`` is verified in sysfs; ``reason`` tells why not,
    where that is known.
    """

    package: str
    module: str
    profile: str
    owner: str
    installed: bool
    loaded: bool
    enabled: bool | None
    transition: bool | None
    in_force: bool
    build_id: str
    cves: tuple[str, ...]
    state: str
    reason: str = ""


class Report(NamedTuple):
    """Everything that is told. ``state`` is ok, attention, failed, unsupported or unknown.

    ``beyond`` are CVEs that the patches in force close and no advisory for the kernel lists.
    ``modules`` are those of the installed patches; ``kernels`` and ``core`` are ``Inventory``'s.
    ``days_left`` counts to the end of live-patch support, None where that is not known.
    ``retry`` is when a stalled load is tried again by itself, "" for never.
    ``skipped`` is why nothing is loaded here, such as the kill switch; "" where loading is on.
    """

    now: str
    kernel: Kernel
    inputs: Inputs
    exposure: Exposure
    beyond: tuple[CveState, ...]
    patches: tuple[PatchRow, ...]
    loaded: tuple[LoadedPatch, ...]
    modules: tuple[InstalledModule, ...]
    kernels: tuple[tuple[str, str], ...]
    core: tuple[tuple[str, int], ...]
    installed_known: bool
    state: str
    support_end: str
    days_left: int | None
    retry: str
    skipped: str
    problems: tuple[Problem, ...]

    def rows(self, state: str) -> tuple[CveState, ...]:
        """The CVEs in ``state``, worst severity first."""
        found = [row for row in (*self.exposure.rows, *self.beyond) if row.state == state]
        return tuple(sorted(found, key=lambda row: (-rank(row.severity), row.cve)))


class Guarded(NamedTuple):
    """What the guard's file says: blocked packages and why, packages held unloaded, modules of ours
    with the package each came from, and when a stalled load is tried again. ``accepted`` are the blocked
    packages that the administrator blocked: nobody expects them in force."""

    blocked: Mapping[str, str] = {}
    held: frozenset[str] = frozenset()
    ours: Mapping[str, str] = {}
    retry: str = ""
    accepted: frozenset[str] = frozenset()


def patch_state(package: str, module: InstalledModule, live: LoadedPatch | None, guarded: Guarded) -> str:
    """The state of one installed module, as sysfs shows it now."""
    if live is None:
        return BLOCKED if package in guarded.blocked else HELD if package in guarded.held else NOT_LOADED
    if live.transition:
        return TRANSITION
    if not live.enabled:
        return DISABLED
    if module.build_id and module.build_id != live.build_id:
        return OTHER_BUILD
    return IN_FORCE


def _installed_row(
    patch: InstalledPatch,
    module: InstalledModule,
    live: LoadedPatch | None,
    guarded: Guarded,
    cover: Mapping[str, tuple[str, ...]],
) -> PatchRow:
    package = str(patch.nevra)
    state = patch_state(package, module, live, guarded)
    own = module.manifest.cves if module.manifest is not None else ()
    return PatchRow(
        package=package,
        module=module.name,
        profile=patch.profile,
        owner="livepatch" if live is not None and module.name in guarded.ours else "package",
        installed=True,
        loaded=live is not None,
        enabled=live.enabled if live else None,
        transition=live.transition if live else None,
        in_force=state == IN_FORCE,
        build_id=live.build_id if live else "",
        cves=own or cover.get(package, ()) or patch.cves,
        state=state,
        reason=guarded.blocked.get(package, ""),
    )


def _parts(patch: InstalledPatch, rows: Sequence[PatchRow]) -> list[PatchRow]:
    """Of a set that is only partly in force, a part closes what its own manifest says, no more."""
    told = [module.manifest.cves if module.manifest is not None else () for module in patch.modules]
    return [row._replace(cves=cves) if row.in_force else row for row, cves in zip(rows, told)]


def _loaded_row(live: LoadedPatch, fact: InForce | None, guarded: Guarded) -> PatchRow:
    ours = live.module in guarded.ours
    at_rest = live.enabled and not live.transition
    state = IN_FORCE if ours else FOREIGN
    if not at_rest:
        state = TRANSITION if live.transition else DISABLED
    return PatchRow(
        package=fact.nevra if fact else guarded.ours.get(live.module, ""),
        module=live.module,
        profile="",
        owner="livepatch" if ours else "other",
        installed=False,
        loaded=True,
        enabled=live.enabled,
        transition=live.transition,
        in_force=at_rest,
        build_id=live.build_id,
        cves=fact.cves if fact else (),
        state=state,
    )


def _take(
    live: dict[str, LoadedPatch], patch: InstalledPatch, module: InstalledModule, guarded: Guarded
) -> LoadedPatch | None:
    """Take what is loaded of ``module`` out of ``live``.

    Another build of that name is in a patch's way. Where the patch is to stay out anyway it is what came in
    its place, and gets a row of its own.
    """
    found = live.get(module.name)
    stays_out = str(patch.nevra) in guarded.blocked or str(patch.nevra) in guarded.held
    if found is not None and stays_out and module.build_id not in ("", found.build_id):
        return None
    return live.pop(module.name, None)


def patch_rows(
    installed: Sequence[InstalledPatch],
    loaded: Sequence[LoadedPatch],
    guarded: Guarded,
    cover: Mapping[str, tuple[str, ...]],
    known: Mapping[str, InForce],
) -> tuple[PatchRow, ...]:
    """One row for each installed module, then one for each loaded one that no package has.

    ``known`` is what reconcile verified in this boot, by module: it still tells the CVEs of a patch
    whose package is gone while it stays loaded.
    """
    live = {patch.module: patch for patch in loaded}
    rows: list[PatchRow] = []
    for patch in installed:
        if not patch.modules:
            kind = SUBSCRIPTION if patch.kind == "empty" else NOT_LOADED
            rows.append(
                PatchRow(
                    str(patch.nevra),
                    "",
                    patch.profile,
                    "package",
                    True,
                    False,
                    None,
                    None,
                    False,
                    "",
                    (),
                    kind,
                )
            )
        own = [
            _installed_row(patch, module, _take(live, patch, module, guarded), guarded, cover)
            for module in patch.modules
        ]
        rows += own if all(row.in_force for row in own) else _parts(patch, own)
    rows += [_loaded_row(entry, known.get(entry.module), guarded) for entry in live.values()]
    return tuple(rows)


def unfixable(installed: Iterable[InstalledPatch]) -> tuple[Unfixable, ...]:
    """What the installed patches say no live patch can close."""
    found: list[Unfixable] = []
    for patch in installed:
        found.extend(patch.unfixable)
        for module in patch.modules:
            if module.manifest is not None:
                found.extend(module.manifest.unfixable)
    return tuple(dict.fromkeys(found))


def beyond(exposure: Exposure, rows: Iterable[PatchRow]) -> tuple[CveState, ...]:
    """What the patches in force close although no advisory above the running kernel lists it."""
    listed = {row.cve for row in exposure.rows}
    found = {cve: row.module for row in rows if row.in_force for cve in row.cves if cve not in listed}
    return tuple(CveState(cve, CLOSED_LIVE, by=module) for cve, module in sorted(found.items()))


def judge(
    kernel: Kernel,
    rows: Sequence[PatchRow],
    exposure: Exposure,
    installed_known: bool,
    problems: Sequence[Problem],
    skipped: str,
    accepted: Container[str] = (),
) -> str:
    """The one word for the whole: the worst that is true. ``accepted`` is ``Guarded``'s."""
    severities = {problem.severity for problem in problems}
    wanted = [
        row
        for row in rows
        if row.installed
        and row.state not in (SUBSCRIPTION, HELD, WITHDRAWN)
        and not (row.state == BLOCKED and row.package in accepted)
    ]
    if "error" in severities or (not skipped and not all(row.in_force for row in wanted)):
        return "failed"
    if not kernel.release:
        return "unknown"
    if not kernel.livepatch:
        return "unsupported"
    if not installed_known or exposure.quality == UNKNOWN:
        return "unknown"
    if "warning" in severities or any(row.state != CLOSED_LIVE for row in exposure.rows):
        return "attention"
    return "ok" if exposure.quality == EXACT else "unknown"


def support_end(inputs: Inputs, installed: Iterable[InstalledPatch]) -> str:
    """When live patches for the kernel end: as the repository, a manifest or the vendor's window says."""
    ends = [m.manifest.support_end for p in installed for m in p.modules if m.manifest is not None]
    return inputs.support_end or max(ends, default="") or inputs.window_end


def _result(paths: Paths, kernel: Kernel) -> ReconcileResult | None:
    from ..files import mailbox

    result = mailbox.read_result(paths)
    if result is None or (kernel.boot_id and result.boot_id != kernel.boot_id):
        return None
    return result


def _inputs(paths: Paths, settings: Config, release: str, now: str) -> Inputs:
    import time

    from ..files import advisories

    inputs, why = advisories.load(paths, release)
    if inputs is None:
        return compute.unknown(release, why)
    oldest = times.moment(time.time() - settings.cache_max_age)
    return compute.aged(inputs, now, oldest)


def _guarded(paths: Paths, boot_id: str, stock: inventory.Inventory) -> tuple[Guarded, str]:
    from ..files import atomic as state
    from ..files import guard_file

    try:
        now = guard_file.read(paths)
    except state.Broken as error:
        return Guarded(), str(error)
    held = frozenset(nevra for nevra in now.held if now.holds(nevra, boot_id))
    ours = {module: item.nevra for module, item in now.ours(boot_id).items()}
    # The stall of a package that is gone is history; only a kept copy of it may be tried again.
    there = {str(patch.nevra) for patch in stock.patches} | {item.nevra for item in now.kept}
    waiting = [
        record.retry_at
        for nevra, record in now.records.items()
        if record.state == "stalled" and (nevra in there or not stock.healthy)
    ]
    accepted = frozenset(nevra for nevra in now.blocked() if now.records[nevra].by == "admin")
    return Guarded(now.blocked(), held, ours, min(filter(None, waiting), default=""), accepted), ""


class Look(NamedTuple):
    """The live patches of this host as they are now: packages, sysfs and the guard's file joined.

    ``guard_fault`` is why the guard's file told nothing, "" when it did. ``told`` is what dnf runs found.
    """

    stock: inventory.Inventory
    loaded: tuple[LoadedPatch, ...]
    rows: tuple[PatchRow, ...]
    guarded: Guarded
    guard_fault: str
    told: notices.Notices

    @property
    def in_force(self) -> tuple[InForce, ...]:
        """The patches verified in force, for ``exposure.compute``.

        One that closes nothing goes without its package: a part of a set may not claim the whole set's CVEs.
        """
        rows = [row for row in self.rows if row.in_force]
        return tuple(InForce(row.module, row.package if row.cves else "", row.cves) for row in rows)

    @property
    def missing(self) -> tuple[str, ...]:
        """The installed packages that should be in force and are not."""
        names = (row.package for row in self.rows if row.installed and row.state in MISSING)
        return tuple(dict.fromkeys(names))


def look(
    paths: Paths,
    kernel: Kernel,
    cover: Iterable[tuple[str, tuple[str, ...]]],
    result: ReconcileResult | None = None,
    withdrawn_go: bool = False,
) -> Look:
    """Look at the live patches; ``cover`` is the Inputs', ``result`` that of this boot, if any.

    ``withdrawn_go`` says that withdrawn patches are meant to be out of force (``on_withdrawn = revert``).
    """
    from ..files import notices
    from ..kernel import livepatches
    from ..packages import inventory

    loaded = livepatches.read(paths)
    stock = inventory.read(paths, kernel)
    known = {entry.module: entry for entry in result.in_force} if result else {}
    guarded, fault = _guarded(paths, kernel.boot_id, stock)
    inside = [patch for patch in stock.patches if patch.loader == "kernel" or patch.kind == "empty"]
    rows = patch_rows(inside, loaded, guarded, dict(cover), known)
    # A name that reconcile knows and sysfs does not is a client's patch, such as a rival's.
    if len(inside) < len(stock.patches) or set(known) - {entry.module for entry in loaded}:
        rows += _outside(paths, kernel, stock.patches, guarded, dict(cover))
    told = notices.read(paths)
    gone = dict(told.withdrawn) if withdrawn_go else {}
    rows = tuple(
        row._replace(state=WITHDRAWN, reason=gone[row.package])
        if row.state == NOT_LOADED and row.package in gone
        else row
        for row in rows
    )
    return Look(stock, loaded, rows, guarded, fault, told)


def _outside(
    paths: Paths,
    kernel: Kernel,
    patches: Sequence[InstalledPatch],
    guarded: Guarded,
    cover: Mapping[str, tuple[str, ...]],
) -> tuple[PatchRow, ...]:
    """The patches that vendors' own clients load, by what those say now."""
    from ...vendors import profiles
    from ..clients import patches as external

    found = []
    for row in external.rows(profiles.load(paths.profile_dirs)[0], patches, kernel, cover):
        state = IN_FORCE if row.in_force else NOT_LOADED
        if not row.package:
            state = FOREIGN
        elif row.package in guarded.blocked or row.package in guarded.held:
            state = BLOCKED if row.package in guarded.blocked else HELD
        found.append(
            PatchRow(
                package=row.package,
                module=row.module,
                profile=row.profile,
                owner="package" if row.package else "other",
                installed=bool(row.package),
                loaded=row.in_force,
                enabled=row.in_force or None,
                transition=False if row.in_force else None,
                in_force=row.in_force,
                build_id="",
                cves=row.cves if row.in_force else (),
                state=state,
                reason=guarded.blocked.get(row.package, row.reason),
            )
        )
    return tuple(found)


def _noticed(seen: Look, release: str) -> list[Problem]:
    """What dnf runs left to be told: patches in force that were withdrawn, a held kernel update."""
    withdrawn = dict(seen.told.withdrawn)
    names = dict.fromkeys(row.package for row in seen.rows if row.in_force and row.package in withdrawn)
    found = [catalogue.problem("withdrawn-in-force", nevra=name, why=withdrawn[name]) for name in names]
    hold = seen.told.hold
    if hold is not None and hold.release == release and (hold.name, hold.kernel) not in seen.stock.kernels:
        facts = {"kernel": hold.kernel, "name": hold.name, "why": hold.why}
        found.append(catalogue.problem("kernel-held", **facts))
    return found


def gather(paths: Paths, settings: Config, faults: Sequence[str] = ()) -> Report:
    """The Report of this host; ``faults`` are the configuration's. Never raises for bad files."""
    from ..files import atomic as state
    from ..kernel import running as kernels
    from ..kernel import switches

    now = state.now()
    kernel = kernels.running(paths)
    result = _result(paths, kernel)
    inputs = _inputs(paths, settings, kernel.release, now)
    seen = look(paths, kernel, inputs.cover, result, settings.on_withdrawn == "revert")
    stock = seen.stock
    exposure = compute.compute(inputs, seen.in_force, unfixable(stock.patches))
    before = result.skipped if result else ""
    skipped = switches.skipped(paths, settings.mode, stock.patches, before, bool(seen.missing))
    end = support_end(inputs, stock.patches)
    days = times.days_between(now, end) if end else None
    problems = list(result.problems) if result else []
    problems += [catalogue.problem("config-fault", fault=fault) for fault in faults]
    if seen.guard_fault:
        problems.append(catalogue.problem("guard-unknown", why=seen.guard_fault))
    if not stock.healthy:
        problems.append(catalogue.problem("inventory-unknown", why=stock.why))
    if not skipped and not any(problem.severity == "error" for problem in problems):
        problems += [catalogue.not_in_force(name, seen.in_force) for name in seen.missing]
    due = support.warning(kernel.release, end, now, settings.eol_warn_days)
    problems += [due] if due is not None else []
    problems += _noticed(seen, kernel.release)
    return Report(
        now=now,
        kernel=kernel,
        inputs=inputs,
        exposure=exposure,
        beyond=beyond(exposure, seen.rows),
        patches=seen.rows,
        loaded=seen.loaded,
        modules=tuple(module for patch in stock.patches for module in patch.modules),
        kernels=stock.kernels,
        core=stock.core,
        installed_known=stock.healthy,
        state=judge(kernel, seen.rows, exposure, stock.healthy, problems, skipped, seen.guarded.accepted),
        support_end=end,
        days_left=days,
        retry=seen.guarded.retry,
        skipped=skipped,
        problems=tuple(problems),
    )
