# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose package is a live patch, and for which kernel release. Rules are data: profiles/*.conf.

docs/reference/profiles.md describes the format. ``load`` reads the profiles, everything else is pure.
A package is identified by what it provides, or by the anchored name rule of a profile; where both speak they
must agree, and ``Requires: kernel-uname-r`` only confirms or refutes. In doubt a package is no match.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ..base.model import Nevra
from ..base.names import ARCHES, capability_version, own_capability, release_of_capability
from ..base.typed import NamedTuple
from . import templates
from .profile_file import Client, Profile, ProfileError, parse

__all__ = [
    "GENERIC",
    "Client",
    "Lookup",
    "Match",
    "Profile",
    "ProfileError",
    "directories",
    "find",
    "fits",
    "load",
    "lookup",
    "match",
    "match_all",
    "package_name",
    "parse",
]

GENERIC = "livepatch"
MAX_BYTES = 65536
MAX_FILES = 64
MAX_CAPABILITIES = 4096
#: Capabilities of one package that may name a kernel.
MAX_KERNELS = 128
_OWN = "livepatch(kernel-uname-r:"
_NOT = "not-a-live-patch"
_KERNEL = "kernel-uname-r"


class Match(NamedTuple):
    """The verdict on one package, for the reason ``why``: ``patch``, ``empty`` or ``not-a-live-patch``.

    ``profile`` and ``kernel_release`` are "" for a package that is no live patch. Where ``build_id`` is
    set, it decides which kernel is meant and ``kernel_release`` only describes that kernel (see ``fits``).
    """

    profile: str
    kernel_release: str
    kind: str
    why: str
    build_id: str = ""


class Lookup(NamedTuple):
    """The queries that find every candidate for one kernel in a package sack; ``match`` judges each."""

    provides: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    name_globs: tuple[str, ...] = ()
    provides_globs: tuple[str, ...] = ()


_cache: dict[tuple[object, ...], tuple[tuple[Profile, ...], tuple[str, ...]]] = {}


def _files(dirs: Sequence[str]) -> dict[str, str]:
    """The file of each profile: a later directory's file replaces an earlier directory's of that name.

    The first directory holds the shipped profiles. In a source tree these lie beside the package.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    beside = os.path.join(os.path.dirname(os.path.dirname(here)), "profiles")
    shipped = dirs[0] if dirs and os.path.isdir(dirs[0]) else beside
    found: dict[str, str] = {}
    for directory in (shipped, *dirs[1:]):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            if name.endswith(".conf") and name[0] != ".":
                found[name[:-5]] = os.path.join(directory, name)
    return found


def _key(path: str) -> tuple[object, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return (path,)
    return (path, status.st_mtime_ns, status.st_size, status.st_ino)


def load(dirs: Sequence[str]) -> tuple[tuple[Profile, ...], tuple[str, ...]]:
    """The profiles in ``dirs`` and one line for each fault; never raises.

    A later directory wins file by file; an empty file takes its profile away. A faulty file's profile
    is not used at all: half a rule must not bring code into a kernel. The generic profile comes
    first, the others by name. Where the first of ``dirs`` does not exist, the profiles beside the package's
    source take its place. Unchanged files are parsed once in a process.
    """
    files = _files(dirs)
    ordered = sorted(files, key=lambda name: (name != GENERIC, name))
    key = tuple(_key(files[name]) for name in ordered)
    if key in _cache:
        return _cache[key]
    found: list[Profile] = []
    faults: list[str] = []
    for name in ordered[:MAX_FILES]:
        try:
            with open(files[name], "rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise ProfileError(f"larger than {MAX_BYTES} bytes")
            if data.strip():
                found.append(parse(name, data.decode("utf-8", "replace"), files[name]))
        except OSError as error:
            faults.append(f"{files[name]}: {error.strerror}; the profile is not used")
        except ProfileError as error:
            faults.append(f"{files[name]}: {error}; the profile is not used")
    if len(ordered) > MAX_FILES:
        faults.append(f"more than {MAX_FILES} profiles; {len(ordered) - MAX_FILES} are not used")
    _cache.clear()
    _cache[key] = tuple(found), tuple(faults)
    return _cache[key]


def find(profiles: Iterable[Profile], name: str) -> Profile:
    """The profile called ``name``. Raises KeyError."""
    for profile in profiles:
        if profile.name == name:
            return profile
    raise KeyError(name)


def _split(capability: str) -> tuple[str, str]:
    """Name and version of ``NAME = [EPOCH:]VERSION``; any other ``capability`` is a name without version."""
    text = capability.strip()
    if text.startswith("("):
        return text, ""
    name, equals, version = text.partition("=")
    if not equals or name[-1:] in "<>!" or "(" in name and ")" not in name:
        return text, ""
    version = version.lstrip("=").strip()
    head, colon, rest = version.partition(":")
    return name.strip(), rest if colon and head.isdigit() else version


def _dist(values: dict[str, str]) -> str:
    """The dist tag among ``values``, or the part of {base} from the first dot before a letter on."""
    base = values.get("base", "")
    starts = [at for at, (dot, letter) in enumerate(zip(base, base[1:])) if dot == "." and letter.isalpha()]
    return values.get("dist", base[starts[0] :] if starts else "")


def _kernel_fields(profile: Profile, release: str) -> dict[str, str] | None:
    """The parts of ``release`` by the profile's kernel rule; None for a kernel of another vendor."""
    values = templates.parse(profile.kernel, release)
    if values is None or len(release) > 128:
        return None
    stem = templates.render("{kver}-{krel}.", values)
    for wanted, have in ((profile.kernels, stem), (profile.dists, _dist(values))):
        if wanted and not any(have.startswith(prefix) for prefix in wanted):
            return None
    if any(stem.startswith(prefix) for prefix in profile.not_kernels):
        return None
    return values


def _release(profile: Profile, values: dict[str, str], nevra: Nevra) -> str:
    """The kernel release that ``values`` make by the profile's rule, "" when they make none."""
    known = dict(values)
    if "release" in values and "release" not in templates.fields(profile.kernel):
        release = release_of_capability(values["release"])
    else:
        if "arch" not in known and nevra.arch in ARCHES:
            known["arch"] = nevra.arch
        known.setdefault("variant", "")
        release = templates.render(profile.kernel, known)
        if "*" in release or _kernel_fields(profile, release) is None:
            return ""
    arch = release.partition("+")[0].rpartition(".")[2]
    return "" if arch in ARCHES and nevra.arch not in ("noarch", arch) else release


def _from_provides(
    profile: Profile, nevra: Nevra, provides: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """(release, build id) of each capability that fits the first rule with any fitting capability.

    Later rules are vaguer: Red Hat's packages provide the release without architecture as well.
    """
    for rule in profile.provides:
        found: dict[tuple[str, str], None] = {}
        for name, version in provides:
            if name == nevra.name and version == f"{nevra.version}-{nevra.release}":
                continue  # every package provides its own name and version
            values = templates.parse(rule, f"{name} = {version}" if version else name)
            release = _release(profile, values, nevra) if values else ""
            if values and release:
                found[release, values.get("build_id", "")] = None
        if found:
            return tuple(found)
    return ()


def _from_name(profile: Profile, nevra: Nevra) -> str:
    """The kernel release that the package's name and EVR give by the profile's rules, "" for none."""
    for rule in profile.names:
        values = templates.parse(rule, nevra.name)
        if values and profile.evr:
            more = templates.parse(profile.evr, f"{nevra.version}-{nevra.release}")
            values = None if more is None else {**more, **values}
        release = _release(profile, values, nevra) if values else ""
        if release and _nameable(profile, templates.parse(profile.kernel, release) or {}):
            return release
    return ""


def _nameable(profile: Profile, values: dict[str, str]) -> bool:
    """Whether the vendor names packages for kernels such as ``values``, and a name holds all ``values``."""
    if not profile.names:
        return False
    told = templates.fields(profile.names[0]) | {"arch"}
    told |= templates.fields(profile.evr) if profile.evr else frozenset()
    dist = _dist(values)
    return all(not value or field in told for field, value in values.items()) and (
        not profile.name_dists or any(dist.startswith(prefix) for prefix in profile.name_dists)
    )


def _contradicts(profile: Profile, nevra: Nevra, release: str) -> bool:
    """Whether the package's name, read alone, is for another kernel than ``release``."""
    kernel = templates.parse(profile.kernel, release)
    for rule in profile.names:
        values = templates.parse(rule, nevra.name)
        # A release that the vendor's rule cannot read is none of those that the vendor's names tell.
        if values and (
            kernel is None or any(kernel.get(key, value) != value for key, value in values.items())
        ):
            return True
    return False


def _is_empty(profile: Profile, nevra: Nevra) -> bool:
    count = nevra.release.partition(".")[0]
    return any(rule in (f"{nevra.version}-{count}", f"{nevra.version}-*") for rule in profile.empty)


def _refuted(release: str, requires: Iterable[str]) -> str:
    """The first of the kernels ``requires`` that is another than ``release``, "" for none."""
    for version in requires:
        same = version in ("", release, capability_version(release)) or release.startswith(version + "-")
        if not same:
            return version
    return ""


def _judge(
    profile: Profile, nevra: Nevra, given: Sequence[tuple[str, str]], requires: Sequence[str]
) -> tuple[tuple[tuple[str, str], ...], str]:
    """The (release, build id) pairs of the package by one profile, and their source or why there is none."""
    told, how = _from_provides(profile, nevra, given), "its Provides"
    for release, _ in told:
        if _contradicts(profile, nevra, release):
            return (), f"it is for kernel {release} by its Provides, but for another by its name"
    if not told and profile.name != GENERIC:
        named, how = _from_name(profile, nevra), "its name"
        told = ((named, ""),) if named else ()
    elif profile.names and templates.parse(profile.names[0], nevra.name) is not None:
        how = "its name and Provides"
    fitting = tuple(pair for pair in told if pair[1] or not _refuted(pair[0], requires))
    if told and not fitting:
        other = _refuted(told[0][0], requires)
        return (), f"it is for kernel {told[0][0]} by {how}, but it requires kernel {other}"
    return fitting, how if told else ""


def match_all(
    nevra: Nevra, provides: Iterable[str], requires: Iterable[str], profiles: Iterable[Profile]
) -> tuple[Match, ...]:
    """One Match for each kernel that the package patches; a single Match of no live patch where none is."""
    if nevra.arch in ("src", "nosrc"):
        return (Match("", "", _NOT, "a source package"),)
    rules = tuple(profiles)
    listed = tuple(provides)[:MAX_CAPABILITIES]
    # Most capabilities name CVEs or symbols; those that no rule begins with need no closer look.
    heads = tuple({rule.partition("{")[0] for profile in rules for rule in profile.provides})
    given = [_split(capability) for capability in listed if capability.startswith(heads)][:MAX_KERNELS]
    needed = [
        version for name, version in map(_split, tuple(requires)[:MAX_CAPABILITIES]) if name == _KERNEL
    ]
    own = any(name.startswith(_OWN) for name, _ in given)
    why = ""
    for profile in rules:
        if own and profile.name != GENERIC:
            continue
        told, note = _judge(profile, nevra, given, needed)
        if not told and not listed and _by_build_id(profile) and nevra.name in profile.names:
            told, note = (("", ""),), "its name; only its Provides, which were not given, tell its kernels"
        if told:
            kind = "empty" if _is_empty(profile, nevra) else "patch"
            text = f"{profile.title}: by {note}"
            if kind == "empty":
                text += "; this version only subscribes the kernel to later patches"
            return tuple(Match(profile.name, release, kind, text, build) for release, build in told)
        why = why or note
    return (Match("", "", _NOT, why or "no profile knows this name or these capabilities"),)


def match(
    nevra: Nevra, provides: Iterable[str], requires: Iterable[str], profiles: Iterable[Profile]
) -> Match:
    """The first of ``match_all``: one verdict, also for a package that patches several kernels."""
    return match_all(nevra, provides, requires, profiles)[0]


def fits(found: Match, release: str, build_id: str = "") -> bool:
    """Whether ``found`` is for the kernel that reports ``release`` and ``build_id``."""
    if found.kind == _NOT or not found.kernel_release:
        return False
    return found.build_id == build_id.lower() if found.build_id else found.kernel_release == release


def _by_build_id(profile: Profile) -> bool:
    return any("build_id" in templates.fields(rule) for rule in profile.provides)


def package_name(release: str, profile: Profile) -> str:
    """The name that the profile's vendor gives the package for ``release``; "" for none.

    A release with a flavour that the vendor's names cannot carry (+rt, +64k, +debug) has none.
    """
    values = _kernel_fields(profile, release)
    if values is None or not (_nameable(profile, values) or profile.names and _by_build_id(profile)):
        return ""
    name = templates.render(profile.names[0], values)
    return "" if "*" in name else name


def lookup(release: str, profiles: Iterable[Profile], build_id: str = "") -> Lookup:
    """The queries that find every package that may patch the kernel ``release`` (or ``build_id``).

    ``provides`` are exact capabilities (``NAME = VERSION`` where they have one), ``names`` exact
    package names; the stars of the globs stand for parts that differ from package to package. The queries
    may find too much, such as another distribution's package of the same name; ``match`` judges each.
    """
    provides = [own_capability(release)]
    names: list[str] = []
    globs: list[str] = []
    name_globs: list[str] = []
    whole = {"release": capability_version(release)}
    for profile in profiles:
        values = _kernel_fields(profile, release)
        for rule in profile.provides:
            told = templates.fields(rule)
            known = values
            if "build_id" in told:
                known = {"build_id": build_id.lower()} if build_id else None
            elif "release" in told and profile.name != GENERIC:
                known = whole if whole["release"] else None
            if known is None or known.get("variant") and "variant" not in told:
                continue
            text = templates.render(rule, known, capability=True)
            (globs if "*" in text else provides).append(text)
        if values is not None and _nameable(profile, values):
            for rule in profile.names:
                text = templates.render(rule, values)
                (name_globs if "*" in text else names).append(text)
    if build_id:
        names += [profile.names[0] for profile in profiles if profile.names and _by_build_id(profile)]
    return Lookup(*(tuple(dict.fromkeys(items)) for items in (provides, names, name_globs, globs)))


def directories(profile: Profile, release: str, build_id: str = "") -> tuple[str, ...]:
    """The absolute paths where the profile's packages put modules for ``release``, best first."""
    found = []
    for rule in profile.module_dirs:
        if "{build_id}" not in rule or build_id:
            found.append(rule.replace("{release}", release).replace("{build_id}", build_id))
    return tuple(found)
