# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that dnf's user reads: notes while planning, the outcome after the transaction.

Everything goes through DNF's loggers, never to stdout directly: `-q`, log files and the JSON of
API users depend on it.
"""

from __future__ import annotations

import logging
import textwrap
from typing import Iterable, List, Optional, Sequence, Set, Tuple

from .. import exposure as exposures
from .. import messages
from ..model import CveState, Exposure, Problem, ReconcileResult

LOG = logging.getLogger("dnf.plugin")
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING}
_MOST = 20
#: Messages that need not be said again for as long as nothing changes.
_ONCE = ("patch-absent",)
Line = Tuple[int, str]


class Voice:
    """Says each thing once in a dnf run, however often DNF resolves."""

    def __init__(self) -> None:
        self._said: Set[str] = set()
        self._once: Set[str] = set()

    @property
    def silent(self) -> bool:
        """Was nothing said yet that the next run has to say again?"""
        return self._said <= self._once

    def tell(self, problems: Iterable[Problem]) -> None:
        """Log each of ``problems`` in one line, with its remedy."""
        for problem in problems:
            said = line(problem)
            if problem.id in _ONCE:
                self._once.add(said[1])
            self.lines([said])

    def lines(self, lines: Iterable[Line]) -> None:
        """Log ``lines`` unless they were logged before."""
        for level, text in lines:
            if text not in self._said:
                self._said.add(text)
                LOG.log(level, "%s", text)


def line(problem: Problem) -> Line:
    """The log level and the one line for ``problem``."""
    text = f"livepatch: {problem.text} {problem.remedy}".rstrip()
    return _LEVELS.get(problem.severity, logging.INFO), text


def _cves(title: str, rows: Sequence[CveState], most: int) -> List[str]:
    if not rows:
        return []
    ordered = sorted(rows, key=lambda row: (-exposures.rank(row.severity), row.cve))
    named = [f"{row.cve} ({row.severity})" if row.severity else row.cve for row in ordered[:most]]
    if len(rows) > most:
        named.append(f"and {len(rows) - most} more, see 'livepatch cves'")
    return textwrap.wrap(
        f"  {title}: {', '.join(named)}", 100, subsequent_indent="    ", break_on_hyphens=False
    )


def closing(
    result: Optional[ReconcileResult],
    expected: str,
    before: Exposure,
    after: Exposure,
    kernel_evr: str,
    compare: exposures.Compare,
) -> Tuple[List[Line], bool]:
    """What to say when loading is over, and whether ``expected`` (a NEVRA) is as it should be.

    ``before`` is the exposure from before the transaction, ``after`` the one with what is in force now;
    ``kernel_evr`` is the newest installed build of the running kernel's package, "" for the running one.
    """
    if result is None:
        return [line(messages.problem("load-unanswered", nevra=expected))], False
    if result.skipped:
        return [line(messages.problem("load-skipped", nevra=expected, why=result.skipped))], True
    parts = [patch for patch in result.in_force if patch.nevra == expected]
    if not parts:
        problems = [problem for problem in result.problems if problem.severity == "error"]
        problems = problems or [messages.not_in_force(expected, result.in_force)]
        return [line(problem) for problem in problems], False
    seconds = sum(patch.seconds for patch in parts)
    took = f", transition {seconds:.1f} s" if seconds else ""
    lines: List[Line] = [(logging.INFO, f"Live patch {expected} is in force{took}.")]
    done = {row.cve for row in before.rows if row.state == exposures.CLOSED_LIVE}
    told = {row.cve for row in after.rows}
    closed = [row for row in after.rows if row.state == exposures.CLOSED_LIVE and row.cve not in done]
    declared = sorted({cve for patch in parts for cve in patch.cves})
    if after.quality != exposures.EXACT:
        closed += [CveState(cve, exposures.CLOSED_LIVE) for cve in declared if cve not in told]
    boot = exposures.closed_by_boot(after, kernel_evr, compare)
    left = [row for row in after.rows if row not in boot]
    still = [row for row in left if row.state == exposures.OPEN]
    never = [row for row in left if row.state == exposures.REBOOT_ONLY]
    texts = [
        *_cves("CVEs closed now", closed, len(closed)),
        *_cves(f"CVEs open until a reboot into kernel {kernel_evr}", boot, _MOST),
        *_cves("CVEs still open", still, _MOST),
        *_cves("CVEs that only a newer kernel closes", never, _MOST),
    ]
    if after.quality != exposures.EXACT:
        texts.append(f"  There may be more open: {after.reason}")
    lines += [(logging.INFO, text) for text in texts]
    lines += [line(problem) for problem in result.problems]
    return lines, result.ok
