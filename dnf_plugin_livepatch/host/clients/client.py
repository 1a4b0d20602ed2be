# SPDX-License-Identifier: GPL-2.0-or-later
"""Vendors' own loaders (Ksplice, syscare; KernelCare only to be shown), through one adapter.

For reconcile and status:

``state(profile, kernel) -> ClientState``
    The patches that the client reports in force now. Never raises; ``state`` is one of
    ``in-force``, ``partial`` (some are in force, some are not), ``outdated``, ``none``, ``unsupported``,
    ``unknown`` (no answer that may be believed, ``why`` is the reason) and ``absent``.
``apply(profile, kernel, timeout=0, out=(), progress=None) -> ClientResult``
    Let the client load every installed patch except the packages ``out``, then read its state again: an
    exit code alone is no success. ``outcome`` is ``done``, ``nothing`` (there was nothing to load),
    ``failed``, ``absent`` or ``refused`` (a product that is never driven); ``ok`` is True for the first two.
``remove(profile, kernel, timeout=0, progress=None) -> ClientResult``
    Let the client take all its patches out of force, then read its state again.

The command lines, exit codes and the shape of the output are the profile's (docs/reference/profiles.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from ...base.model import Kernel, Nevra
from ...base.names import leading_cves, only_mentions
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...vendors.profile_file import Client, Profile
from .. import program
from ..read import read_bytes

if TYPE_CHECKING:
    from typing import Callable

MAX_CVES_FILE = 1 << 20
MAX_LINES = 4096
MAX_LINE = 2600
#: How many times its timeout a client may run that loads or unloads patches.
PATIENCE = 3
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "LC_ALL": "C", "HOME": "/root"}
_RELEASE = re.compile(r"[0-9][A-Za-z0-9._+~^-]{0,127}\Z")
_SHAPES = {
    "{id}": r"(?P<id>[A-Za-z0-9][A-Za-z0-9._/@:+-]{0,127})",
    "{name}": r"(?P<name>[A-Za-z0-9][A-Za-z0-9._/@:+-]{0,255})",
    "{state}": r"(?P<state>[A-Z][A-Z-]{1,30})",
    "{text}": r"(?P<text>[^\n]{0,2000})",
}


class Entry(NamedTuple):
    """One patch as its client lists it; ``active`` where the patch is in force."""

    id: str
    name: str
    active: bool
    text: str = ""


class ClientState(NamedTuple):
    """A client's report about the running kernel; the module's text lists the values of ``state``.

    ``effective`` is the kernel release whose fixes are in force, "" where the client does not report one.
    ``cves`` are the CVEs that the active entries close.
    """

    client: str
    state: str
    why: str = ""
    effective: str = ""
    entries: tuple[Entry, ...] = ()
    cves: tuple[str, ...] = ()


class ClientResult(NamedTuple):
    """The end of an ``apply`` or ``remove``, and the state then; ``why`` and ``remedy`` are for people."""

    outcome: str
    why: str
    after: ClientState
    seconds: float = 0.0
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether the client did its job, or had nothing to do."""
        return self.outcome in ("done", "nothing")


def _run(
    argv: tuple[str, ...],
    timeout: float,
    still: Callable[[float], None] | None = None,
    longest: float = 0.0,
) -> tuple[int, str]:
    """Run ``argv`` in a fixed environment; return exit code and output. Raises program.Unusable."""
    return program.run_foreign(argv, timeout, _ENVIRONMENT, still=still, longest=longest)


def _fill(argv: tuple[str, ...], kernel: Kernel, identifier: str = "") -> tuple[str, ...]:
    words = {"{release}": kernel.release, "{kernel}": _bare(kernel), "{id}": identifier}
    filled = []
    for word in argv:
        for field, value in words.items():
            word = word.replace(field, value)
        filled.append(word)
    return tuple(filled)


def _bare(kernel: Kernel) -> str:
    """Return the release without its architecture: the version and release of the kernel package."""
    tail = "." + kernel.arch
    return kernel.release[: -len(tail)] if kernel.arch and kernel.release.endswith(tail) else kernel.release


def _pattern(rule: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[a-z]+\})", rule)
    return re.compile("".join(_SHAPES.get(part, re.escape(part)) for part in parts) + r"\Z")


def _entries(client: Client, kernel: Kernel, output: str) -> tuple[Entry, ...]:
    """Return the patches in a client's output. Raises program.Unusable for a line of unknown shape."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    if len(lines) > MAX_LINES:
        raise program.Unusable(f"more than {MAX_LINES} lines of state")
    if max(map(len, lines), default=0) > MAX_LINE:
        raise program.Unusable(f"a line of its state is longer than {MAX_LINE} characters")
    rules = [_pattern(rule) for rule in client.lines]
    ignored = [_pattern(rule) for rule in client.ignore]
    prefix = _fill((client.only,), kernel)[0]
    found: list[Entry] = []
    for line in filter(None, lines):
        if any(rule.match(line) for rule in ignored):
            continue
        match = next((m for m in (rule.match(line) for rule in rules) if m), None)
        if match is None:
            raise program.Unusable(f"a line of its state is not understood: {line[:80]!r}")
        fields: dict[str, str | None] = match.groupdict()
        word, name = fields.get("state"), fields.get("name") or ""
        if word is not None and word not in client.active + client.inactive:
            raise program.Unusable(f"the state {word[:40]!r} is not known")
        if name.startswith(prefix):
            active = word is None or word in client.active
            found.append(Entry(fields.get("id") or "", name, active, fields.get("text") or ""))
    return tuple(found)


def _effective(client: Client, kernel: Kernel) -> str:
    argv = _pick(client.effective)
    if not argv:
        return ""
    try:
        code, output = _run(_fill(argv, kernel), client.timeout)
    except program.Unusable:
        return ""
    release = output.strip()
    return release if code == 0 and _RELEASE.match(release) else ""


def _named(entries: Iterable[Entry], more: str = "") -> tuple[str, ...]:
    """Return the CVEs that the active ``entries`` and the lines of ``more`` close.

    A fix is listed as ``CVE: its title``. Other texts and titles only mention a CVE. Ksplice's "Known
    exploit detection for" one reports attempts and fixes nothing.
    """
    found: set[str] = set()
    for text in (*(entry.text for entry in entries if entry.active), *more.splitlines()):
        cves, rest = leading_cves(text)
        found.update(cves if rest[:1] in ("", ":") and not only_mentions(rest) else ())
    return tuple(sorted(found))


def _listed(client: Client) -> str:
    if not client.cves_file:
        return ""
    # Without the list nothing counts as closed.
    return read_bytes(client.cves_file, MAX_CVES_FILE).decode("ascii", "replace")


def _pick(commands: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Return the first of ``commands`` whose program exists, () for none."""
    return next((argv for argv in commands if os.access(argv[0], os.X_OK)), ())


def _absent(client: Client, commands: tuple[tuple[str, ...], ...]) -> ClientState:
    names = " nor ".join(dict.fromkeys(argv[0] for argv in commands))
    return ClientState(client.title, "absent", f"{names or 'its program'} is not there")


def _summary(entries: Sequence[Entry]) -> str:
    active = [entry.active for entry in entries]
    return "none" if not any(active) else "in-force" if all(active) else "partial"


def _belongs(entry: Entry, package: Nevra) -> bool:
    """Return whether the patch, which the client names KERNEL/PATCH/OBJECT, is of ``package``.

    The package's name ends with KERNEL-PATCH; its version and release may be a part of PATCH.
    """
    end = "-" + "-".join(entry.name.split("/")[:2])
    return any(
        name.endswith(end) for name in (package.name, f"{package.name}-{package.version}-{package.release}")
    )


def _without(entries: tuple[Entry, ...], out: Sequence[Nevra]) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if not any(_belongs(entry, package) for package in out))


def names(profile: Profile) -> bool:
    """Return whether the profile's client lists its patches by name."""
    return profile.client is not None and any("{name}" in line for line in profile.client.lines)


def of_package(profile: Profile, found: ClientState, package: Nevra) -> ClientState:
    """Cut ``found`` down to this one installed package.

    If the client lists patches by name, only those of the package count. If it does not, its state is about
    all installed packages, and is returned unchanged.
    """
    if not names(profile) or found.state not in ("in-force", "partial", "none"):
        return found
    own = tuple(entry for entry in found.entries if _belongs(entry, package))
    summary = _summary(own)
    what = {"partial": "only a part of it as in force", "none": "it as not in force"}
    why = f"{found.client} lists {what.get(summary, '') if own else 'no patch of it'}"
    return found._replace(
        state=summary, why="" if summary == "in-force" else why, entries=own, cves=_named(own)
    )


def state(profile: Profile, kernel: Kernel) -> ClientState:
    """Return the patches that the profile's client reports in force on the running kernel; never raises."""
    client = profile.client
    if client is None:
        return ClientState(profile.name, "absent", "this profile has no client of its own")
    argv = _pick(client.state)
    if not argv:
        return _absent(client, client.state)
    outcomes = {code: word for verb, code, word in client.exits if verb == "state"}
    try:
        code, output = _run(_fill(argv, kernel), client.timeout)
        outcome = outcomes.get(code, "")
        if not outcome:
            return ClientState(client.title, "unknown", f"{argv[0]} ended with exit code {code}")
        entries = _entries(client, kernel, output) if outcome == "done" else ()
        if outcome == "done":
            entries += _waiting(client, argv, kernel)
    except program.Unusable as error:
        return ClientState(client.title, "unknown", str(error))
    if outcome == "done":
        outcome = _summary(entries)
    loaded = outcome in ("in-force", "partial", "outdated")
    cves = _named(entries, _listed(client)) if loaded else ()
    return ClientState(client.title, outcome, "", _effective(client, kernel), entries, cves)


def _waiting(client: Client, first: tuple[str, ...], kernel: Kernel) -> tuple[Entry, ...]:
    """Return the patches that are not in force, as further state commands of ``first``'s program list them.

    Raises program.Unusable.
    """
    found: tuple[Entry, ...] = ()
    for argv in client.state:
        if argv[0] == first[0] and argv != first:
            code, output = _run(_fill(argv, kernel), client.timeout)
            if ("state", code, "done") not in client.exits:
                raise program.Unusable(f"{' '.join(argv)} ended with exit code {code}")
            found += tuple(entry._replace(active=False) for entry in _entries(client, kernel, output))
    return found


def _run_all(
    client: Client,
    verb: str,
    argv: tuple[str, ...],
    kernel: Kernel,
    todo: tuple[str, ...],
    limit: float,
    progress: Callable[[str], None] | None,
) -> str:
    """Run ``argv`` (``verb``'s) for each of ``todo``, which is told after each ``limit`` seconds.

    A client that is killed may leave the kernel half patched, so that only PATIENCE times ``limit`` ends it.
    Returns why it failed, or "".
    """

    def still(spent: float) -> None:
        if spent >= PATIENCE * limit:
            raise program.Unusable(f"{argv[0]} did not end within {spent:.0f} seconds")
        if progress is not None:
            progress(f"{client.title}: {argv[0]} has been running for {spent:.0f} s")

    for identifier in todo:
        try:
            code, output = _run(_fill(argv, kernel, identifier), limit, still, PATIENCE * limit)
        except program.Unusable as error:
            return str(error)
        if (verb, code, "done") not in client.exits:
            last = "".join(c for c in " ".join(output.split())[-200:] if c.isprintable())
            return f"{argv[0]} ended with exit code {code}" + (f": {last}" if last else "")
    return ""


def apply(
    profile: Profile,
    kernel: Kernel,
    timeout: float = 0,
    out: Sequence[Nevra] = (),
    progress: Callable[[str], None] | None = None,
) -> ClientResult:
    """Let the client put its installed patches in force; ``timeout`` 0 is the profile's, in seconds.

    A client that lives beyond ``timeout`` is told by ``progress`` and waited for.

    A command that takes an {id} is run once for each patch that the client's state lists as inactive. The
    packages ``out`` are installed too and must not be loaded: their patches are passed over. If their
    patches cannot be distinguished from the others, no command is run, and the outcome is ``failed``.
    """
    import time

    started = time.monotonic()
    client = profile.client
    before = state(profile, kernel)
    if client is None or not client.apply:
        return ClientResult("refused", f"livepatch does not drive {before.client}", before)
    argv = _pick(client.apply)
    if not argv or before.state == "absent":
        gone = before if argv else _absent(client, client.apply)
        return ClientResult("absent", f"{gone.client}: {gone.why}", gone, 0.0, client.absent)
    todo: tuple[str, ...] = ("",)
    if any("{id}" in word for word in argv):
        if before.state == "unknown":
            return ClientResult("failed", f"{client.title}: {before.why}", before)
        entries = _without(before.entries, out)
        todo = tuple(entry.id for entry in entries if not entry.active)
        hidden = [item for item in out if not any(_belongs(entry, item) for entry in before.entries)]
    else:
        hidden = list(out)
    if todo and hidden:
        reason = f"{client.title} might also load {hidden[0]}, which has to stay out of force"
        return ClientResult("failed", reason, before)
    why = _run_all(client, "apply", argv, kernel, todo, timeout or client.timeout, progress)
    after = state(profile, kernel)
    entries = _without(after.entries, out)
    reported = after.state if entries == after.entries else _summary(entries)
    seconds = time.monotonic() - started
    if not why and reported == "in-force":
        return ClientResult("done", "", after, seconds)
    if not why and reported == "none" and not entries:
        return ClientResult("nothing", f"{client.title} has nothing to load", after, seconds)
    reason = why or after.why or f"it reports {reported} after loading"
    return ClientResult("failed", f"{client.title}: {reason}", after, seconds)


def remove(
    profile: Profile, kernel: Kernel, timeout: float = 0, progress: Callable[[str], None] | None = None
) -> ClientResult:
    """Let the client take all its patches out of force; ``timeout`` 0 is the profile's, in seconds."""
    import time

    started = time.monotonic()
    client = profile.client
    before = state(profile, kernel)
    argv = _pick(client.remove) if client is not None else ()
    if client is None or not argv:
        return ClientResult("refused", f"{before.client} cannot take patches out", before)
    why = _run_all(client, "remove", argv, kernel, ("",), timeout or client.timeout, progress)
    after = state(profile, kernel)
    seconds = time.monotonic() - started
    if not why and after.state == "none":
        return ClientResult("done", "", after, seconds)
    reason = why or after.why or f"it reports {after.state} after taking everything out"
    return ClientResult("failed", f"{client.title}: {reason}", after, seconds)
