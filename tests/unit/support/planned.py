# SPDX-License-Identifier: GPL-2.0-or-later
"""A list of packages that stands for a package manager, and a few values that stand for a host.

Nothing is read or started; ``planning.interface`` says what the methods are for.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    Advisory,
    Debt,
    InForce,
    Kernel,
    Nevra,
    Problem,
    ReconcileResult,
    Trusted,
    Withdrawal,
)
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.planning.interface import (
    Helpers,
    Hold,
    Package,
    Patched,
    Plan,
    Repository,
)
from dnf_plugin_livepatch.planning.planner import Planner
from dnf_plugin_livepatch.planning.request import Asked
from dnf_plugin_livepatch.vendors import profiles
from dnf_plugin_livepatch.vendors.profiles import Lookup, Profile

if TYPE_CHECKING:
    from dnf_plugin_livepatch.planning.interface import Progress


_T = TypeVar("_T")
RELEASE = "5.14.0-10.el9.x86_64"
NOW = "2026-11-22T12:00:00Z"
CVE = "CVE-2026-2000"
TREE = os.path.join(os.path.dirname(__file__), "..", "..", "profiles")
GENERIC = [rule for rule in profiles.load([TREE])[0] if rule.name == profiles.GENERIC]


def kernel(build: int, **facts: Any) -> Package:
    return Package(Nevra("kernel-core", "0", "5.14.0", f"{build}.el9", "x86_64"), **facts)


def patch(version: str, *cves: str, **facts: Any) -> Package:
    provides = (f"livepatch(kernel-uname-r:{RELEASE})", *(f"livepatch-cve({cve})" for cve in cves))
    nevra = Nevra("kpatch-patch-5_14_0-10", "0", "1", f"{version}.el9", "x86_64")
    return Package(nevra, build_time=int(version), provides=provides, **facts)


def advisory(build: int, *cves: str) -> Advisory:
    return Advisory(f"A-{build}", "security", "Important", "", "2026-11-01", cves, (kernel(build).nevra,))


RUNS, NEXT = kernel(10, installed=True), kernel(20, repo="base")
ADVISORIES = (advisory(10, "CVE-2025-1000"), advisory(20, CVE))
OLD = patch("1", installed=True)
NEW = patch("2", CVE, repo="base")
#: A repository that vouches for the kernel, what it lists as open, and the running kernel.
BASE = Repository("base", has_advisories=True, revision="7", read_at=NOW)
DEBT = Debt(CVE, "A-20", "Important", "5.14.0-20.el9", "2026-11-01", "updated")
HERE = "kernel-core-5.14.0-10.el9.x86_64"


class Manager:
    """A package manager of a few packages; ``asked`` counts the questions."""

    can_add = True
    pinned = ""
    source = "base"
    release = RELEASE

    def __init__(self, *packages: Package, repos: Sequence[Repository] = (), record: str = "") -> None:
        self.packages = list(packages)
        self.repos = list(repos) or [Repository("base", has_advisories=True, read_at=NOW)]
        self.text = record
        self.updates: dict[str, str] = {}
        self.issues: dict[str, dict[str, str]] = {}
        self.rows: Sequence[Advisory] = ADVISORIES
        self.asked: Counter[str] = Counter()
        self.hidden: set[str] = set()
        self.found: set[str] = set()
        self.added: list[Package] = []
        self.trial, self.without, self.refused = "", "", ""
        #: NEVRA -> why this package cannot be installed by itself.
        self.alone: dict[str, str] = {}

    passing = False

    def _ask(self, question: str) -> None:
        self.asked[question] += 1

    def _named(self, names: Sequence[str], arch: str) -> list[Package]:
        offered = [one for one in self.packages if one.installed or str(one.nevra) not in self.hidden]
        return [one for one in offered if one.nevra.name in names and one.nevra.arch == arch]

    @property
    def busy(self) -> bool:
        return bool(self.added)

    def running_kernel(self, release: str) -> Package | None:
        self._ask("running_kernel")
        running = [one for one in self.packages if one.installed and one.nevra.evr == RUNS.nevra.evr]
        return running[0] if running and release == self.release else None

    def origin(self, package: Package) -> str:
        self._ask("origin")
        return self.source if package.installed else ""

    def offered_by(self, package: Package) -> frozenset[str]:
        return frozenset(one.repo for one in self.packages if one.nevra == package.nevra and one.repo)

    def kernels(self, names: Sequence[str], arch: str) -> Sequence[Package]:
        self._ask("kernels")
        return self._named(names, arch)

    def installed(self, names: Collection[str]) -> Collection[str]:
        return {one.nevra.name for one in self.packages if one.installed and one.nevra.name in names}

    def newer_kernels(self, names: Sequence[str], arch: str, evr: str) -> Sequence[Package]:
        return [one for one in self._named(names, arch) if self.compare(one.nevra.evr, evr) > 0]

    def built_with(self, packages: Sequence[Package]) -> Sequence[Package]:
        return packages

    def incoming(self, prefix: str) -> Sequence[Package]:
        return [one for one in self.packages if one.incoming and one.nevra.name.startswith(prefix)]

    def provides(self, package: Package) -> Iterable[str]:
        return package.provides

    def live_patches(self, lookup: Lookup) -> Sequence[Package]:
        self._ask("live_patches " + lookup.provides[0])
        return [
            one._replace(visible=one.installed or str(one.nevra) not in self.hidden)
            for one in self.packages
            if one.nevra.name in lookup.names or set(one.provides) & set(lookup.provides)
        ]

    def advisories(
        self, packages: Sequence[Package], within: Collection[str] | None = None
    ) -> Sequence[Advisory]:
        if within is not None and "base" not in within:
            return []
        self._ask(f"advisories of {packages[0].nevra.name}, {'any' if within is None else 'trusted'}")
        keys = {(one.nevra.name, one.nevra.arch) for one in packages}
        return [row for row in self.rows if keys & {(build.name, build.arch) for build in row.packages}]

    def repositories(self) -> Sequence[Repository]:
        self._ask("repositories")
        return self.repos

    def record(self, repository: str, releases: Container[str]) -> str:
        self._ask("record")
        return self.text

    def issued(self, repository: str, ids: Collection[str]) -> Mapping[str, str]:
        self._ask("issued")
        return {name: day for name, day in self.issues.get(repository, {}).items() if name in ids}

    def updateinfo(self, repository: str) -> str:
        return self.updates[repository]

    def compare(self, one: str, other: str) -> int:
        first, second = (int(evr.rpartition("-")[2].partition(".")[0]) for evr in (one, other))
        return first - second

    def lets_through(self, package: Package) -> bool:
        return str(package.nevra) in self.found

    def why_not_with(self, add: Sequence[Package], along: Helpers) -> str:
        return self.trial if str(add[-1].nevra) == str(NEW.nevra) else ""

    def why_not_alone(self, package: Package, along: Helpers) -> str:
        self._ask("why_not_alone")
        return self.alone.get(str(package.nevra), "")

    def why_not_without(self, out: Sequence[Package]) -> str:
        return self.without

    def hide(self, nevras: Iterable[str]) -> None:
        self.hidden |= set(nevras)

    def hide_copies(self, packages: Sequence[Package]) -> None:
        self.hide([str(package.nevra) for package in packages])

    def add(self, packages: Sequence[Package]) -> str:
        self.added += [] if self.refused else packages
        return self.refused


class Machine:
    """A host; what it is told to remember stands in ``remembered``."""

    machine_id = "0123456789abcdef0123456789abcdef"
    now = NOW
    bound = 60.0
    faults: Sequence[str] = ()
    root = True

    def __init__(self, settings: Config = Config(), cannot: str = "", seen: Patched = Patched()) -> None:  # noqa: B008
        self.kernel = Kernel(RELEASE, "x86_64")
        self.settings = settings
        self.profiles = GENERIC
        self.cannot = cannot
        self.rivals: Sequence[str] = ()
        self.seen = seen
        self.off: dict[str, str] = {}
        self.away: dict[str, str] = {}
        self.signed = True
        self.gone: dict[str, str] = {}
        self.seen_first: dict[str, str] = {}
        self.before: Hold | None = None
        self.answer: ReconcileResult | None | BaseException = None
        self.remembered: dict[str, Any] = {}
        self.looks = 0
        #: What an earlier run read, the covers that were looked with, and the waits.
        self.known: Inputs | None = None
        self.covers: list[object] = []
        self.waits: list[tuple[float, object]] = []

    @property
    def loaded(self) -> bool:
        return bool(self.seen.in_force)

    def patched(
        self, cover: Iterable[tuple[str, tuple[str, ...]]], result: ReconcileResult | None = None
    ) -> Patched:
        self.looks += 1
        self.covers.append(cover)
        return self.seen if result is None else self.seen._replace(in_force=result.in_force)

    def switched_off(self, rule: Profile) -> str:
        return self.off.get(rule.name, "")

    def blocked(self) -> Mapping[str, str]:
        return self.away

    def withdrawn(self) -> Mapping[str, str]:
        return self.gone

    def held(self) -> Hold | None:
        return self.before

    def known_inputs(self, release: str) -> Inputs | None:
        return self.known if self.known is not None and self.known.kernel_release == release else None

    def remember_inputs(self, inputs: Sequence[Inputs]) -> None:
        self.remembered["inputs"] = inputs

    def to_take_back(self) -> Collection[str]:
        return self.gone if self.signed else ()

    def remember_withdrawn(self, unread: Collection[str], said: Iterable[Withdrawal]) -> None:
        self.remembered["withdrawn"] = set(unread), list(said)

    def first_seen(self, nevras: Sequence[str]) -> Mapping[str, str]:
        return {nevra: self.seen_first.get(nevra, self.now) for nevra in nevras}

    def remember_trust(self, trusted: Sequence[Trusted]) -> None:
        self.remembered["trust"] = tuple(trusted)

    def unproved(self) -> Sequence[str]:
        return list(self.remembered.get("unproved", ()))

    def remember_unproved(self, nevras: Iterable[str]) -> None:
        self.remembered["unproved"] = list(nevras)

    def remember_offered(self, nevra: str, repo: str) -> None:
        self.remembered["offered"] = nevra, repo

    def remember_taken(self, nevras: Collection[str]) -> None:
        self.remembered["taken"] = list(nevras)

    def remember_hold(self, hold: Hold | None, why: str) -> None:
        self.remembered["hold"] = hold, why

    def take_back(self) -> None:
        self.remembered["taken back"] = True

    def reconcile(self, wait: float, progress: Progress | None) -> ReconcileResult | None:
        self.waits.append((wait, progress))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Steps:
    """Softness that lists the names of the steps which it is given."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def attempt(self, what: str, default: _T, function: Callable[[], _T]) -> _T:
        self.taken.append(what)
        return function()


def hard(what: str, default: _T, function: Callable[[], _T]) -> _T:
    """A fault in planning is a fault of the test."""
    return function()


class Faults:
    """Softness as an adapter has it."""

    def __init__(self) -> None:
        self.met: list[str] = []

    def attempt(self, what: str, default: _T, function: Callable[[], _T]) -> _T:
        try:
            return function()
        except RuntimeError:
            self.met.append(what)
            return default


def progress(text: str) -> None:
    """A wait that is to be watched; the stand-in of the host tells no progress."""


class Waiting:
    """Waits of which the texts stand in ``said``."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @contextlib.contextmanager
    def __call__(self, text: str) -> Iterator[Progress | None]:
        self.said.append(text)
        yield progress


def answered(*problems: Problem, skipped: str = "") -> ReconcileResult:
    """Reconcile's answer where NEW is in force."""
    in_force = (InForce("lp", str(NEW.nevra), (CVE,)),)
    return ReconcileResult("1", "", NOW, RELEASE, not problems, "", in_force, (), problems, skipped)


def ids(plan: Plan) -> list[str]:
    return [note.id for note in plan.notes]


def both(planner: Planner, asked: Asked) -> tuple[Plan, Plan]:
    return planner.keep_out(asked), planner.bring_in(asked)
