# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches of this host now: packages, kernel and the guard's file joined. Nothing is changed.

Status, the reboot advice and the planning of a dnf transaction all read this one result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..base.model import InForce, InstalledModule, InstalledPatch, Kernel, LoadedPatch, ReconcileResult
from ..base.paths import Paths
from ..base.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .files import notices
    from .packages import inventory

#: States of one patch, most urgent first.
BLOCKED, NOT_LOADED, OTHER_BUILD, DISABLED = "blocked", "not-loaded", "other-build", "disabled"
UNLOADED, WITHDRAWN = "unloaded-by-admin", "withdrawn"
LOADING, UNLOADING = "loading", "unloading"
TRANSITION, IN_FORCE, FOREIGN, SUBSCRIPTION = "in-transition", "in-force", "loaded-by-others", "subscription"
#: States of an installed patch that should be in force and is not, although nobody keeps it out.
MISSING = (NOT_LOADED, OTHER_BUILD, DISABLED)


class PatchRow(NamedTuple):
    """One live patch, installed or loaded or both.

    ``owner`` is ``livepatch`` for a module that reconcile loaded, ``package`` for the module of an installed
    package, ``other`` for a loaded module of no package on this host. ``enabled`` and ``transition`` are
    None where the module is not loaded. ``in_force`` is verified in sysfs. ``reason`` is why the patch is
    not in force, where that is known. ``since`` is when the load or removal began that is under way, and
    ``until`` when it ends at the latest; "" where that is not known.
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
    since: str = ""
    until: str = ""


class Guarded(NamedTuple):
    """The facts of the guard's file that count now.

    ``blocked`` are the blocked packages with their reasons, ``accepted`` those of them that the
    administrator blocked: nobody expects them in force. ``unloaded`` are the packages unloaded by hand,
    each with how long that holds. ``ours`` are the modules that reconcile loaded, with their packages.
    ``retry`` is when a stalled load is tried again. ``begun`` are the packages whose load a run of this boot
    began and did not end, with the time.
    """

    blocked: Mapping[str, str] = {}
    unloaded: Mapping[str, str] = {}
    ours: Mapping[str, str] = {}
    retry: str = ""
    accepted: frozenset[str] = frozenset()
    begun: Mapping[str, str] = {}


def patch_state(package: str, module: InstalledModule, live: LoadedPatch | None, guarded: Guarded) -> str:
    """Return the state of one installed module, as sysfs shows it now."""
    if live is None:
        return (
            BLOCKED
            if package in guarded.blocked
            else UNLOADED
            if package in guarded.unloaded
            else NOT_LOADED
        )
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
        reason=guarded.blocked.get(package) or (guarded.unloaded.get(package, "") if live is None else ""),
        since=guarded.begun.get(package, "") if state == TRANSITION else "",
    )


def _parts(patch: InstalledPatch, rows: Sequence[PatchRow]) -> list[PatchRow]:
    """Cut ``rows`` down to what each part closes, for a set that is only partly in force.

    A part closes the CVEs of its own manifest and no others.
    """
    declared = [module.manifest.cves if module.manifest is not None else () for module in patch.modules]
    return [row._replace(cves=cves) if row.in_force else row for row, cves in zip(rows, declared)]


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
    """Take the loaded patch of the name of ``module`` out of ``live`` and return it; None for none.

    If another build of the module is loaded, the patch cannot be. If the patch is blocked or unloaded
    anyway, the other build is its replacement: it stays in ``live`` and gets a row of its own.
    """
    found = live.get(module.name)
    stays_out = str(patch.nevra) in guarded.blocked or str(patch.nevra) in guarded.unloaded
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
    """Return a row for each installed module, then a row for each loaded module that no package has.

    ``known`` are the patches that reconcile verified in this boot, by module. They still have the CVEs of a
    patch that stays loaded while its package is gone.
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


def under_way(rows: Sequence[PatchRow], guarded: Guarded, since: str, until: str) -> tuple[PatchRow, ...]:
    """The rows while a reconcile is under way ``since`` then, which ends ``until`` then at the latest.

    What is installed and out of force is being loaded. A module that is kept out is being taken out, and so
    is a module without a package, unless an installed patch is there: the module then stays until that
    patch takes its place.
    """
    alone = not any(row.installed and row.state not in (SUBSCRIPTION, FOREIGN) for row in rows)
    found = []
    for row in rows:
        state = row.state
        kept_out = row.package in guarded.blocked or row.package in guarded.unloaded
        if row.installed and state in MISSING and not (kept_out and row.loaded):
            state = LOADING
        elif row.owner == "livepatch" and row.loaded and (alone or kept_out):
            state = UNLOADING
        moves = state in (LOADING, UNLOADING, TRANSITION)
        found.append(row._replace(state=state, since=since, until=until) if moves else row)
    return tuple(found)


def _guarded(paths: Paths, boot_id: str, stock: inventory.Inventory) -> tuple[Guarded, str]:
    from .files import atomic, guard_file

    try:
        now = guard_file.read(paths)
    except atomic.Broken as error:
        return Guarded(), str(error)
    unloaded = {
        nevra: "until the next boot" if until else "until 'livepatch unblock'"
        for nevra, until in now.unloaded.items()
        if now.is_unloaded(nevra, boot_id)
    }
    ours = {module: item.nevra for module, item in now.ours(boot_id).items()}
    # The stall of a package that is gone is history; only a copy of its modules may be tried again.
    there = {str(patch.nevra) for patch in stock.patches} | {item.nevra for item in now.copies}
    waiting = [
        entry.retry_at
        for nevra, entry in now.entries.items()
        if entry.state == "stalled" and (nevra in there or not stock.healthy)
    ]
    accepted = frozenset(nevra for nevra in now.blocked() if now.entries[nevra].by == "admin")
    begun = {
        nevra: entry.since
        for nevra, entry in now.entries.items()
        if entry.state == "loading" and entry.boot_id == boot_id
    }
    retry = min(filter(None, waiting), default="")
    return Guarded(now.blocked(), unloaded, ours, retry, accepted, begun), ""


class Look(NamedTuple):
    """The live patches of this host as they are now: packages, sysfs and the guard's file joined.

    ``guard_fault`` and ``notices_fault`` are why the guard's file and the notices cannot be believed, ""
    where they can. ``noticed`` are the findings of dnf runs.
    """

    stock: inventory.Inventory
    loaded: tuple[LoadedPatch, ...]
    rows: tuple[PatchRow, ...]
    guarded: Guarded
    guard_fault: str
    noticed: notices.Notices
    notices_fault: str

    @property
    def in_force(self) -> tuple[InForce, ...]:
        """The patches verified in force, for ``exposure.compute``.

        A part with no CVEs of its own is returned without NEVRA; otherwise ``compute`` would credit it with
        the package's CVEs.
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
    """Look at the live patches of this host.

    ``cover`` is that of the Inputs, ``result`` the last one of this boot, if any. With ``withdrawn_go``
    withdrawn patches are meant to be out of force (``on_withdrawn = revert``).
    """
    from .files import notices
    from .kernel import livepatches
    from .packages import inventory

    loaded = livepatches.read(paths)
    stock = inventory.read(paths, kernel)
    known = {entry.module: entry for entry in result.in_force} if result else {}
    guarded, fault = _guarded(paths, kernel.boot_id, stock)
    inside = [patch for patch in stock.patches if patch.loader == "kernel" or patch.kind == "empty"]
    rows = patch_rows(inside, loaded, guarded, dict(cover), known)
    # A patch that reconcile knows and sysfs does not list is a client's, such as another product's.
    if len(inside) < len(stock.patches) or set(known) - {entry.module for entry in loaded}:
        rows += _outside(paths, kernel, stock.patches, guarded, dict(cover))
    rows = tuple(
        row._replace(state=LOADING, since=guarded.begun.get(row.package, ""))
        if row.state == NOT_LOADED and row.module and livepatches.coming(paths, row.module)
        else row
        for row in rows
    )
    noticed = notices.read(paths)
    gone = noticed.proved if withdrawn_go else {}
    rows = tuple(
        row._replace(state=WITHDRAWN, reason=gone[row.package])
        if row.state == NOT_LOADED and row.package in gone
        else row
        for row in rows
    )
    return Look(stock, loaded, rows, guarded, fault, noticed, notices.fault(paths))


def _outside(
    paths: Paths,
    kernel: Kernel,
    stock: Sequence[InstalledPatch],
    guarded: Guarded,
    cover: Mapping[str, tuple[str, ...]],
) -> tuple[PatchRow, ...]:
    """Return the patches that vendors' own clients load, as the clients report them now."""
    from ..vendors import profiles
    from .clients import patches

    found = []
    # Their commands are that root's own: they would run here, as whoever looks.
    rules = () if paths.foreign else profiles.load(paths.profile_dirs)[0]
    for row in patches.rows(rules, stock, kernel, cover):
        state = IN_FORCE if row.in_force else NOT_LOADED
        if not row.package:
            state = FOREIGN
        elif row.package in guarded.blocked or row.package in guarded.unloaded:
            state = BLOCKED if row.package in guarded.blocked else UNLOADED
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
                cves=row.cves,
                state=state,
                reason=guarded.blocked.get(row.package) or guarded.unloaded.get(row.package) or row.reason,
            )
        )
    return tuple(found)
