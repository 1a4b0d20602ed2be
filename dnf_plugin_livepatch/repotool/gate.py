# SPDX-License-Identifier: GPL-2.0-or-later
"""The gate before a publish: lint of the part of the repository that a change touches."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

import createrepo_c as cr

from ..formats.repository_record import Record
from ..toolkit.errors import Finding, ToolError
from .lint import run
from .lint.context import Context, Raised
from .lint.metadata import weak
from .repository import metadata, rpms
from .repository.metadata import nevra_of
from .repository.view import Advisory, MetadataFile, Package, View
from .transaction import Job, LintRefused, Next, State

_CVES = re.compile(r"\bCVE-\d{4}-\d+")


def check(
    state: State, new: Next, touched: Iterable[cr.Package], job: Job, faults: Iterable[Raised] = ()
) -> tuple[Finding, ...]:
    """The new findings of lint in the touched packages, others of their names, and their advisories.

    Faults that were there before are left out: an old fault must not keep a fix away. ``faults`` are
    further ones of the change itself. Raises LintRefused.
    """
    names = {package.name for package in touched}
    before = _lint(state.packages, state.advisories, state.record, state.record, names, job)
    after = _lint(new.packages, new.advisories, new.record, state.record, names, job)
    found = (*run.findings(faults, job.settings.waivers), *fresh(before, after))
    if run.errors(found) and not job.dry_run:
        raise LintRefused(found)
    return found


def fresh(before: Iterable[Finding], after: Iterable[Finding]) -> list[Finding]:
    """The findings ``after`` that say more than those ``before``.

    A finding is known by its check, its subject and the CVEs that it names: a fault about one CVE must not
    let the same fault about another one pass.
    """
    known: dict[tuple[str, str], set[str]] = {}
    for item in before:
        known.setdefault((item.check, item.subject), set()).update(_CVES.findall(item.text))
    return [
        item
        for item in after
        if (item.check, item.subject) not in known
        or not known[(item.check, item.subject)].issuperset(_CVES.findall(item.text))
    ]


def signed(group: Iterable[tuple[str, cr.Package]], keys: Sequence[str]) -> list[Raised]:
    """The faults about incoming (path, package) whose signature or digests some hosts refuse.

    Raises ToolError for a package that none of ``keys`` signed.
    """
    given = dict(group)
    faults = []
    for path, (state, detail) in rpms.signatures(list(given), keys).items():
        if state.startswith("weak-"):
            faults.append(weak(str(nevra_of(given[path])), state, detail))
        elif state != "good":
            raise ToolError("rpm-signature", file=path, reason=detail)
    return faults


def scope(
    packages: Iterable[cr.Package], updates: Iterable[metadata.Update], names: Collection[str]
) -> tuple[tuple[Package, ...], tuple[Advisory, ...]]:
    """The packages called one of ``names``, and the advisories that list any of them.

    The advisories come without their packages of other names. Those packages are not looked at, so that
    nothing could be said about them but that they are missing.
    """
    views = tuple(metadata.package_view(package) for package in packages if package.name in names)
    ids = {view.nevra for view in views}
    naming = (metadata.advisory_view(update.record()) for update in updates if update.mentions(names))
    return views, tuple(
        item._replace(packages=tuple(one for one in item.packages if one.nevra.name in names))
        for item in naming
        if any(one.nevra in ids for one in item.packages)
    )


def _lint(
    packages: dict[str, cr.Package],
    updates: Iterable[metadata.Update],
    record: Record,
    published: Record,
    names: set[str],
    job: Job,
) -> list[Finding]:
    views, advisories = scope(packages.values(), updates, names)
    kernels = {release for view in views for release in view.kernels}
    part = Record(record.generated, {key: note for key, note in record.kernels.items() if key in kernels})
    view = View(
        "publish",
        "",
        views,
        advisories,
        (MetadataFile("updateinfo", "updateinfo", "updateinfo", "sha256"),),
        part,
    )
    ends = {release: text.support_end for release, text in job.settings.kernels.items() if text.support_end}
    found = run.run(view, Context(job.now, supported=ends, published=published), job.settings.waivers)
    return [item for item in found if item.check not in ("waiver-unused", "record-patch-unknown")]
