# SPDX-License-Identifier: GPL-2.0-or-later
"""The repositories' ``livepatch`` records, and the live patches that they or livepatch.conf keep out.

Read through DNF's public metadata API, from trusted repositories only. DNF's own upgrade-all takes a newer
build of an installed patch whatever a plugin decides, so that what is kept out is excluded from the sack.
"""

from __future__ import annotations

import os
import time
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..base.model import Problem
from ..base.names import kernel_release
from ..base.paths import Paths
from ..formats import repository_record
from ..host.read import read_text
from ..messages import catalogue
from ..planning import withheld
from . import packages

if TYPE_CHECKING:
    from ..planning.planner import Session

#: What the records say: kernel release -> one note of each repository that speaks of it.
Notes = Mapping[str, Sequence[repository_record.KernelNote]]


def apply(session: Session, specs: Sequence[str], exact: bool = False) -> bool:
    """Hide the live patches that are kept out, but for those that ``specs`` name with their version.

    ``exact`` lets what was withdrawn in by its version, too. Returns whether the records keep nothing out,
    now or at any other time. As root what was withdrawn is remembered for reconcile and status; nothing is
    started here, since a run may still end as a dry one.
    """

    package = packages.running_package(session.base, session.kernel.release)
    if package is None:
        return False
    wanted = releases(session.base, package, session.kernel.release)
    session.notes, problems = read(session.base, session.trusted(package), wanted)
    session.voice.tell(problems)
    settings = session.config
    machine_id = read_text(session.paths.at("/etc/machine-id"), 64)
    host = withheld.Host(machine_id, withheld.moment(time.time()), settings.min_age, settings.cutoff)
    found = judge(
        session.base, session.notes, wanted, host, session.profiles, session.kernel.build_id, specs, exact
    )
    session.braked = found
    if found:
        packages.hide(session.base, found)
    if os.geteuid() == 0:
        _remember(session.paths, withdrawn(session.notes))
    return not problems and not any(_interesting(session.notes, release) for release in wanted)


def _remember(paths: Paths, told: Mapping[str, str]) -> None:
    """Write down what is withdrawn. What no record read now speaks of stays as it was known."""
    from ..host.files import notices

    before = notices.read(paths)
    kept = [(nevra, reason) for nevra, reason in before.withdrawn if nevra not in told]
    news = [(nevra, reason) for nevra, reason in told.items() if reason]
    notices.save(paths, before._replace(withdrawn=tuple(sorted([*news, *kept]))))


def releases(base: Any, running: Any, release: str) -> tuple[str, ...]:
    """The running kernel's release, those of the other installed kernels, and that of the newest offered."""
    kernels = base.sack.query().filterm(name=running.name, arch=running.arch)
    others = [*kernels.installed(), *kernels.available().latest()]
    found = {kernel_release(packages.nevra_of(package)) for package in others}
    return tuple(sorted({release, *found} - {""}))


def read(base: Any, trusted: Container[str] | None, wanted: Sequence[str]) -> tuple[Notes, list[Problem]]:
    """What the records of the ``trusted`` repositories (None: of all) say of the kernels ``wanted``."""
    notes: dict[str, list[repository_record.KernelNote]] = {}
    problems: list[Problem] = []
    for repo in base.repos.iter_enabled():
        if (trusted is not None and repo.id not in trusted) or not repo.get_metadata_path("livepatch"):
            continue
        try:
            told = repository_record.parse(str(repo.get_metadata_content("livepatch")), *wanted)
        except (repository_record.RecordError, UnicodeError, OSError, MemoryError) as error:
            problems.append(catalogue.problem("record-broken", repo=repo.id, why=error))
            continue
        for release, note in told.kernels.items():
            notes.setdefault(release, []).append(note)
    return notes, problems


def patch_note(notes: Notes, release: str, nevra: str) -> repository_record.PatchNote:
    """What is said of one patch; a withdrawal by one repository outweighs what others say."""
    found = [note.patches[nevra] for note in notes.get(release, ()) if nevra in note.patches]
    return next(
        (note for note in found if note.withdrawn), found[0] if found else repository_record.PatchNote()
    )


def withdrawn(notes: Notes) -> dict[str, str]:
    """NEVRA -> reason of every patch that was withdrawn, "" for those that stand."""
    found: dict[str, str] = {}
    for told in notes.values():
        for note in told:
            for nevra, patch in note.patches.items():
                if patch.withdrawn is not None:
                    found[nevra] = patch.withdrawn.reason
                else:
                    found.setdefault(nevra, "")
    return found


def judge(
    base: Any,
    notes: Notes,
    wanted: Sequence[str],
    host: withheld.Host,
    known: Sequence[Any],
    build_id: str,
    specs: Sequence[str] = (),
    exact: bool = False,
) -> dict[str, withheld.Brake]:
    """NEVRA -> brake of each offered live patch of the kernels ``wanted`` that is kept out."""
    found: dict[str, withheld.Brake] = {}
    for release in wanted:
        if not (host.min_age or host.cutoff or _interesting(notes, release)):
            continue
        for package, match in packages._known(base, release, build_id, known):
            if package.installed or match.kind != "patch":
                continue
            nevra = str(packages.nevra_of(package))
            note = patch_note(notes, release, nevra)
            issued = _issued(package, note) if host.min_age or host.cutoff else ""
            brake = withheld.judge(nevra, note, issued, host)
            named = withheld.versioned(specs, packages.nevra_of(package))
            if brake is not None and (not named or (brake.cause == withheld.WITHDRAWN and not exact)):
                found[nevra] = brake
    return found


def _interesting(notes: Notes, release: str) -> bool:
    return any(
        patch.withdrawn is not None or patch.rollout
        for note in notes.get(release, ())
        for patch in note.patches.values()
    )


def _issued(package: Any, note: repository_record.PatchNote) -> str:
    """When the patch was issued: by its record, by the first advisory that lists it, by its build time."""
    import hawkey

    from ..planning.inputs import _date

    if note.issued:
        return note.issued
    dates = [_date(advisory) for advisory in package.get_advisories(hawkey.EQ)]
    return min(filter(None, dates), default="") or withheld.moment(float(package.buildtime))
