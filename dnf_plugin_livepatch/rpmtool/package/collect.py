# SPDX-License-Identifier: GPL-2.0-or-later
"""From a request to a recipe: inputs, base package, kernel, names, CVE and advisory data."""

from __future__ import annotations

import datetime
import email.utils
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from ...base import fields, times
from ...base.model import Unfixable
from ...base.names import decimal, module_of
from ...toolkit.errors import refuse
from ..kernel.names import default_module, module_name, package_of
from ..kernel.target import KernelFiles, Target, locate
from ..module.engines import choose, object_names
from ..readers import source
from ..readers.diffs import read_diff
from ..readers.elf import read_module
from ..readers.recipe import Input, Recipe, cve, date, merge, override, reasoned, version, word
from ..readers.updateinfo import advisory_facts
from .previous import Base
from .request import Request

MAX_MODULES = 64  # livepatch-repo publishes no package with more manifests
DEFAULT_EPOCH = 315532800  # 1980-01-01: zip, cpio and tar all can hold it


class Facts(NamedTuple):
    """CVEs and advisory of a package, from the request, its diffs, the vendor's feed and the base."""

    cves: tuple[str, ...]
    unfixable: tuple[Unfixable, ...]
    dropped: tuple[Unfixable, ...]
    advisory: str
    severity: str
    issued: str


class Plan(NamedTuple):
    """All that a build needs. ``paths`` are for the engine, ``sources`` go into the source RPM."""

    recipe: Recipe
    target: Target
    paths: tuple[str, ...]
    sources: tuple[str, ...]
    taken: tuple[tuple[str, str], ...]


def plan(request: Request, target: Target, base: Base | None, work: str) -> Plan:
    """The Plan of what is requested; files that it makes lie below ``work``. Raises ToolError."""
    given = source.classify(request.inputs)
    _check_kind(request, given.kind, base)
    paths, inputs = given.paths, source.describe(given)
    if given.kind == "diff" and base is not None:
        carried, inputs = _carry(base, inputs, work)
        paths = (*carried, *paths)
    modules: tuple[str, ...] = ()
    if len(given.paths) > MAX_MODULES and given.kind == "module":
        why = f"{len(given.paths)} modules are given, and one package holds at most {MAX_MODULES}"
        refuse("not-readable-again", what="The package", why=why)
    if given.kind == "module":
        target, arch, modules = _finished(target, paths)
    else:
        target, arch = _with_release(target, given.kind), os.uname().machine
    if base is not None and base.recipe.kernel_release != target.release:
        refuse("base-unfit", path=base.path, why=f"it is for kernel {base.recipe.kernel_release}")
    number = _number(request, base)
    engine = "" if given.kind == "module" else choose(given.kind, target.release, request.engine)
    facts = _facts(request, given.paths if given.kind == "diff" else (), inputs, base)
    recipe = Recipe(
        kind=given.kind,
        kernel_release=target.release,
        arch=arch,
        name=package_of(target.release, request.profile),
        version=number[0],
        release=number[1] + request.dist,
        # No package is older than one that it follows: livepatch-repo and hosts go by the build date too.
        epoch=max(_epoch(facts.issued, target), base.recipe.epoch if base is not None else 0),
        engine=engine,
        modules=modules or (_module(request.module, given, target.release, number),),
        replace=request.replace,
        inputs=inputs,
        cves=facts.cves,
        unfixable=facts.unfixable,
        dropped=facts.dropped,
        overrides=tuple(override(text) for text in request.overrides),
        depends=request.depends,
        advisory=facts.advisory,
        severity=facts.severity,
        issued=facts.issued,
        support_end=date(request.support_end, "--support-end"),
        kernel_build_id=target.build_id,
    )
    if given.kind == "source":
        paths, sources = _tree(paths, work)
    else:
        sources = paths if given.kind == "diff" else ()
    return Plan(recipe, target, paths, sources, _taken(base))


def _check_kind(request: Request, kind: str, base: Base | None) -> None:
    """Refuse a name for finished modules, and a base that was made from another kind of input."""
    if kind == "module" and request.module:
        refuse("usage", what="--name: a finished module has its name already; rebuild it under another.")
    if base is not None and base.recipe.kind != kind:
        refuse("base-unfit", path=base.path, why=f"it was made from {base.recipe.kind}, this from {kind}")


def _taken(base: Base | None) -> tuple[tuple[str, str], ...]:
    """Module name -> owner for each module of the base: a loaded name cannot be loaded a second time."""
    if base is None:
        return ()
    owner = f"the package before it, {base.recipe.name}-{base.recipe.version},"
    return tuple((name, owner) for name in base.recipe.modules)


def _tree(paths: Sequence[str], work: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The source as a clean folder for the engine and as a tarball for the SRPM."""
    files = source.source_files(paths)
    folder, tarball = os.path.join(work, "source"), os.path.join(work, source.TARBALL)
    source.put(files, folder)
    with open(tarball, "wb") as file:
        file.write(source.pack(files))
    return (folder,), (tarball,)


def _carry(base: Base, new: Sequence[Input], work: str) -> tuple[tuple[str, ...], tuple[Input, ...]]:
    """The base's diffs as files, then all inputs in order. A diff given again must differ in name."""
    folder = os.path.join(work, "base")
    os.makedirs(folder)
    content = dict(base.sources)
    paths = []
    for item in base.recipe.inputs:
        if any(item.name == other.name for other in new):
            refuse("base-unfit", path=base.path, why=f"it holds {item.name} already")
        if item.name not in content or source.digest(content[item.name]) != item.sha256:
            refuse("base-unfit", path=base.path, why=f"{item.name} is missing or was changed")
        paths.append(os.path.join(folder, item.name))
        with open(paths[-1], "wb") as file:
            file.write(content[item.name])
    return tuple(paths), (*base.recipe.inputs, *new)


def _finished(target: Target, paths: Sequence[str]) -> tuple[Target, str, tuple[str, ...]]:
    """Target, architecture and names of the finished modules ``paths``, all for one kernel."""
    found: dict[str, tuple[str, str]] = {}
    for path in paths:
        elf = read_module(path)
        built_for = elf.modinfo().get("vermagic", "").split(" ")[0]
        found[module_name(module_of(path))] = (built_for, elf.machine)
    releases, arches = ({fact[i] for fact in found.values()} for i in (0, 1))
    if len(releases) != 1 or len(arches) != 1 or len(found) != len(paths):
        refuse("metadata-invalid", what="The modules are for different kernels, or have the same name.")
    release = releases.pop()
    if not target.release:
        if not release:
            refuse("kernel-unknown")
        located = locate(KernelFiles(release))
        target = located._replace(build_id=target.build_id, vmlinux=target.vmlinux)
    return target, arches.pop(), tuple(found)


def _with_release(target: Target, kind: str) -> Target:
    """``target`` with a release, by default the running kernel's, and what source of ``kind`` needs."""
    if kind == "source" and not target.devel:
        release = target.release or os.uname().release
        located = locate(KernelFiles(release, release, target.tree))
        return located._replace(vmlinux=target.vmlinux, build_id=target.build_id)
    if not target.release:
        refuse("kernel-unknown")
    return target


def _number(request: Request, base: Base | None) -> tuple[str, str]:
    """Version and release; the version is one above the base's unless given."""
    number = request.version
    if not number:
        old = base.recipe.version if base else "0"
        last = decimal(old, 19)
        if last is None:
            refuse(
                "base-unfit",
                path=base.path if base else "",
                why="its version is no number: give --patch-version",
            )
        number = str(last + 1)
    return version(number, "--patch-version"), version(request.release, "--patch-release")


def _module(name: str, given: source.Inputs, release: str, number: tuple[str, str]) -> str:
    if name:
        return module_name(name)
    if given.kind == "source":
        if len(given.paths) == 1 and os.path.isfile(given.paths[0]):
            return module_name(os.path.basename(given.paths[0])[:-2])
        names = object_names(given.paths[0]) if len(given.paths) == 1 else []
        if len(names) == 1:
            return module_name(names[0])
    return default_module(release, *number)


def _epoch(issued: str, target: Target) -> int:
    """SOURCE_DATE_EPOCH, else the issue date, else the age of the kernel's own files: never the present."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text:
        given = decimal(text, 11)
        if given is None:
            refuse("metadata-invalid", what="SOURCE_DATE_EPOCH is no number of seconds")
        return given
    if issued:
        seconds = times.parse(issued)
        if seconds is None:
            refuse("metadata-invalid", what=f"--issued {issued}: no such day")
        return max(DEFAULT_EPOCH, seconds)
    return int(os.path.getmtime(target.symvers)) if target.symvers else DEFAULT_EPOCH


def _facts(request: Request, diffs: Sequence[str], inputs: Sequence[Input], base: Base | None) -> Facts:
    """The Facts of the package, with those carried over from ``base``. Raises ToolError."""
    feed = advisory_facts(request.updateinfo, request.advisory) if request.updateinfo else None
    asked = [cve(text) for text in request.cves]
    found = merge([asked, *(item.cves for item in inputs), feed.cves if feed else ()])
    dropped = tuple(reasoned(text, "--allow-drop") for text in request.dropped)
    unfixable = tuple(reasoned(text, "--unfixable") for text in request.unfixable)
    found, unfixable = _carried(found, unfixable, dropped, base.recipe if base is not None else None)
    for what, number in (
        ("CVEs", len(found)),
        ("unfixable CVEs", len(unfixable)),
        ("dropped CVEs", len(dropped)),
    ):
        if number > fields.MAX_ITEMS:
            why = f"{number} {what} are named, and hosts read at most {fields.MAX_ITEMS}"
            refuse("not-readable-again", what="The manifest of this package", why=why)
    issued = date(request.issued, "--issued") or (feed.issued if feed else "")
    newest = max((_seconds(text) for text in _dates(diffs)), default=0.0)
    if not issued and newest:
        issued = times.moment(newest)
    return Facts(
        cves=found,
        unfixable=tuple(sorted(unfixable)),
        dropped=dropped,
        advisory=word(request.advisory, "--advisory", 200),
        severity=word(request.severity or (feed.severity if feed else ""), "--severity", 40),
        issued=issued,
    )


def _carried(
    found: tuple[str, ...],
    unfixable: tuple[Unfixable, ...],
    dropped: tuple[Unfixable, ...],
    base: Recipe | None,
) -> tuple[tuple[str, ...], tuple[Unfixable, ...]]:
    """The CVEs that are fixed and those that are unfixable, together with those of ``base``."""
    gone, refused = ({item.cve for item in items} for items in (dropped, unfixable))
    strange = sorted(gone - set(base.cves if base is not None else ()))
    if strange:
        refuse("metadata-invalid", what=f"--allow-drop {', '.join(strange)}: no base fixes it")
    if base is not None:
        lost = [item for item in base.cves if item in refused - gone]
        if lost:
            refuse("cve-dropped", cves=", ".join(lost))
        # A cumulative package fixes what the one before it fixed, unless its maker drops a fix.
        found = merge([found, base.cves])
        unfixable += tuple(item for item in base.unfixable if item.cve not in {*found, *refused})
    cves = tuple(item for item in found if item not in gone)
    wrong = sorted(refused & set(cves))
    if wrong:
        refuse("metadata-invalid", what=f"{', '.join(wrong)}: fixed and unfixable at once")
    return cves, unfixable


def _seconds(text: str) -> float:
    """The moment of a Date field; a field without a zone is in UTC, wherever it is read."""
    parsed = email.utils.parsedate_to_datetime(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.timezone.utc)).timestamp()


def _dates(diffs: Sequence[str]) -> list[str]:
    found = []
    for path in diffs:
        text = read_diff(path).fields.get("date", "")
        try:
            _seconds(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        found.append(text)
    return found


def empty(request: Request, release: str, arch: str) -> Recipe:
    """The recipe of the 0-0 package that subscribes the kernel ``release`` to its live patches.

    Hosts know a subscription by the first part of its release, 0. Further parts tell one build from another.
    """
    if not re.fullmatch(r"0(\.[0-9]{1,9})?", request.release):
        what = (
            f"--patch-release {request.release[:40]}: the release of a subscription is 0, or 0.1, 0.2, ..."
        )
        refuse("metadata-invalid", what=what)
    return Recipe(
        kind="empty",
        kernel_release=release,
        arch=arch or os.uname().machine,
        name=package_of(release, request.profile),
        version="0",
        release=request.release + request.dist,
        epoch=_epoch(date(request.issued, "--issued"), Target(release)),
    )
