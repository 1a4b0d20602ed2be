# SPDX-License-Identifier: GPL-2.0-or-later
"""The answer about one CVE: open, closed, or not known. Pure."""

from __future__ import annotations

from ...base.model import CLOSED_LIVE, EXACT, OPEN, REBOOT_ONLY, UNKNOWN, CveState
from ...base.typed import TYPE_CHECKING, NamedTuple
from ..look import PatchRow
from .status import Report

if TYPE_CHECKING:
    from typing import Any

NOT_AFFECTED = "not-affected"
#: The exit code for each state, alike those of reboot-check.
CODES = {CLOSED_LIVE: 0, NOT_AFFECTED: 0, OPEN: 100, REBOOT_ONLY: 101, UNKNOWN: 102}


class Answer(NamedTuple):
    """The state of one CVE on this host, its row of the exposure where there is one, and a sentence."""

    state: str
    row: CveState
    text: str

    @property
    def code(self) -> int:
        """The exit code that means the same."""
        return CODES[self.state]


def answer(report: Report, cve: str) -> Answer:
    """Return the answer of ``report`` about ``cve``.

    Only complete advisories can show that the kernel is not affected, and then only as far as they know. A
    live patch for the kernel that names the CVE shows that the kernel is affected.
    """
    exposure = report.exposure
    found = next((row for row in (*exposure.rows, *report.beyond) if row.cve == cve), None)
    if found is not None:
        return Answer(found.state, found, f"{cve} is {_listed(report, found)}.")
    absent = CveState(cve, UNKNOWN)
    told = _told_by_patches(report, cve)
    if told:
        return Answer(OPEN, absent._replace(state=OPEN), f"{cve} is open{told}.")
    if exposure.quality != EXACT:
        return Answer(UNKNOWN, absent, f"{cve} is unknown: {exposure.reason}.")
    text = (
        f"{cve} does not affect the running kernel, as far as is known: no advisory read on {exposure.as_of}"
        " fixes it in a newer kernel."
    )
    return Answer(NOT_AFFECTED, absent._replace(state=NOT_AFFECTED), text)


def _listed(report: Report, row: CveState) -> str:
    if row.state == CLOSED_LIVE:
        return f"closed live, by module {row.by}"
    known = ", ".join(word for word in (row.advisory, row.severity) if word)
    fixed = f"kernel {row.fixed_in} fixes it" + (f" ({known})" if known else "")
    if row.state == REBOOT_ONLY:
        return f"open, and only a reboot closes it ({row.reason}): {fixed}"
    waiting = _waiting(report, row.cve)
    return f"open: {fixed}" + (f"; {waiting.package} would close it and is not in force" if waiting else "")


def _told_by_patches(report: Report, cve: str) -> str:
    """Return why ``cve`` is open, by the live patches for the kernel; "" where none of them names it.

    No patch in force closes ``cve``, and no advisory of a newer kernel lists it.
    """
    waiting = _waiting(report, cve)
    if waiting is not None:
        return f": {waiting.package} would close it and is not in force"
    why = next((item.reason for item in report.unfixable if item.cve == cve), None)
    if why is not None:
        return ", and no live patch closes it" + (f": {why}" if why else "")
    listed = next((nevra for nevra, cves in report.inputs.cover if cve in cves), "")
    return f": live patch {listed} is said to close it, and no patch in force does" if listed else ""


def _waiting(report: Report, cve: str) -> PatchRow | None:
    """Return an installed patch that closes ``cve`` and is not in force."""
    fit = (row for row in report.patches if row.installed and not row.in_force)
    return next((row for row in fit if cve in row.cves), None)


def as_json(report: Report, found: Answer) -> dict[str, Any]:
    """Return the object of ``livepatch cves CVE --json``, without the schema number."""
    exposure = report.exposure
    return {
        "kernel": report.kernel.release,
        **found.row._asdict(),
        "state": found.state,
        "quality": exposure.quality,
        "as_of": exposure.as_of,
        "text": found.text,
    }
