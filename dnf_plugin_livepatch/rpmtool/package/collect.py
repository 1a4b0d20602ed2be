# SPDX-License-Identifier: GPL-2.0-or-later
"""From the command line to a recipe: inputs, base package, kernel, names, CVE and advisory data."""

from __future__ import annotations

import argparse
import datetime
import email.utils
import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from ...toolkit.errors import refuse
from ..kernel import target
from ..module import build, engines
from ..readers import source
from ..readers.diffs import read_diff
from ..readers.recipe import Input, Recipe, cve, date, merge, override, reasoned, version, word
from ..readers.updateinfo import advisory_facts

DEFAULT_EPOCH = 315532800  # 1980-01-01: zip, cpio and tar all can hold it


class Base(NamedTuple):
    """The previous package: its recipe, and its sources as (name, content)."""

    path: str
    recipe: Recipe
    sources: tuple[tuple[str, bytes], ...]


class Plan(NamedTuple):
    """What a build needs. ``paths`` are what the engine gets, ``sources`` what the SRPM carries."""

    recipe: Recipe
    target: target.Target
    paths: tuple[str, ...]
    sources: tuple[str, ...]
    taken: tuple[tuple[str, str], ...]


def plan(args: argparse.Namespace, goal: target.Target, base: Base | None, work: str) -> Plan:
    """The Plan that the options ask for; files that it makes lie below ``work``. Raises ToolError."""
    given = source.classify(args.inputs)
    if given.kind == "module" and args.name:
        refuse("usage", what="--name: a finished module has its name already; rebuild it under another.")
    if base is not None and base.recipe.kind != given.kind:
        refuse(
            "base-unfit", path=base.path, why=f"it was made from {base.recipe.kind}, this from {given.kind}"
        )
    paths = given.paths
    inputs = source.describe(given)
    if given.kind == "diff" and base is not None:
        carried, inputs = _carry(base, inputs, work)
        paths = (*carried, *paths)
    if given.kind == "module":
        goal, arch, modules = _finished(goal, paths)
    else:
        goal = _with_release(goal, given.kind)
        arch, modules = os.uname().machine, ()
    if base is not None and base.recipe.kernel_release != goal.release:
        refuse("base-unfit", path=base.path, why=f"it is for kernel {base.recipe.kernel_release}")
    number = _number(args, base)
    engine = "" if given.kind == "module" else engines.choose(given.kind, goal.release, args.engine)
    if not modules:
        modules = (_module(args, given, goal.release, number),)
    facts = _facts(args, given.paths if given.kind == "diff" else (), inputs, base)
    recipe = Recipe(
        kind=given.kind,
        kernel_release=goal.release,
        arch=arch,
        name=target.package_of(goal.release, args.profile),
        version=number[0],
        release=number[1] + args.dist,
        # A package is older than none that it follows: livepatch-repo and hosts go by the build date too.
        epoch=max(_epoch(facts["issued"], goal), base.recipe.epoch if base is not None else 0),
        engine=engine,
        modules=modules,
        replace=args.replace,
        inputs=inputs,
        cves=facts["cves"],
        unfixable=facts["unfixable"],
        dropped=facts["dropped"],
        overrides=tuple(override(text) for text in args.override),
        depends=tuple(args.depends),
        advisory=facts["advisory"],
        severity=facts["severity"],
        issued=facts["issued"],
        support_end=date(args.support_end, "--support-end"),
        kernel_build_id=goal.build_id,
    )
    if given.kind == "source":
        paths, sources = _tree(paths, work)
    else:
        sources = paths if given.kind == "diff" else ()
    before = base.recipe if base is not None else None
    owner = f"the package before it, {before.name}-{before.version}," if before is not None else ""
    taken = tuple((name, owner) for name in (before.modules if before is not None else ()))
    return Plan(recipe, goal, paths, sources, taken)


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


def _finished(goal: target.Target, paths: Sequence[str]) -> tuple[target.Target, str, tuple[str, ...]]:
    found = build.facts(paths)
    releases, arches = ({fact[i] for fact in found.values()} for i in (0, 1))
    if len(releases) != 1 or len(arches) != 1 or len(found) != len(paths):
        refuse("metadata-invalid", what="The modules are for different kernels, or have the same name.")
    release = releases.pop()
    if not goal.release:
        if not release:
            refuse("kernel-unknown")
        goal = target.locate(release, "", "", "", "", "")._replace(
            build_id=goal.build_id, vmlinux=goal.vmlinux
        )
    return goal, arches.pop(), tuple(found)


def _with_release(goal: target.Target, kind: str) -> target.Target:
    """``goal`` with a release, by default the running kernel's, and what source of ``kind`` needs."""
    if kind == "source" and not goal.devel:
        release = goal.release or os.uname().release
        return target.locate(release, release, goal.tree, "", "", "")._replace(
            vmlinux=goal.vmlinux, build_id=goal.build_id
        )
    if not goal.release:
        refuse("kernel-unknown")
    return goal


def _number(args: argparse.Namespace, base: Base | None) -> tuple[str, str]:
    """Version and release; the version is one above the base's unless given."""
    number = args.patch_version
    if not number:
        old = base.recipe.version if base else "0"
        if not old.isdigit():
            refuse(
                "base-unfit",
                path=base.path if base else "",
                why="its version is no number: give --patch-version",
            )
        number = str(int(old) + 1)
    return version(number, "--patch-version"), version(args.patch_release, "--patch-release")


def _module(args: argparse.Namespace, given: source.Inputs, release: str, number: tuple[str, str]) -> str:
    if args.name:
        return target.module_name(args.name)
    if given.kind == "source":
        if len(given.paths) == 1 and os.path.isfile(given.paths[0]):
            return target.module_name(os.path.basename(given.paths[0])[:-2])
        names = engines.object_names(given.paths[0]) if len(given.paths) == 1 else []
        if len(names) == 1:
            return target.module_name(names[0])
    return target.default_module(release, *number)


def _epoch(issued: str, goal: target.Target) -> int:
    """SOURCE_DATE_EPOCH, else the issue date, else the age of the kernel's own files: never the present."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text:
        if not text.isdigit() or len(text) > 11:
            refuse("metadata-invalid", what="SOURCE_DATE_EPOCH is no number of seconds")
        return int(text)
    if issued:
        form = "%Y-%m-%dT%H:%M:%SZ" if "T" in issued else "%Y-%m-%d"
        try:
            parsed = time.strptime(issued + "UTC", form + "%Z")
        except ValueError:
            refuse("metadata-invalid", what=f"--issued {issued}: no such day")
        return max(DEFAULT_EPOCH, int(email.utils.mktime_tz((*parsed[:9], 0))))
    return int(os.path.getmtime(goal.symvers)) if goal.symvers else DEFAULT_EPOCH


def _facts(
    args: argparse.Namespace, diffs: Sequence[str], inputs: Sequence[Input], base: Base | None
) -> dict:  # type: ignore[type-arg]
    """CVEs, unfixable ones, drops, advisory, severity and date, from options, diffs, feed and base."""
    dropped = tuple(reasoned(text, "--allow-drop") for text in args.allow_drop)
    gone = {item.cve for item in dropped}
    unfixable = tuple(reasoned(text, "--unfixable") for text in args.unfixable)
    feed = advisory_facts(args.updateinfo, args.advisory) if args.updateinfo else None
    asked = [cve(text) for text in args.cve]
    found = merge([asked, *(item.cves for item in inputs), feed.cves if feed else ()])
    refused = {item.cve for item in unfixable}
    strange = sorted(gone - set(base.recipe.cves if base is not None else ()))
    if strange:
        refuse("metadata-invalid", what=f"--allow-drop {', '.join(strange)}: no base fixes it")
    if base is not None:
        lost = [item for item in base.recipe.cves if item in refused - gone]
        if lost:
            refuse("cve-dropped", cves=", ".join(lost))
        # A cumulative package fixes what the one before it fixed, unless its maker says otherwise.
        found = merge([found, base.recipe.cves])
        unfixable += tuple(item for item in base.recipe.unfixable if item.cve not in {*found, *refused})
    cves = tuple(item for item in found if item not in gone)
    wrong = sorted(refused & set(cves))
    if wrong:
        refuse("metadata-invalid", what=f"{', '.join(wrong)}: fixed and unfixable at once")
    newest = max((_seconds(text) for text in _dates(diffs)), default=0.0)
    issued = date(args.issued, "--issued") or (feed.issued if feed else "")
    if not issued and newest:
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest))
    return {
        "cves": cves,
        "unfixable": tuple(sorted(unfixable)),
        "dropped": dropped,
        "advisory": word(args.advisory, "--advisory", 200),
        "severity": word(args.severity or (feed.severity if feed else ""), "--severity", 40),
        "issued": issued,
    }


def _seconds(text: str) -> float:
    """The moment of a Date field; one that tells no zone is in UTC, wherever it is read."""
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


def empty(args: argparse.Namespace, release: str) -> Recipe:
    """The recipe of the 0-0 package that subscribes the kernel ``release``."""
    return Recipe(
        kind="empty",
        kernel_release=release,
        arch=args.arch or os.uname().machine,
        name=target.package_of(release, args.profile),
        version="0",
        release="0" + args.dist,
        epoch=_epoch(date(args.issued, "--issued"), target.Target(release)),
    )
