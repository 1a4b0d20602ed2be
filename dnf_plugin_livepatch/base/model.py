# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns that every room shares. No I/O, no decisions.

NamedTuples, not dataclasses: importing ``dataclasses`` costs more than the rest of a
``livepatch status`` run, and a plugin's import is paid by every dnf command.

Times are ISO 8601 strings in UTC with a trailing ``Z`` (``2026-11-22T21:00:00Z``);
durations are float seconds; CVE identifiers are upper case.
"""

from __future__ import annotations

from .typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Callable

    #: Compares two ``[epoch:]version-release`` texts as rpm does: negative, zero or positive.
    Compare = Callable[[str, str], int]


# The states of a CVE, and the qualities of an exposure.
OPEN, CLOSED_LIVE, REBOOT_ONLY = "open", "closed-live", "reboot-only"
EXACT, LOWER_BOUND, UNKNOWN = "exact", "lower-bound", "unknown"
# The dates that an advisory may be known by.
ISSUED, UPDATED = "issued", "updated"


class Nevra(NamedTuple):
    """One RPM build: name, epoch, version, release, arch. ``epoch`` is a decimal string."""

    name: str
    epoch: str
    version: str
    release: str
    arch: str

    @property
    def evr(self) -> str:
        """``[epoch:]version-release``; an epoch of 0 is left out, as dnf prints it."""
        prefix = "" if self.epoch in ("", "0") else f"{self.epoch}:"
        return f"{prefix}{self.version}-{self.release}"

    def __str__(self) -> str:
        return f"{self.name}-{self.evr}.{self.arch}"


class Function(NamedTuple):
    """One function that a live patch replaces; ``object`` is ``vmlinux`` or a module's name."""

    object: str
    name: str
    sympos: int = 0


class Unfixable(NamedTuple):
    """A CVE that no live patch of this kernel can close, and why. Only a reboot closes it."""

    cve: str
    reason: str


class Manifest(NamedTuple):
    """A live-patch package's description of one module; ``formats/manifest.py`` reads and writes it.

    ``build_id`` is the hexadecimal ELF build id of the module, ``kernel_build_id`` that of the
    kernel it is for (``/sys/kernel/notes``). ``order`` is the place in a set of modules that one
    package carries. ``replace`` mirrors ``klp_patch.replace`` (a cumulative patch).
    """

    module: str
    kernel_release: str
    build_id: str
    sha256: str = ""
    srcversion: str = ""
    kernel_build_id: str = ""
    replace: bool = True
    order: int = 0
    functions: tuple[Function, ...] = ()
    patches: tuple[tuple[str, str], ...] = ()
    cves: tuple[str, ...] = ()
    unfixable: tuple[Unfixable, ...] = ()
    advisory: str = ""
    severity: str = ""
    issued: str = ""
    support_end: str = ""
    overrides: tuple[tuple[str, str], ...] = ()


class InstalledModule(NamedTuple):
    """One module file that an installed live-patch package owns.

    ``digest`` is the file's in the rpm database: sha256, or ``sha512:`` and the like before any other; ""
    where the header has none, as for a link. ``manifest`` is None for a vendor's package without one.
    ``own_build_id`` is then the build id in the file itself, "" where the inventory did not read it.
    """

    name: str
    path: str
    digest: str
    manifest: Manifest | None
    own_build_id: str = ""

    @property
    def build_id(self) -> str:
        """The build id that the module should have in the kernel, "" for unknown."""
        return self.own_build_id if self.manifest is None else self.manifest.build_id


class InstalledPatch(NamedTuple):
    """A live-patch package in the rpm database, for ``kernel_release``.

    ``kind`` is ``patch`` or ``empty`` (a 0-0 subscription package, which patches nothing).
    ``loader`` is ``kernel`` or the name of the profile's external client.
    ``modules`` is in load order. ``build_time`` is RPM's BUILDTIME.
    ``scriptlet`` is the profile's: the package or its vendor's service loads the modules too.
    """

    nevra: Nevra
    profile: str
    kernel_release: str
    kind: str
    loader: str
    modules: tuple[InstalledModule, ...]
    cves: tuple[str, ...] = ()
    unfixable: tuple[Unfixable, ...] = ()
    build_time: int = 0
    scriptlet: bool = False


class LoadedPatch(NamedTuple):
    """One entry of ``/sys/kernel/livepatch`` joined with ``/sys/module``.

    ``enabled`` and ``transition`` are the sysfs values. ``build_id`` is read from
    ``notes/.note.gnu.build-id`` ("" when unreadable), ``srcversion`` where the kernel has it.
    ``functions`` are the ``OBJECT/FUNCTION,sympos`` folders; ``patched_objects`` those objects
    whose ``patched`` attribute is 1. ``stack_order`` is 0 where the kernel has no such file (before 6.14).
    """

    module: str
    enabled: bool
    transition: bool
    build_id: str = ""
    srcversion: str = ""
    replace: bool | None = None
    stack_order: int = 0
    functions: tuple[Function, ...] = ()
    patched_objects: tuple[str, ...] = ()


class Kernel(NamedTuple):
    """The running kernel. ``build_id`` is hexadecimal, "" where /sys/kernel/notes is unreadable."""

    release: str
    arch: str
    build_id: str = ""
    boot_id: str = ""
    livepatch: bool = False


class Problem(NamedTuple):
    """One fault, or one thing worth knowing; ``messages`` has its texts by ``id``.

    ``severity`` is ``error``, ``warning`` or ``note``. ``subject`` is the NEVRA, the module or the mount
    point that the problem is about, "" where it is about none of them. Programs compare ``id`` and
    ``subject``, never a text. ``at`` is when an earlier run found it, "" for a problem of now.
    """

    id: str
    severity: str
    text: str
    remedy: str = ""
    subject: str = ""
    at: str = ""


class Action(NamedTuple):
    """One change that reconcile made, or tried to make, to the running kernel.

    ``verb``: load, replace, unload, reverse. ``outcome``: done, failed, stalled.
    ``seconds``: how long the transition took.
    """

    verb: str
    module: str
    nevra: str
    outcome: str
    seconds: float = 0.0


class InForce(NamedTuple):
    """A patch verified in force: enabled, no transition, with the build id of its package.

    ``nevra`` is "" for a patch that others loaded. ``seconds`` is the transition's duration when
    this run made it, else 0.
    """

    module: str
    nevra: str
    cves: tuple[str, ...] = ()
    seconds: float = 0.0


class ReconcileResult(NamedTuple):
    """The result of one reconcile run, as it is written to ``/run/livepatch/result.json``.

    ``stamp`` is the request stamp that the run answered. ``ok`` is False when an installed, wanted patch is
    not in force. ``desired`` is the NEVRA that should be in force ("" for none).
    """

    stamp: str
    boot_id: str
    finished: str
    kernel_release: str
    ok: bool
    desired: str
    in_force: tuple[InForce, ...] = ()
    actions: tuple[Action, ...] = ()
    problems: tuple[Problem, ...] = ()
    skipped: str = ""


class Advisory(NamedTuple):
    """One updateinfo advisory, merged by id across repositories.

    ``type``: security, bugfix, enhancement, newpackage, unknown. ``severity`` is the advisory's
    own word ("" when it has none); it belongs to the advisory, not to a CVE.
    ``packages`` are the NEVRAs it lists, ``bugs`` the ids of the bugs that it refers to. ``cut``: it
    refers to more than could be read.
    """

    id: str
    type: str
    severity: str
    issued: str
    updated: str
    cves: tuple[str, ...]
    packages: tuple[Nevra, ...] = ()
    bugs: tuple[str, ...] = ()
    cut: bool = False


class Debt(NamedTuple):
    """One CVE that the running kernel has and a later kernel of the same lineage fixes.

    ``fixed_in`` is the EVR of the first kernel that fixes it; ``advisory`` and ``severity`` are
    that advisory's. ``dated`` is the advisory's date ("" for unknown), and ``date_kind`` names it:
    ``issued`` or ``updated``. libdnf reports only the later of both, which counts as ``updated``.
    """

    cve: str
    advisory: str
    severity: str
    fixed_in: str
    dated: str = ""
    date_kind: str = ""


class CveState(NamedTuple):
    """One row of the exposure: ``state`` is ``open``, ``closed-live`` or ``reboot-only``.

    ``by`` is the module that closes it; ``reason`` is why only a reboot does. ``dated`` and ``date_kind``
    are the advisory's, as in ``Debt``.
    """

    cve: str
    state: str
    advisory: str = ""
    severity: str = ""
    fixed_in: str = ""
    by: str = ""
    reason: str = ""
    dated: str = ""
    date_kind: str = ""


class Exposure(NamedTuple):
    """The CVEs of the running kernel, and how complete they are.

    ``quality``: ``exact``, ``lower-bound`` or ``unknown``; ``reason`` explains the last two.
    ``as_of`` is the moment at which the repositories were last read.
    """

    quality: str
    reason: str
    as_of: str
    rows: tuple[CveState, ...] = ()


class Hold(NamedTuple):
    """A kernel update that a transaction kept out, for the running kernel ``release``.

    ``kernel`` is the update's EVR, ``name`` its package, ``since`` when it was first held. ``closed`` are
    the CVEs of the update that were closed live then, ``left`` those that were not. ``names`` are the
    installed packages that the update renews: without one of them a kernel may lack its modules.
    """

    release: str
    name: str
    kernel: str
    since: str
    why: str
    closed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        """The arguments of `dnf upgrade` that install all of the update."""
        return " ".join(self.names or (self.name,))


class Withdrawal(NamedTuple):
    """A live patch that its publisher withdrew, by the record of ``repository``.

    ``signed``: the host had that repository's metadata checked against a signature.
    """

    nevra: str
    reason: str
    repository: str = ""
    signed: bool = False


class Offered(NamedTuple):
    """The newest live patch that ``repo`` offered for kernel ``release`` and that no dnf run has installed.

    ``since`` is when one was first offered that was not taken: a newer build does not set it back.
    """

    release: str
    nevra: str
    repo: str
    since: str


class Trusted(NamedTuple):
    """A repository that live patches may come from.

    ``why``: ``origin`` (the running kernel came from it), ``named`` (by ``repos =``) or ``listed`` (it lists
    the running kernel's build, and that is all that is known). ``claims``: its advisories and records may
    close a CVE. ``signed``: its metadata is checked against a signature, so that a withdrawal may act by
    itself.
    """

    repository: str
    why: str
    claims: bool = False
    signed: bool = False
