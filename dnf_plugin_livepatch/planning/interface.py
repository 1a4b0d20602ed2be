# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions of planning to a package manager and to the host, and its plan. Pure.

An adapter (``dnf4/``) translates its own objects into these tuples, and its acts carry out what the planner
decides; a ``Plan`` records that. No object of hawkey or libdnf crosses this line, so that a table of tuples
can stand for a package manager in a test.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence

from ..base.config import Config
from ..base.model import (
    Advisory,
    Hold,
    InForce,
    Kernel,
    Nevra,
    Problem,
    ReconcileResult,
    Trusted,
    Unfixable,
    Withdrawal,
)
from ..base.typed import TYPE_CHECKING, NamedTuple, Protocol
from ..exposure.compute import Inputs
from ..vendors.profiles import Lookup, Profile

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Callable, TypeAlias, TypeVar

    #: Writes the progress of a wait for a person to see.
    Progress = Callable[[str], None]

    #: Says a text and yields how progress is shown, None where nobody watches.
    Waiting = Callable[[str], "AbstractContextManager[Progress | None]"]

    _T = TypeVar("_T")


_CVE = "livepatch-cve("
#: The name and the repository of each package that a live patch may bring along: a vendor's client.
Helpers: TypeAlias = "frozenset[tuple[str, str]]"


class Attempt(Protocol):
    """Runs a part of the planning softly: an exception is told once, and ``default`` is the answer."""

    def __call__(self, what: str, default: _T, function: Callable[[], _T]) -> _T:
        """The answer of ``function``, or ``default`` when it raises."""


class Package(NamedTuple):
    """One build of a package.

    ``repo`` is "" for what is installed. ``incoming``: the user's own transaction installs this build.
    ``visible``: no exclude of the configuration hides it. ``outranked``, told of kernels on offer, is the
    repository whose builds the package manager takes instead by its priority. ``provides`` and
    ``requires`` are filled in for live patches only; a kernel may have thousands of them.
    """

    nevra: Nevra
    repo: str = ""
    installed: bool = False
    incoming: bool = False
    visible: bool = True
    build_time: int = 0
    outranked: str = ""
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    @property
    def declared(self) -> set[str]:
        """The CVEs that a live patch itself says it closes."""
        return {text[len(_CVE) : -1] for text in self.provides if text.startswith(_CVE)}

    @property
    def here(self) -> bool:
        """Will the host have this build without planning?"""
        return self.installed or self.incoming


class Repository(NamedTuple):
    """One repository that is enabled, or was left out of this run only (``--repo=``, no answer).

    ``unanswered``: it was left out since it gave no answer.
    ``gpgcheck``: the signatures of its packages are checked; ``signed``: that of its metadata is
    (``repo_gpgcheck``). ``read_at`` is when its metadata was last made sure to be current, ISO 8601 in UTC.
    Of two repositories with the same package the package manager takes the one with the lower ``priority``,
    and then, for the same build, the one with the lower ``cost``.
    """

    id: str
    gpgcheck: bool = True
    left_out: bool = False
    has_advisories: bool = False
    has_record: bool = False
    revision: str = ""
    read_at: str = ""
    signed: bool = False
    priority: int = 99
    cost: int = 1000
    unanswered: bool = False


class PackageManager(Protocol):
    """Questions, three trials (each runs the solver) and two acts.

    Facts asks the costly questions at most once between two changes.
    """

    #: False where a plugin cannot add packages: then the plan is only told.
    can_add: bool

    @property
    def pinned(self) -> str:
        """The release that the repositories are pinned to; "" where they follow the distribution."""

    @property
    def passing(self) -> bool:
        """Does this run alone hide or show packages, by an option such as ``--exclude``?"""

    @property
    def busy(self) -> bool:
        """Does the transaction change anything?"""

    def running_kernel(self, release: str) -> Package | None:
        """The installed package that owns the running kernel."""

    def origin(self, package: Package) -> str:
        """The id of the repository that an installed package came from, "" where that is not known."""

    def offered_by(self, package: Package) -> frozenset[str]:
        """The ids of the repositories that offer this very build, hidden or not."""

    def kernels(self, names: Sequence[str], arch: str) -> Sequence[Package]:
        """All installed builds of the kernel packages ``names``, and the newest ones on offer.

        Those are the newest of each repository, hidden or not, and the newest that may be installed.
        """

    def installed(self, names: Collection[str]) -> Collection[str]:
        """Those of the package ``names`` of which any build is installed."""

    def newer_kernels(self, names: Sequence[str], arch: str, evr: str) -> Sequence[Package]:
        """All builds of the kernel packages ``names`` on offer that are newer than ``evr``.

        Neither those that are hidden nor those that are outranked.
        """

    def built_with(self, packages: Sequence[Package]) -> Sequence[Package]:
        """The packages on offer, not hidden, of the same source RPMs, ``packages`` included."""

    def incoming(self, prefix: str) -> Sequence[Package]:
        """The packages that the transaction installs and whose name begins with ``prefix``."""

    def provides(self, package: Package) -> Iterable[str]:
        """The capabilities of a package, one after the other."""

    def live_patches(self, lookup: Lookup) -> Sequence[Package]:
        """Every build, installed or offered, hidden or not, that ``lookup`` finds."""

    def advisories(
        self, packages: Sequence[Package], within: Collection[str] | None = None
    ) -> Sequence[Advisory]:
        """The advisories that list any build of one of these packages' name and architecture.

        With ``within`` those of these repositories alone.
        """

    def repositories(self) -> Sequence[Repository]:
        """The repositories, by id."""

    def record(self, repository: str, releases: Container[str]) -> str:
        """The text of a repository's ``livepatch`` record, which may lack what concerns other kernels.

        Raises whatever reading it may raise.
        """

    def issued(self, repository: str, ids: Collection[str]) -> Mapping[str, str]:
        """The days on which these advisories were issued, as far as the repository's updateinfo has them.

        Raises whatever reading it may raise.
        """

    def updateinfo(self, repository: str) -> str:
        """A repository's updateinfo as text: solvers do not read openEuler's element of hot patches.

        Raises OSError for a file that is gone, damaged or too large.
        """

    def compare(self, one: str, other: str) -> int:
        """The order of two ``[epoch:]version-release``."""

    def lets_through(self, package: Package) -> bool:
        """Is ``package`` among those that an opaque filter of the upgrade wants?"""

    def why_not_with(self, add: Sequence[Package], along: Helpers) -> str:
        """Why the user's transaction with exactly ``add`` and some of ``along`` is none; "" when it is."""

    def why_not_alone(self, package: Package, along: Helpers) -> str:
        """Why a transaction of ``package`` and some of ``along`` alone is none; "" when it is."""

    def why_not_without(self, out: Sequence[Package]) -> str:
        """Why an upgrade of everything would change otherwise without ``out``; "" when it would not."""

    def hide(self, nevras: Iterable[str]) -> None:
        """Hide these builds from the solver, in every repository, except those that are installed."""

    def hide_copies(self, packages: Sequence[Package]) -> None:
        """Hide these packages on offer from the solver; the copies of other repositories stay."""

    def add(self, packages: Sequence[Package]) -> str:
        """Add ``packages`` and resolve again. A failure's reason; the transaction is the user's own then."""


class Patched(NamedTuple):
    """The live patches of this host now, by what is installed and what the kernel says.

    ``packages`` are the packages in force. ``missing`` are installed, wanted and not in force; ``absent``
    are all that are installed and not in force, blocked ones too. ``unfixable`` and ``support_end`` are
    what the installed packages say of the running kernel. ``modules`` are the modules in force that have a
    package, each with its package. ``foreign`` are the modules that another program loaded. ``barred`` are
    the installed packages that the host itself blocked, with the reasons.
    """

    in_force: tuple[InForce, ...] = ()
    packages: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unfixable: tuple[Unfixable, ...] = ()
    support_end: str = ""
    modules: tuple[tuple[str, str], ...] = ()
    foreign: tuple[str, ...] = ()
    barred: tuple[tuple[str, str], ...] = ()


class Host(Protocol):
    """The machine: asked before the transaction, written to as root, and asked to reconcile after it."""

    kernel: Kernel
    settings: Config
    profiles: Sequence[Profile]
    #: What was not understood in livepatch.conf and the profiles.
    faults: Sequence[str]
    #: Why nothing can be loaded here, "" when it can.
    cannot: str
    #: Other products that patch this kernel: nothing but their own clients loads a patch beside them.
    rivals: Sequence[str]
    #: May this run change the host?
    root: bool

    @property
    def machine_id(self) -> str:
        """The host's own id, which decides its place in a roll-out."""

    @property
    def now(self) -> str:
        """The time, ISO 8601 in UTC."""

    @property
    def bound(self) -> float:
        """Seconds within which a reconcile answers."""

    @property
    def loaded(self) -> bool:
        """Does the kernel list any live patch?"""

    def patched(
        self, cover: Iterable[tuple[str, tuple[str, ...]]], result: ReconcileResult | None = None
    ) -> Patched:
        """Look at the live patches. ``cover`` is that of ``Inputs``, ``result`` reconcile's answer."""

    def switched_off(self, rule: Profile) -> str:
        """The vendor's own switch where it keeps the patches of the profile ``rule`` out, else ""."""

    def blocked(self) -> Mapping[str, str]:
        """NEVRA and reason of what shall not be loaded here."""

    def withdrawn(self) -> Mapping[str, str]:
        """NEVRA and reason of what is known to be withdrawn by its publisher."""

    def held(self) -> Hold | None:
        """The kernel update that an earlier run held."""

    def known_inputs(self, release: str) -> Inputs | None:
        """What an earlier run read of the kernel ``release``; None where there was no such run."""

    def remember_inputs(self, inputs: Sequence[Inputs]) -> None:
        """Write down what the repositories say of the kernels; nothing where this run may not write.

        What is known of other kernels stays where the repositories were read in vain.
        """

    def to_take_back(self) -> Collection[str]:
        """The NEVRAs of what is withdrawn by signed metadata, so that it may be taken out of force."""

    def remember_withdrawn(self, unread: Collection[str], said: Iterable[Withdrawal]) -> None:
        """Write down which patches are withdrawn: what is ``said`` now, and what the ``unread`` had said."""

    def first_seen(self, nevras: Sequence[str]) -> Mapping[str, str]:
        """The moment at which a run on this host first saw each of these patches; now for a new one."""

    def remember_trust(self, trusted: Sequence[Trusted]) -> None:
        """Write down which repositories are trusted, why, and for what, for ``livepatch doctor`` to tell."""

    def unproved(self) -> Sequence[str]:
        """The NEVRAs that ``remember_unproved`` wrote down."""

    def remember_unproved(self, nevras: Iterable[str]) -> None:
        """Write down the live patches of repositories that nothing but their own listing vouches for.

        Reconcile compares their signer with the kernel's before it loads one.
        """

    def remember_offered(self, nevra: str, repo: str) -> None:
        """Write down the live patch that is offered for the running kernel, and by whom; "" for none."""

    def remember_taken(self, nevras: Collection[str]) -> None:
        """Write down that this run installed these live patches: they are no offer any more.

        Where another one is on offer, it has not been taken since now.
        """

    def remember_hold(self, hold: Hold | None, why: str) -> None:
        """Write down the kernel update that is held, or that none is held any more, and why."""

    def take_back(self) -> None:
        """Have reconcile take out of force what was withdrawn, without waiting for it."""

    def reconcile(self, wait: float, progress: Progress | None) -> ReconcileResult | None:
        """Have the kernel follow the packages. None: no answer within ``wait`` seconds. Raises OSError."""


class Plan(NamedTuple):
    """The record of one door: what the package manager's two acts have carried out, and what to say.

    ``hidden`` and ``added`` are what was hidden from and added to the transaction. ``expect`` have to be in
    force when the transaction is over. ``notes`` are for the user; ``prompt`` is shown before the package
    manager asks. ``quiet``: nothing to add, to load or to say, so that the next run may skip planning for as
    long as nothing changes. ``free``: no repository's record keeps a patch out, now or later.
    """

    hidden: tuple[str, ...] = ()
    added: tuple[Package, ...] = ()
    expect: tuple[str, ...] = ()
    notes: tuple[Problem, ...] = ()
    prompt: tuple[str, ...] = ()
    quiet: bool = False
    free: bool = False


class Ended(NamedTuple):
    """The end of loading: lines (log level, text) for the user, and whether all expected is in force."""

    lines: tuple[tuple[int, str], ...] = ()
    good: bool = True
