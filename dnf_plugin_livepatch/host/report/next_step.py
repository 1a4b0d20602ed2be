# SPDX-License-Identifier: GPL-2.0-or-later
"""The one first step out of each state of a host: a command that changes the state. Pure.

``TABLE`` has a row for each state; docs/reference/next-steps.md shows the table. ``OF_PROBLEM`` names the
state for each error that a run of reconcile can end with. ``step`` chooses the row for a Report.
"""

from __future__ import annotations

from ...base.model import CLOSED_LIVE, EXACT, UNKNOWN, Problem
from ...base.typed import NamedTuple
from .. import look
from ..kernel import running
from .reboot import Advice, stuck
from .status import MOVING, Report

CONF = "/etc/dnf/plugins/livepatch.conf"


class Row(NamedTuple):
    """One row of the table: the state in words, the command to type, and a note about the command.

    ``{package}``, ``{module}``, ``{older}`` and ``{why}`` stand for facts of the host. ``command`` is ""
    where only waiting helps.
    """

    state: str
    command: str
    note: str = ""


class Step(NamedTuple):
    """The step for one host: the key of its row in ``TABLE``, the command and the note, both filled in."""

    state: str
    command: str
    note: str

    def __str__(self) -> str:
        if not self.command:
            return f"no command helps yet: {self.note}" if self.note else ""
        return f"{self.command}    ({self.note})" if self.note else self.command


TABLE: dict[str, Row] = {
    "container": Row(
        "the processes of a container look at the kernel",
        "livepatch status",
        "on the host of this container",
    ),
    "moving": Row(
        "a live patch is being loaded or taken out", "livepatch status", "again, when the {why} has ended"
    ),
    "load-hangs": Row(
        "the kernel has been loading a patch for too long",
        "livepatch block {package}; systemctl reboot",
        "only a boot ends a load that hangs, and the block keeps {package} out after that",
    ),
    "run-hangs": Row(
        "a reconcile does not end",
        "systemctl restart livepatch-reconcile.service",
        "ends the run that hangs and begins another; a run by hand is ended with Ctrl-C",
    ),
    "transition": Row(
        "a transition is under way", "livepatch status", "again, when the transition is complete"
    ),
    "reboot-only": Row("only a boot puts the right live patch in force", "systemctl reboot"),
    "disk-full": Row(
        "the file system of /var/lib/livepatch is full",
        "dnf clean all",
        "frees space below /var/cache; then 'livepatch reconcile'",
    ),
    "disk-read-only": Row(
        "the file system of /var/lib/livepatch is mounted read-only",
        "mount -o remount,rw {why}",
        "then 'livepatch reconcile'",
    ),
    "records": Row(
        "the records could not be written, for a reason that is gone",
        "livepatch reconcile",
    ),
    "guard": Row(
        "the guard's file cannot be read",
        "mv /var/lib/livepatch/guard.json /var/lib/livepatch/guard.json.broken && livepatch reconcile",
        "the blocks are then taken from the history; a backup of the file would keep everything",
    ),
    "database": Row("the rpm database cannot be read", "rpmdb --rebuilddb && livepatch reconcile"),
    "rpm-runs": Row(
        "an RPM transaction runs", "livepatch reconcile", "waits for the transaction, as the next run does"
    ),
    "profiles": Row(
        "a vendor profile is wrong or missing",
        "dnf reinstall livepatch-runtime",
        "for a profile in /etc/livepatch/profiles.d, correct the file that the error names",
    ),
    "rival": Row(
        "another product patches the kernel", "systemctl reboot", "after the other product is removed"
    ),
    "foreign": Row(
        "a live patch that others loaded is in the way",
        "echo 0 >/sys/kernel/livepatch/{module}/enabled",
        "then 'rmmod {module}' and 'livepatch reconcile'; 'kpatch unload {module}' does the same",
    ),
    "name-taken": Row(
        "a module of the same name is in the kernel and patches nothing",
        "rmmod {module} && livepatch reconcile",
    ),
    "in-the-way": Row(
        "tasks keep a transition from ending",
        "livepatch reconcile",
        "after the tasks that the error names are stopped or restarted",
    ),
    "try-again": Row("the kernel was busy", "livepatch reconcile"),
    "incompatible": Row(
        "the kernel refuses the patch beside the one that is loaded",
        "systemctl reboot",
        "loads the installed one alone",
    ),
    "signer": Row(
        "the patch is signed with another key than the kernel, and nothing vouches for its repository",
        f"vi {CONF}",
        "name in repos = the repositories that kernels come from; then 'dnf upgrade'",
    ),
    "client": Row(
        "the vendor's own program is missing or failed",
        "livepatch reconcile",
        "after the remedy of the error",
    ),
    "damaged": Row(
        "the module's file is missing, damaged or changed",
        "dnf reinstall {package}",
        "if the file is wrong in the package, 'livepatch block {package}' accepts that",
    ),
    "bad-newer": Row(
        "the installed patch is bad or blocked, and a newer one may be on offer",
        "dnf upgrade",
        "for a newer patch than {package}; 'livepatch unblock' tries a blocked one again",
    ),
    "bad-older": Row(
        "the installed patch is bad or blocked, and an older one is on offer",
        "livepatch block {package} && dnf downgrade {older}",
        "without the block the next upgrade would bring {package} back",
    ),
    "bad-reboot": Row(
        "the installed patch is bad or blocked, and an installed kernel closes its CVEs", "systemctl reboot"
    ),
    "unhealthy": Row(
        "a health check failed with the patch, and no other patch is on offer",
        "livepatch unblock {package}",
        "when the health check passes again",
    ),
    "bad-alone": Row(
        "the installed patch is bad or blocked by the guard, and nothing else is on offer",
        "livepatch block {package}",
        "accepts that until a newer patch is published; 'livepatch unblock' tries a blocked one again",
    ),
    "accepted": Row(
        "the administrator blocked the patch, and nothing else is on offer",
        "",
        "'dnf upgrade' takes a newer patch than {package} when one is published; 'livepatch unblock' ends "
        "the block",
    ),
    "not-loaded": Row(
        "an installed patch is not loaded, and nothing is known against it", "livepatch reconcile"
    ),
    "unloaded": Row(
        "the administrator unloaded the patch", "livepatch unblock {package}", "it was unloaded by hand"
    ),
    "offered": Row("an offered patch is not installed", "dnf livepatch update"),
    "boot-loader": Row(
        "the boot loader would not start the kernel that closes CVEs", "{why}", "before a reboot"
    ),
    "reboot": Row("an installed kernel closes open CVEs", "systemctl reboot"),
    "switched-off": Row(
        "loading is switched off", "livepatch reconcile", "when this is changed, as nothing is loaded: {why}"
    ),
    "open": Row("CVEs are open, and an upgrade may close them", "{why}"),
    "open-for-now": Row("CVEs are open, and nothing on offer closes them", "", "{why}"),
    "no-advisories": Row(
        "no repository has advisories for the kernel",
        "dnf repolist",
        "no repository there has all advisories of this kernel",
    ),
    "unread": Row("nobody has read the advisories", "dnf livepatch update --check", "reads the advisories"),
    "reboot-others": Row("a core package was updated after the boot", "systemctl reboot"),
    "fine": Row("every known CVE is closed", ""),
}

#: The state for each error of a reconcile, the most basic error first: it has to be mended first. ``bad``
#: becomes one of the states whose names begin so, by what the repositories offer.
OF_PROBLEM: dict[str, str] = {
    "state-read-only": "disk-read-only",
    "state-full": "disk-full",
    "guard-broken": "guard",
    "guard-unknown": "guard",
    "rpmdb-unreadable": "database",
    "rpm-under-way": "rpm-runs",
    "state-unwritable": "records",
    "record-unwritable": "records",
    "profile-fault": "profiles",
    "patch-unrecognised": "profiles",
    "rival-product": "rival",
    "load-overdue": "load-hangs",
    "change-overdue": "run-hangs",
    "load-goes-on": "not-loaded",
    "transition-stuck": "reboot-only",
    "transition-running": "in-the-way",
    "transition-stalled": "in-the-way",
    "unload-stalled": "in-the-way",
    "unload-refused": "reboot-only",
    "module-stays": "reboot-only",
    "foreign-patch": "foreign",
    "module-other-build": "reboot-only",
    "module-name-taken": "name-taken",
    "load-busy": "try-again",
    "load-incompatible": "incompatible",
    "signer-differs": "signer",
    "client-absent": "client",
    "client-failed": "client",
    "client-left": "client",
    "module-missing": "damaged",
    "module-writable": "damaged",
    "module-unusable": "damaged",
    "module-changed": "damaged",
    "load-bad-signature": "damaged",
    "health-check-failed": "unhealthy",
    "oops-while-loading": "bad",
    "load-crashed": "bad",
    "load-not-verified": "bad",
    "load-wrong-format": "bad",
    "load-unknown-symbol": "bad",
    "load-no-key": "bad",
    "load-not-permitted": "bad",
    "load-refused": "bad",
    "module-unchecked": "bad",
    "module-no-livepatch": "bad",
    "module-other-name": "bad",
    "module-vermagic": "bad",
    "module-build-id": "bad",
    "kernel-build-id": "bad",
    "module-unsigned": "bad",
    "patch-without-module": "bad",
    "patch-blocked": "bad",
    "module-not-in-force": "not-loaded",
}


def step(report: Report, advice: Advice) -> Step:
    """Return the first step for the host that ``report`` and ``advice`` describe."""
    if report.skipped in (running.CONTAINER, running.UNABLE):
        return _fill("container")
    if report.state in MOVING:
        return _fill("moving", why=report.state)
    if advice.code in (100, 101) and stuck(report):
        return _fill("reboot-only")
    wrong = _wrong(report, advice)
    if wrong is not None:
        return wrong
    states = {row.state: row for row in reversed(report.patches)}
    if look.TRANSITION in states:
        return _fill("transition")
    if look.UNLOADED in states:
        return _fill("unloaded", states[look.UNLOADED])
    if any(problem.id == "patch-not-taken" for problem in report.problems):
        return _fill("offered")
    if advice.command:
        return _fill("boot-loader", why=advice.command)
    if advice.code == 100:
        return _fill("reboot")
    if report.skipped and any(state in states for state in look.MISSING):
        return _fill("switched-off", why=report.skipped)
    if look.BLOCKED in states:
        return _bad(report, advice, states[look.BLOCKED], "accepted")
    return _exposed(report, advice)


def _fill(state: str, row: look.PatchRow | None = None, **facts: str) -> Step:
    known = {"package": row.package, "module": row.module} if row is not None else {}
    words = {"package": "", "module": "", "older": "", "why": "", **known, **facts}
    return Step(state, TABLE[state].command.format(**words), TABLE[state].note.format(**words))


def _wrong(report: Report, advice: Advice) -> Step | None:
    """Return the step against the most basic error; None where no patch is missing and nothing is wrong."""
    errors = {problem.id: problem for problem in reversed(report.problems) if problem.severity == "error"}
    found = next((name for name in OF_PROBLEM if name in errors), "")
    missing = [row for row in report.patches if row.state in look.MISSING]
    if not found and "guard-unknown" in {problem.id for problem in report.problems}:
        return _fill("guard")
    if not found and (report.skipped or not missing):
        return None
    state = OF_PROBLEM[found] if found else "not-loaded"
    if state == "disk-read-only":
        return _fill(state, why=errors[found].subject)
    if state == "foreign":
        others = [row for row in report.patches if row.state == look.FOREIGN]
        return _fill(state, others[0]) if others else _fill("not-loaded")
    if state == "name-taken":
        return _fill(state, module=errors[found].subject)
    row = _at_stake(report, errors[found]) if found else missing[0]
    if found == "module-other-build" and row is not None and row.owner != "livepatch":
        return _fill("foreign", row)  # whoever loaded that build would load it again after a boot
    if state in ("bad", "unhealthy") and row is not None:
        return _bad(report, advice, row, "bad-alone" if state == "bad" else state)
    if row is None and state in ("bad", "unhealthy", "damaged"):
        return None
    return _fill(state, row)


def _at_stake(report: Report, problem: Problem) -> look.PatchRow | None:
    """Return the row of the patch that ``problem`` is about, or else of the first one out of force."""
    out = [row for row in report.patches if row.installed and not row.in_force and row.package]
    named = [row for row in out if problem.subject and problem.subject in (row.package, row.module)]
    return next(iter(named or out), None)


def _bad(report: Report, advice: Advice, row: look.PatchRow, alone: str) -> Step:
    """Return the step for an installed patch that is of no use; ``alone`` where nothing else is on offer."""
    offered = report.inputs.on_offer
    useless = {*report.blocked, *(one.package for one in report.patches if one.installed)}
    if offered is None or (offered.patch and offered.patch not in useless):
        return _fill("bad-newer", row)
    older = offered.builds[offered.builds.index(row.package) + 1 :] if row.package in offered.builds else ()
    fit = [nevra for nevra in older if nevra not in useless]
    if fit:
        return _fill("bad-older", row, older=fit[0])
    if advice.code == 100:
        return _fill("bad-reboot", row)
    return _fill(alone, row)


def _exposed(report: Report, advice: Advice) -> Step:
    """Return the step of a host on which everything installed is in force."""
    exposure = report.exposure
    if any(row.state != CLOSED_LIVE for row in exposure.rows):
        return (
            _fill("open", why=advice.upgrade)
            if advice.upgrade
            else _fill("open-for-now", why=advice.useless)
        )
    if report.inputs.read_in_vain and exposure.quality != EXACT:
        return _fill("no-advisories")
    if exposure.quality == UNKNOWN:
        return _fill("unread")
    return _fill("reboot-others" if advice.code == 101 else "fine")
