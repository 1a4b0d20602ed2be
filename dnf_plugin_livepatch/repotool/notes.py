# SPDX-License-Identifier: GPL-2.0-or-later
"""The notes in the livepatch record about kernels and their live patches. Pure.

A fact about a kernel (its end of support, the CVEs that no live patch closes) comes from what stands there,
the manifests of packages or another repository, and the publisher's settings. The later in this list wins.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence

from ..base import times
from ..base.model import Nevra, Unfixable
from ..formats.repository_record import ADVISORY, KernelNote, PatchNote, Record, Step, share
from .advisories import Incoming
from .repository.view import Advisory, Package, arch_of, by_kernel, closed_by, cve_order, withdrawn
from .settings import KernelText

#: By kernel release: the live patches that its hosts get, and the CVEs that all of them close.
Closing = Mapping[str, tuple[set[Nevra], set[str]]]


def of_arches(texts: Mapping[str, KernelText], arches: Collection[str]) -> dict[str, KernelText]:
    """The ``texts`` about kernels of ``arches``, the architectures of some packages."""
    return {
        release: text
        for release, text in texts.items()
        if arches and (arch_of(release) in ("", *arches) or set(arches) == {"noarch"})
    }


def closing(packages: Iterable[Package], told: Mapping[Nevra, list[Advisory]], record: Record) -> Closing:
    """What the newest live patch of each kernel that is not withdrawn closes, for each architecture."""
    found: dict[str, tuple[set[Nevra], set[str]]] = {}
    for (release, _arch), group in by_kernel(item for item in packages if item.kind == "patch").items():
        good = next((package for package in group if not withdrawn(record, release, package)), None)
        if good is not None:
            cves = set(closed_by(good, told))
            best, closed = found.get(release, (set(), cves))
            found[release] = {*best, good.nevra}, closed & cves
    return found


def published(
    record: Record,
    items: Iterable[Incoming],
    closes: Closing,
    steps: Sequence[tuple[int, int]],
    told_of: Mapping[str, tuple[str, str]],
    now: str,
    asked: bool = False,
) -> Record:
    """The record with a note of each live patch in ``items``.

    ``told_of`` holds issue date and advisory by NEVRA text. A patch that has a note already keeps all of the
    note except the rollout, and its facts about the kernel are not taken again. ``asked`` says that the
    rollout ``steps`` are meant for these patches. A CVE that the newest live patch closes is no longer
    unfixable, unless that very patch calls it so.
    """
    kernels = dict(record.kernels)
    patches = [item for item in items if item.package.kind == "patch"]
    newest = {nevra for best, _closed in closes.values() for nevra in best}
    for item in sorted(patches, key=lambda one: one.package.nevra in newest):
        nevra = item.package.nevra
        for release in item.package.kernels:
            old = kernels.get(release, KernelNote())
            # The facts of a patch that has a note were taken before, and may have been corrected since.
            first = str(nevra) not in old.patches
            told = [m for m in item.manifests if first and m.kernel_release == release]
            best, closed = closes.get(release, (set(), set()))
            own = (one for manifest in told for one in manifest.unfixable)
            left = [one for one in old.unfixable if one.cve not in closed]
            left += [one for one in own if nevra in best or one.cve not in closed]
            ends = [manifest.support_end for manifest in told if manifest.support_end]
            notes = dict(old.patches)
            if str(nevra) in notes:
                known = notes[str(nevra)]
                notes[str(nevra)] = known._replace(rollout=_continued(known, steps, now, asked))
            else:
                issued, advisory = told_of.get(str(nevra), (now, ""))
                named = advisory if ADVISORY.match(advisory) else ""
                notes[str(nevra)] = PatchNote(issued, rollout(steps, now), advisory=named)
            kernels[release] = KernelNote(max(ends) if ends else old.support_end, _joined(left), notes)
    return _record(record, kernels, now)


def taken(
    record: Record,
    source: Record,
    nevras: Container[str],
    closes: Closing,
    steps: Sequence[tuple[int, int]],
    now: str,
) -> Record:
    """The record with the notes of ``nevras``, and the facts of their kernels, from the record ``source``.

    The rollout is the one of the target. Patches that have a note already get the withdrawals of
    ``source``.
    """
    kernels = dict(record.kernels)
    for release, note in source.kernels.items():
        fresh = {
            nevra: patch._replace(rollout=rollout(steps, now))
            for nevra, patch in note.patches.items()
            if nevra in nevras
        }
        old = kernels.get(release, KernelNote())
        known = {
            nevra: patch._replace(
                withdrawn=patch.withdrawn or note.patches.get(nevra, PatchNote()).withdrawn,
                rollout=_continued(patch, steps, now) if nevra in fresh else patch.rollout,
            )
            for nevra, patch in old.patches.items()
        }
        if fresh:
            _best, closed = closes.get(release, (set(), set()))
            stays = [one for one in old.unfixable if one.cve not in closed]
            kernels[release] = KernelNote(
                note.support_end or old.support_end,
                _joined([*stays, *note.unfixable]),
                {**fresh, **known},
            )
        elif known != old.patches:
            kernels[release] = old._replace(patches=known)
    return _record(record, kernels, now)


def stated(
    record: Record,
    texts: Mapping[str, KernelText],
    now: str,
    fixable: Container[str] = (),
    endless: bool = False,
) -> Record:
    """The record with the publisher's ``texts`` about kernels.

    The CVEs ``fixable`` are unfixable no longer, and with ``endless`` the end of support is unknown again.
    """
    kernels = dict(record.kernels)
    for release, text in texts.items():
        old = kernels.get(release, KernelNote())
        stays = [one for one in old.unfixable if one.cve not in fixable]
        end = "" if endless else text.support_end or old.support_end
        note = old._replace(support_end=end, unfixable=_joined([*stays, *text.unfixable]))
        if note != old:
            kernels[release] = note
    return _record(record, kernels, now)


def withdrawn_names(record: Record) -> set[str]:
    """The NEVRAs that are withdrawn for any kernel."""
    notes = (item for note in record.kernels.values() for item in note.patches.items())
    return {nevra for nevra, patch in notes if patch.withdrawn}


def _record(record: Record, kernels: Mapping[str, KernelNote], now: str) -> Record:
    changed = dict(record.kernels) != kernels
    return Record(now if changed or not record.generated else record.generated, kernels)


def _joined(unfixable: Iterable[Unfixable]) -> tuple[Unfixable, ...]:
    """``unfixable`` in order and once; of two entries about a CVE the later one stays."""
    found = {one.cve: one for one in unfixable}
    return tuple(found[cve] for cve in sorted(found, key=cve_order))


def _continued(
    note: PatchNote, steps: Sequence[tuple[int, int]], now: str, asked: bool = False
) -> tuple[Step, ...]:
    """The rollout of a patch that has a note: ``steps``, counted from the beginning of its rollout.

    Steps that are not ``asked`` for take back no patch that all hosts are offered. An empty list of such
    steps ends no rollout.
    """
    if not asked and (not steps or share(note, now) == 100):
        return note.rollout
    found = rollout(steps, note.rollout[0].since if note.rollout else now)
    # The record of a repository that was taken over may begin on no day.
    return found if all(step.since for step in found) else rollout(steps, now)


def steady(
    record: Record, nevras: Container[str], steps: Sequence[tuple[int, int]], now: str
) -> tuple[list[str], list[str]]:
    """Those of ``nevras`` whose rollout is another than ``steps`` and stays: it is over, or it goes on."""
    over, going = set(), set()
    for note in record.kernels.values():
        for nevra, patch in note.patches.items():
            if (
                nevra not in nevras
                or patch.withdrawn
                or patch.rollout == _continued(patch, steps, now, True)
            ):
                continue
            if share(patch, now) < 100 and not steps:
                going.add(nevra)
            elif share(patch, now) == 100 and steps:
                over.add(nevra)
    return sorted(over), sorted(going)


def rollout(steps: Sequence[tuple[int, int]], begun: str) -> tuple[Step, ...]:
    """The rollout ``steps`` (seconds after, percent) as moments counted from ``begun``, the first moment."""
    if steps and steps[0][0] > 0:
        steps = [(0, 0), *steps]
    return tuple(Step(times.later(begun, after), percent) for after, percent in steps)
