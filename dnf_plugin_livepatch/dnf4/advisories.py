# SPDX-License-Identifier: GPL-2.0-or-later
"""hawkey's advisories as plain tuples.

Of an advisory's two dates, issued and updated, hawkey knows only the later. Broken references (no id,
another type, no CVE in it) are passed over one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import hawkey

from ..base import texts
from ..base.model import Advisory, Nevra
from ..base.names import CVE, EVR
from ..base.typed import TYPE_CHECKING
from ..planning.inputs import build

if TYPE_CHECKING:
    from typing import Any


#: Advisories on the packages of one question (a vendor's kernel has some hundreds), and the steps that all
#: references may cost (a vendor's kernels take two million). The first bounds are for chosen repositories
#: alone, the second for all together, of which a stranger may have most.
CHOSEN, MIXED = (10_000, 2_500_000), (2000, 1_500_000)
#: Characters of an id or a severity; an openEuler id, one of the longest, has 30.
_MAX_TEXT = 64
_TYPES = {
    hawkey.ADVISORY_SECURITY: "security",
    hawkey.ADVISORY_BUGFIX: "bugfix",
    hawkey.ADVISORY_ENHANCEMENT: "enhancement",
    hawkey.ADVISORY_NEWPACKAGE: "newpackage",
}


class Reader:
    """Reads ``most`` advisories for each question, within ``steps`` for all questions.

    To find the reference number n, libdnf goes from the first reference to it: an advisory with ten times
    the references costs a hundred times as much.
    """

    def __init__(self, most: int, steps: int) -> None:
        self._most = most
        self._left = steps

    def read(self, rows: Iterable[Any], wanted: Collection[tuple[str, str]]) -> list[Advisory]:
        """The advisories ``rows`` with those of their packages whose name and architecture are ``wanted``.

        The longest are read last, so that they take nothing from others. Of more than ``most`` one stands
        for all that are not read.
        """
        found: list[Advisory] = []
        for row in sorted(rows, key=lambda one: len(one.references)):
            packages = {
                build(package.name, str(package.evr), package.arch)
                for package in row.packages
                if (package.name, package.arch) in wanted and EVR.match(str(package.evr))
            }
            if packages and row.id:
                if len(found) == self._most:
                    self._left = 0
                found.append(self._advisory(row, tuple(sorted(packages))))
                if len(found) > self._most:
                    break
        return list(dict.fromkeys(found))

    def _advisory(self, advisory: Any, packages: tuple[Nevra, ...]) -> Advisory:
        references = advisory.references
        count = min(len(references), int(self._left**0.5))
        self._left -= count * count
        cves, bugs = set(), []
        for reference in references[:count]:
            # Some feeds give a CVE the type of a bug, or none; the id decides. Some references have no id.
            identifier = str(reference.id or "").strip()
            upper = identifier.upper()
            if CVE.match(upper):
                cves.add(upper)
            elif identifier and reference.type == hawkey.REFERENCE_BUGZILLA:
                bugs.append(identifier)
        return Advisory(
            id=_clean(advisory.id),
            type=_TYPES.get(advisory.type, "unknown"),
            severity=_clean(advisory.severity),
            issued="",
            updated=_date(advisory),
            cves=tuple(sorted(cves)),
            packages=packages,
            bugs=tuple(bugs),
            cut=count < len(references) or not self._left,
        )


def _clean(text: object) -> str:
    return texts.printable(str(text or ""))[:_MAX_TEXT].strip()


def _date(advisory: Any) -> str:
    try:
        moment = advisory.updated
    except (OverflowError, ValueError, OSError):  # newer hawkeys raise for a date that no clock can show
        return ""
    if moment is None or not 1970 < moment.year < 10000:
        return ""
    return f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"
