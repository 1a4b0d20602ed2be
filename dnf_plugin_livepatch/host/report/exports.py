# SPDX-License-Identifier: GPL-2.0-or-later
"""A Report for machines: Prometheus metrics, a Nagios line, an OpenVEX document, the motd. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ...base import texts, times
from ...base.model import CLOSED_LIVE, EXACT, LOWER_BOUND, OPEN, REBOOT_ONLY, UNKNOWN, CveState
from ...base.names import split_nevra
from ...base.typed import TYPE_CHECKING
from ...exposure.debt import rank
from ..look import SUBSCRIPTION
from . import next_step, text
from .reboot import DONT_KNOW, FOR_CVES, NOT_NEEDED, Advice
from .status import MOVING, Report

if TYPE_CHECKING:
    from typing import Any

    Labels = Sequence[tuple[str, str]]


_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_~")
CVE_STATES = (OPEN, CLOSED_LIVE, REBOOT_ONLY)
STATES = ("ok", "attention", "failed", "unsupported", "unknown", *MOVING)
QUALITIES = (EXACT, LOWER_BOUND, UNKNOWN)
#: Findings that ``text.kept_out`` tells already.
_SAID = ("patch-unloaded", "patch-blocked", "patch-blocked-by-admin", "loading-off")


def _label(text: str) -> str:
    return texts.plain(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _metric(name: str, text: str, rows: Sequence[tuple[Labels, float]]) -> list[str]:
    if not rows:
        return []
    lines = [f"# HELP livepatch_{name} {text}", f"# TYPE livepatch_{name} gauge"]
    for labels, value in rows:
        inside = ",".join(f'{key}="{_label(word)}"' for key, word in labels)
        number = "NaN" if value != value else f"{value:.15g}"
        lines.append(f"livepatch_{name}{{{inside}}} {number}" if inside else f"livepatch_{name} {number}")
    return lines


def _seconds(moment: str) -> float:
    """Return a moment or a date as seconds since the epoch; NaN for none."""
    found = times.parse(moment)
    return float("nan") if found is None else float(found)


def not_known(report: Report) -> bool:
    """Return whether an empty list of open CVEs would claim more than is known.

    Where the advisories are a lower bound, the open CVEs that they list count. That they list none proves
    nothing.
    """
    quality = report.exposure.quality
    opened = report.rows(OPEN) or report.rows(REBOOT_ONLY)
    return quality == UNKNOWN or (quality != EXACT and not opened)


def _counts(report: Report) -> list[tuple[Labels, float]]:
    """Count the CVEs by state; NaN for a state of which nothing is known, because 0 would be a claim."""
    exact = report.exposure.quality == EXACT
    rows: list[tuple[Labels, float]] = []
    for state in CVE_STATES:
        number = len(report.rows(state))
        sure = number or exact or state == CLOSED_LIVE
        rows.append(((("state", state),), float(number) if sure else float("nan")))
    return rows


def _severities(report: Report) -> list[tuple[Labels, float]]:
    found: dict[tuple[str, str], int] = {}
    for state in CVE_STATES:
        for row in report.rows(state):
            key = (state, row.severity or "unknown")
            found[key] = found.get(key, 0) + 1
    return [((("state", s), ("severity", w)), float(n)) for (s, w), n in sorted(found.items())]


def metrics(report: Report, advice: Advice) -> str:
    """Return the text of a file for node_exporter's textfile collector."""
    kernel, offered = ("kernel", report.kernel.release), report.offered
    patches = [row for row in report.patches if row.module and row.state != SUBSCRIPTION]

    def each(name: str) -> list[tuple[Labels, float]]:
        labels = [(kernel, ("package", row.package), ("module", row.module)) for row in patches]
        return [(label, float(bool(getattr(row, name)))) for label, row in zip(labels, patches)]

    needed = float("nan") if advice.code == DONT_KNOW else float(advice.code != NOT_NEEDED)
    found = [problem.severity for problem in report.problems]
    counted = [((("severity", name),), float(found.count(name))) for name in ("error", "warning", "note")]
    ends = [] if not report.support_end else [((kernel,), _seconds(report.support_end))]
    lines = [
        *_metric("kernel_info", "The running kernel.", [((kernel,), 1.0)]),
        *_metric(
            "state",
            "1 for the state this host is in, as 'livepatch status' tells it.",
            [((("state", word),), float(word == report.state)) for word in STATES],
        ),
        *_metric(
            "change_timestamp_seconds",
            "When the load or removal of a live patch that is under way began.",
            [((), _seconds(report.since))] if report.since else [],
        ),
        *_metric(
            "change_deadline_seconds",
            "When that load or removal ends at the latest.",
            [((), _seconds(report.until))] if report.until else [],
        ),
        *_metric(
            "patch_offered_timestamp_seconds",
            "Since when a live patch is offered that no dnf run has installed.",
            [((kernel, ("package", offered.nevra)), _seconds(offered.since))] if offered is not None else [],
        ),
        *_metric("patch_in_force", "1 for a live patch verified in force.", each("in_force")),
        *_metric("patch_installed", "1 for a live patch whose package is installed.", each("installed")),
        *_metric("patch_transition", "1 while tasks move to the patched functions.", each("transition")),
        *_metric("cves", "CVEs of the running kernel, NaN where not known.", _counts(report)),
        *_metric("cves_by_severity", "The known CVEs by their advisory's severity.", _severities(report)),
        *_metric(
            "exposure_quality",
            "1 for how sure the number of CVEs is.",
            [((("quality", word),), float(word == report.exposure.quality)) for word in QUALITIES],
        ),
        *_metric(
            "exposure_timestamp_seconds",
            "When the advisories were last read.",
            [((), _seconds(report.exposure.as_of))] if report.exposure.as_of else [],
        ),
        *_metric("reboot_needed", "1 when a reboot is needed, NaN when that is not known.", [((), needed)]),
        *_metric(
            "reboot_needed_for_cves",
            "1 when an installed kernel closes CVEs that are open.",
            [((), needed if needed != needed else float(advice.code == FOR_CVES))],
        ),
        *_metric("support_end_timestamp_seconds", "End of live patches for this kernel.", ends),
        *_metric(
            "support_end_usual",
            "1 where that end is only the vendor's usual time, which nobody promised.",
            [(labels, float(report.support_usual)) for labels, _ in ends],
        ),
        *_metric("problems", "Findings by severity.", counted),
    ]
    return "\n".join(lines) + "\n"


def check(report: Report, advice: Advice) -> tuple[int, str]:
    """Return exit code and line of a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    opened = (*report.rows(OPEN), *report.rows(REBOOT_ONLY))
    worst = max((rank(row.severity) for row in opened), default=0)
    errors = [problem for problem in report.problems if problem.severity == "error"]
    warnings = [problem for problem in report.problems if problem.severity == "warning"]
    if report.state == "failed" or worst >= rank("Critical"):
        code = 2
    elif report.state not in MOVING and (report.state == "unknown" or not_known(report)):
        code = 3
    elif opened or warnings or report.state != "ok" or advice.code != NOT_NEEDED:
        code = 1
    else:
        code = 0
    words = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
    parts = [
        f"kernel {report.kernel.release or 'unknown'}",
        *([_moving(report)] if report.state in MOVING else []),
        *_words(report),
        *text.kept_out(report),
    ]
    told = [problem for problem in (*errors, *warnings) if problem.id not in _SAID]
    parts += [text.dated(problem) for problem in told[:2]]
    if report.exposure.quality != EXACT:
        parts.append(report.exposure.reason)
    data = [f"{state.replace('-', '_')}={len(report.rows(state))}" for state in _counted(report)]
    if report.days_left is not None:
        data.append(f"{'usual_' if report.support_usual else ''}support_days={report.days_left}")
    line = f"LIVEPATCH {words[code]} - {', '.join(parts)}".replace("|", "/")
    return code, f"{line} | {' '.join(data)}" if data else line


def _moving(report: Report) -> str:
    what = "loaded" if report.state == "loading" else "taken out of force"
    return f"{text.moving(report)} is being {what}{text.span(report.since, report.until)}"


def _words(report: Report) -> list[str]:
    names = ((OPEN, "open"), (REBOOT_ONLY, "closed by reboot only"), (CLOSED_LIVE, "closed live"))
    return [f"{name} {text.count(report, state)}" for state, name in names]


def _counted(report: Report) -> list[str]:
    exact = report.exposure.quality == EXACT
    return [state for state in CVE_STATES if exact or report.rows(state)]


def motd(report: Report, advice: Advice) -> list[str]:
    """Return one to three lines for a person who logs in; none when all is well."""
    blind = not_known(report)
    if report.state in ("ok", "unsupported") and advice.code == NOT_NEEDED and not blind:
        return []
    lines = [f"Kernel {report.kernel.release}, CVEs {', '.join(_words(report))}."]
    if report.state in MOVING:
        lines[0] += f" {text.sentence(_moving(report))}"
    if report.offered is not None:
        lines[0] += f" A live patch is offered since {report.offered.since[:10]} and not installed."
    lines[0] += "".join(f" {text.sentence(why)}" for why in text.kept_out(report))
    if blind:
        lines.append(f"Not complete: {report.exposure.reason}.")
    action = str(next_step.step(report, advice))
    return [*lines, f"Next: {action}"] if action else lines


def _quote(text: str) -> str:
    return "".join(
        chr(byte) if chr(byte) in _UNRESERVED else f"%{byte:02X}" for byte in text.encode("utf-8", "replace")
    )


def purl(report: Report, distribution: str) -> str:
    """Return the package URL of the running kernel's package, or of the release where no package owns it."""
    package = split_nevra(report.inputs.kernel_package)
    if package is None:
        return f"pkg:generic/linux-kernel@{_quote(report.kernel.release)}"
    build = f"{_quote(package.name)}@{_quote(package.version)}-{_quote(package.release)}"
    epoch = f"&epoch={_quote(package.epoch)}" if package.epoch != "0" else ""
    return f"pkg:rpm/{_quote(distribution)}/{build}?arch={_quote(report.kernel.arch)}{epoch}"


def _statement(row: CveState, product: str, patches: dict[str, str], report: Report) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "vulnerability": {"name": row.cve},
        "products": [{"@id": product}],
        "timestamp": report.now,
    }
    if row.state == CLOSED_LIVE:
        patch = patches.get(row.by) or row.by
        return {
            **statement,
            "status": "not_affected",
            "justification": "inline_mitigations_already_exist",
            "impact_statement": f"Live patch {patch} is in force in the running kernel.",
        }
    action = f"Reboot into kernel {row.fixed_in} or later."
    offered = report.inputs.on_offer
    if row.state == OPEN and (offered is None or offered.patch):
        action = f"Run 'dnf upgrade' for a live patch, or reboot into kernel {row.fixed_in} or later."
    return {
        **statement,
        "status": "affected",
        "action_statement": action,
        **({"status_notes": "No live patch can close it: " + row.reason} if row.reason else {}),
    }


def vex(report: Report, distribution: str, host: str, version: str) -> dict[str, Any]:
    """Return the OpenVEX 0.2.0 document of this host's kernel; {} when there is nothing to state.

    A CVE that a live patch in force closes is ``not_affected``: the package still carries the
    vulnerable code, but the running kernel does not execute it.
    """
    import hashlib
    import json

    product = purl(report, distribution)
    patches = {row.module: row.package for row in report.patches if row.in_force}
    rows = [row for state in CVE_STATES for row in report.rows(state)]
    statements = [_statement(row, product, patches, report) for row in rows]
    if not statements:
        return {}
    author = f"livepatch on {host}" if host else "livepatch"
    digest = hashlib.sha256(json.dumps([author, statements], sort_keys=True).encode("utf-8")).hexdigest()
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": f"urn:sha256:{digest}",
        "author": author,
        "role": "host",
        "timestamp": report.now,
        "version": 1,
        "tooling": f"dnf-plugin-livepatch {version}",
        "statements": statements,
    }
