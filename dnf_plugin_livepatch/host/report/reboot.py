# SPDX-License-Identifier: GPL-2.0-or-later
"""The advice whether this host needs a reboot, and for which reasons. ``advise`` is pure.

A reboot is advised only where it would change something. An open CVE is a reason only when a kernel that
fixes the CVE is installed; otherwise a fleet tool that obeys would reboot the host for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...base.model import CLOSED_LIVE, LOWER_BOUND, UNKNOWN, CveState
from ...base.names import evr_of, name_of, release_of, same_kernel
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.message import count
from ..look import OTHER_BUILD
from ..read import read_bytes
from .status import Report

if TYPE_CHECKING:
    from ...base.model import Compare


#: Problems that only a reboot resolves, and that do not come back after it.
NEEDS_BOOT = ("unload-refused", "module-stays", "transition-stuck")
NOT_NEEDED, FOR_CVES, FOR_OTHERS, DONT_KNOW = 0, 100, 101, 102


class Advice(NamedTuple):
    """``code`` is the exit code of reboot-check, ``text`` one line, ``reasons`` one text for each reason.

    ``command`` is what has to be done before a reboot helps, "" for nothing. ``upgrade`` is the command that
    installs a fix, "" where none would; ``useless`` is then the reason.
    """

    code: int
    text: str
    reasons: tuple[str, ...] = ()
    command: str = ""
    upgrade: str = "dnf upgrade"
    useless: str = ""


class Obstacle(NamedTuple):
    """Why a boot does not start the newest installed kernel, and the ``command`` against that.

    ``known`` is False where the kernel that is started instead may close CVEs, too.
    """

    why: str
    command: str
    known: bool = True


def closed_by(rows: Sequence[CveState], evr: str, compare: Compare) -> tuple[CveState, ...]:
    """Return those of ``rows`` (ascending by ``fixed_in``) that a boot into the build ``evr`` closes."""
    builds = [row.fixed_in for row in rows]
    if evr in builds:
        # The usual case needs no comparison, and so no import of rpm.
        return tuple(rows[: len(builds) - builds[::-1].index(evr)])
    return tuple(row for row in rows if compare(row.fixed_in, evr) <= 0)


def stuck(report: Report) -> list[str]:
    """Return the reasons for which only a reboot puts the right live patch in force, each a text."""
    found = [problem.text.rstrip(".") for problem in report.problems if problem.id in NEEDS_BOOT]
    # Another program that loaded a module of that name would do so again after a reboot.
    found += [
        f"reboot needed to downgrade or exchange {row.package}: another build of {row.module} is loaded"
        for row in report.patches
        if row.state == OTHER_BUILD and row.owner == "livepatch"
    ]
    return found


def started(
    report: Report, newer: str, boots: str, command: str, compare: Compare
) -> tuple[str, Obstacle | None]:
    """Return the build that the next boot starts, "" where it is the running one, and what is in the way.

    ``newer`` is the newest installed build. ``boots`` is the release that the boot loader starts, "" where
    that is not known: then the newest is taken for it. ``command`` makes another kernel the default.
    """
    running, like = evr_of(report.inputs.kernel_package), report.kernel.release
    if not (newer and boots and running):
        return newer, None
    target = release_of(newer, like, running)
    if boots == target:
        return newer, None
    mine = name_of(report.inputs.kernel_package)
    kin = [evr for name, evr in report.kernels if same_kernel(name, mine)]
    builds = {like: running, **{release_of(evr, like, running): evr for evr in kin}}
    if boots in builds and compare(builds[boots], running) > 0:
        return builds[boots], None
    again = "again" if boots == like else "instead"
    why = f"the boot loader is set to start kernel {boots} {again}"
    return newer, Obstacle(why, command.format(release=target), boots in builds)


def advise(
    report: Report,
    newer: str,
    updated: Sequence[str],
    compare: Compare,
    obstacle: Obstacle | None = None,
) -> Advice:
    """Return the advice for ``report``.

    ``newer`` is the EVR of the build of the running kernel's package that a boot starts, "" where that build
    runs. ``updated`` are core packages that were updated after the boot. ``obstacle`` keeps a boot from
    starting ``newer``.
    """
    advice = _advise(report, newer, updated, compare, obstacle)
    command, useless = upgrade(report, compare)
    return advice._replace(upgrade=command, useless=useless)


def upgrade(report: Report, compare: Compare) -> tuple[str, str]:
    """Return the command that installs a fix of what is open, or "" and why there is none.

    The last dnf run that read the repositories knows. Where that is not known, an upgrade may help.
    """
    offered = report.inputs.on_offer
    rows = [row for row in report.exposure.rows if row.state != CLOSED_LIVE]
    if offered is None or not rows:
        return "dnf upgrade", ""
    here = {row.package for row in report.patches if row.installed}
    if offered.patch and offered.patch not in here.union(report.blocked):
        return "dnf upgrade", ""
    helped = closed_by(rows, offered.kernel, compare) if offered.kernel else ()
    if helped:
        return f"dnf upgrade {report.held}".rstrip(), ""
    reasons = []
    if offered.hidden and closed_by(rows, offered.hidden, compare):
        hidden = f"DNF's excludes (see excludepkgs= and versionlock) hide kernel {offered.hidden}"
        outranked = (
            f"by its priority, DNF prefers {offered.prefers} to the repository of kernel {offered.hidden}"
        )
        reasons.append(outranked if offered.prefers else hidden)
    if offered.patch in report.blocked and offered.patch not in here:
        reasons.append(f"live patch {offered.patch} is blocked or withdrawn")
    if offered.kept and offered.kept not in here:
        reasons.append(offered.why[:1].lower() + offered.why[1:].rstrip("."))
    return "", "; ".join(
        reasons
    ) or f"no enabled repository offers a kernel or a live patch that fixes {_them(rows)}"


def _them(rows: Sequence[CveState]) -> str:
    return "it" if len(rows) == 1 else "them"


def _advise(
    report: Report, newer: str, updated: Sequence[str], compare: Compare, obstacle: Obstacle | None
) -> Advice:
    rows = report.exposure.rows
    unclosed = [row for row in rows if row.state != CLOSED_LIVE]
    fixed = {row.cve for row in closed_by(rows, newer, compare)} if newer else set()
    helped = [row.cve for row in unclosed if row.cve in fixed]
    reasons: list[str] = []
    pinned = ""
    if helped and obstacle is not None:
        closes = f"installed kernel {newer}, which closes {count(len(helped), 'kernel CVE')}"
        pinned = f"{obstacle.why}, not the {closes}"
        helped = []
    if helped:
        reasons.append(f"{count(len(helped), 'kernel CVE')} closed by the installed kernel {newer}")
    patch = stuck(report)
    reasons += patch
    reasons += [f"{name} was updated after the boot" for name in updated]
    if reasons:
        why = "" if helped or patch else ", not for kernel CVEs"
        code = FOR_CVES if helped else FOR_OTHERS
        text = f"needed{why}: " + "; ".join(reasons) + (f"; {pinned}" if pinned else "")
        return Advice(code, text, tuple(reasons), obstacle.command if pinned and obstacle else "")
    if pinned and obstacle is not None:
        code, start = (NOT_NEEDED, "would close nothing") if obstacle.known else (DONT_KNOW, "unknown")
        then = f"; as root, run '{obstacle.command}'" if obstacle.command else ""
        return Advice(code, f"{start}: {pinned}{then}", (pinned,), obstacle.command)
    if report.exposure.quality == UNKNOWN:
        return Advice(DONT_KNOW, "unknown: " + report.exposure.reason, (report.exposure.reason,))
    if not report.installed_known:
        return Advice(DONT_KNOW, "unknown: which kernels are installed is not known")
    known = " of those known" if report.exposure.quality == LOWER_BOUND else ""
    if unclosed:
        return Advice(
            NOT_NEEDED,
            f"would close nothing yet: {count(len(unclosed), 'kernel CVE')} open, and no"
            f" installed kernel fixes {_them(unclosed)}; {_next(report, compare)}",
        )
    if newer and known:
        why = f"kernel {newer} may fix more than is known: {report.exposure.reason}"
        return Advice(DONT_KNOW, f"unknown: {why}", (why,))
    if newer and fixed:
        return Advice(
            NOT_NEEDED, f"not needed for CVEs: kernel {newer} is installed, and what it fixes is closed live"
        )
    return Advice(NOT_NEEDED, "not needed" + (f" for CVEs{known}" if known else ""))


def _next(report: Report, compare: Compare) -> str:
    command, useless = upgrade(report, compare)
    return f"run '{command}'" if command else useless


def newest(builds: Sequence[tuple[str, str]], package: str, compare: Compare) -> str:
    """Return the newest of ``builds`` above the running kernel's ``package`` (a NEVRA); "" for none.

    Packages count by their kernel, since a build has several: a host with kernel-uki-virt need not have
    kernel-core. ``builds`` are (name, EVR), ascending by EVR. rpm's comparison is needed only where the
    running kernel's own package is not among them.
    """
    running = evr_of(package)
    if not running:
        return ""
    evrs = [evr for name, evr in builds if same_kernel(name, name_of(package))]
    if not evrs or evrs[-1] == running:
        return ""
    return evrs[-1] if running in evrs or compare(evrs[-1], running) > 0 else ""


def boot_time(paths: Paths) -> int:
    """Return when the kernel started, in seconds since the epoch; 0 when unknown."""
    for line in read_bytes(paths.at("/proc/stat"), 1 << 20).split(b"\n"):
        if line.startswith(b"btime "):
            number = line[6:].strip()
            return int(number) if number.isdigit() and len(number) < 13 else 0
    return 0
