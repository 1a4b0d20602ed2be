# SPDX-License-Identifier: GPL-2.0-or-later
"""Which CVEs the running kernel has open, closed live, or closed by a reboot only. Pure.

Two steps. ``debt.debt_of()`` turns advisories into what the running kernel lacks, by lineage (see its
docstring); a dnf run does that and caches the result as ``Inputs``. ``compute()`` joins the inputs
with the patches that are in force right now. Everything that reports (status, prompt, metrics, exit
codes) reads the one ``Exposure`` that comes out.

A severity belongs to an advisory, not to a CVE: each row carries that of the advisory with the first fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..base.model import (
    CLOSED_LIVE,
    EXACT,
    LOWER_BOUND,
    OPEN,
    REBOOT_ONLY,
    UNKNOWN,
    CveState,
    Debt,
    Exposure,
    InForce,
    Unfixable,
)
from ..base.names import evr_of, release_of
from ..base.typed import TYPE_CHECKING, NamedTuple
from .debt import lineage

if TYPE_CHECKING:
    from ..base.model import Compare


class OnOffer(NamedTuple):
    """The newest builds that a plain upgrade may install for one running kernel, "" for none.

    ``kernel`` is the EVR of a newer kernel, ``hidden`` that of a still newer one which DNF does not take,
    either since its configuration hides the kernel or since it ``prefers`` the repository of that id.
    ``patch`` is the NEVRA of a live patch. Where there is none, ``kept`` is that of one that upgrades do not
    take, and ``why`` is the sentence about it. ``builds`` are the NEVRAs of the live
    patches that trusted repositories have and DNF can install by name, newest first, the installed one and
    older ones included.
    """

    kernel: str = ""
    hidden: str = ""
    patch: str = ""
    kept: str = ""
    why: str = ""
    prefers: str = ""
    builds: tuple[str, ...] = ()


class Inputs(NamedTuple):
    """The facts about one kernel from the repositories; the live half is added by ``compute()``.

    ``kernel_package`` is the NEVRA of the package the kernel came from. ``as_of`` is when the
    oldest of the repositories was last synchronised, ``repositories`` are (id, revision) pairs.
    ``debt`` ascends by ``fixed_in``. ``cover`` holds, for each build of a live-patch package for this
    kernel, the CVEs that its own and all earlier advisories list. ``support_end`` is the
    publisher's date, ``window_end`` what follows from the vendor's usual support window. ``read_in_vain`` is
    when the repositories were read and had no advisories to give; all else is then of ``as_of``, or nothing.
    ``on_offer`` is None where nobody looked.
    """

    kernel_release: str
    kernel_package: str = ""
    quality: str = UNKNOWN
    reason: str = ""
    as_of: str = ""
    repositories: tuple[tuple[str, str], ...] = ()
    debt: tuple[Debt, ...] = ()
    cover: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unfixable: tuple[Unfixable, ...] = ()
    support_end: str = ""
    window_end: str = ""
    read_in_vain: str = ""
    on_offer: OnOffer | None = None


def unknown(release: str, reason: str) -> Inputs:
    """Inputs for a kernel about which nothing is known, and why."""
    return Inputs(release, reason=reason)


def doubted(inputs: Inputs, left_out: Sequence[str]) -> Inputs:
    """``inputs`` of a dnf run that had to do without the repositories ``left_out``: at best a lower bound.

    They are noted with no revision, so that later runs know of them.
    """
    quality = LOWER_BOUND if inputs.debt else UNKNOWN
    why = f"left out when the repositories were read: {', '.join(left_out)}"
    noted = tuple(sorted({*inputs.repositories, *((name, "") for name in left_out)}))
    reason = f"{inputs.reason}; {why}" if inputs.reason else why
    return inputs._replace(
        quality=quality, reason=reason, repositories=noted, read_in_vain="", on_offer=None
    )


def aged(inputs: Inputs, now: str, oldest: str) -> Inputs:
    """``inputs``, or unknown with the rows kept when they are older than ``oldest`` or from after ``now``.

    All are ISO 8601 UTC texts. What was open then is open still, so the rows stay worth telling.
    """
    if oldest <= inputs.as_of <= now:
        return inputs
    if oldest <= inputs.read_in_vain <= now:  # to read them again would bring nothing
        return inputs._replace(quality=UNKNOWN)
    read = max(inputs.as_of, inputs.read_in_vain)
    when = f"were last read on {read}" if read else "were never read"
    stale = f"the repositories {when}; run 'dnf livepatch update --check'"
    reason = f"{inputs.reason}; {stale}" if inputs.reason else stale
    return inputs._replace(quality=UNKNOWN, reason=reason, read_in_vain="")


def compute(inputs: Inputs, in_force: Sequence[InForce], unfixable: Iterable[Unfixable] = ()) -> Exposure:
    """The exposure of the running kernel with the patches ``in_force``.

    A patch closes what it declares (``InForce.cves``), or else what the vendor's advisories list for its
    NEVRA. ``unfixable`` are those of the manifests; the repositories' are added. A patch that is
    installed but not in force closes nothing, so it does not belong in ``in_force``.
    """
    cover = dict(inputs.cover)
    by: dict[str, str] = {}
    for patch in in_force:
        for cve in patch.cves or cover.get(patch.nevra, ()):
            by.setdefault(cve, patch.module)
    why: dict[str, str] = {}
    for item in (*unfixable, *inputs.unfixable):
        why.setdefault(item.cve, item.reason)
    rows = []
    for row in inputs.debt:
        state = CLOSED_LIVE if row.cve in by else REBOOT_ONLY if row.cve in why else OPEN
        rows.append(
            CveState(
                row.cve,
                state,
                row.advisory,
                row.severity,
                row.fixed_in,
                by.get(row.cve, ""),
                why[row.cve] if state == REBOOT_ONLY else "",
                row.dated,
                row.date_kind,
            )
        )
    return Exposure(inputs.quality, inputs.reason, inputs.as_of, tuple(rows))


def effective(inputs: Inputs, exposure: Exposure) -> str:
    """The kernel release whose security level the running kernel has reached.

    That is the last update with CVEs of the same lineage up to which every CVE is closed live; the
    running release itself when there is none, or when a CVE may be missing from what is known.
    """
    running = evr_of(inputs.kernel_package)
    if exposure.quality != EXACT or not running:
        return inputs.kernel_release
    rows = [row for row in exposure.rows if lineage(row.fixed_in) == lineage(running)]
    unclosed = {row.fixed_in for row in rows if row.state != CLOSED_LIVE}
    reached = ""
    for row in rows:
        if row.fixed_in in unclosed:
            break
        reached = row.fixed_in
    return release_of(reached, inputs.kernel_release, running) if reached else inputs.kernel_release


def closed_by_boot(exposure: Exposure, kernel_evr: str, compare: Compare) -> list[CveState]:
    """The CVEs that are open now and closed in kernel ``kernel_evr``; none when that is ""."""
    return [
        row
        for row in exposure.rows
        if row.state != CLOSED_LIVE and kernel_evr and compare(row.fixed_in, kernel_evr) <= 0
    ]
