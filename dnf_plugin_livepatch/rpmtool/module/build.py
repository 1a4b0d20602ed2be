# SPDX-License-Identifier: GPL-2.0-or-later
"""From a recipe and its sources to staged modules: engine, signature, lint, manifest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ...base.model import Manifest
from ...base.names import module_of
from ...formats.manifest import ManifestError, dump, parse
from ...toolkit.errors import Finding, ToolError, refuse
from ...toolkit.programs import Runner
from ..kernel.target import Target
from ..readers.diffs import read_diff
from ..readers.elf import parse_module, unpacked
from ..readers.judge import judge
from ..readers.klp_module import Patched
from ..readers.lint_catalogue import BESIDE, finding
from ..readers.recipe import Recipe
from ..readers.source import digest
from . import engines
from .lint import Wanted, apply, function_names, lint, together
from .sign import Key, sign_module


class Order(NamedTuple):
    """The circumstances of a build: jobs, engine options, signing key, names that are taken, the base."""

    jobs: int
    options: tuple[str, ...] = ()
    key: Key | None = None
    taken: tuple[tuple[str, str], ...] = ()
    allow_data: bool = False
    allow_init: bool = False
    base: Recipe | None = None


class Stage(NamedTuple):
    """Staged modules: the folder of M.ko and M.json, the manifests in load order, the findings."""

    folder: str
    manifests: tuple[Manifest, ...]
    findings: tuple[Finding, ...]


#: Checks of the whole package. A rebuild has no base and cannot raise them all: an override always counts.
_WHOLE = ("replace-several", "base-functions-lost", "base-cves-claimed", "no-cve")


def make(
    recipe: Recipe, paths: Sequence[str], target: Target, order: Order, work: str, runner: Runner
) -> Stage:
    """Build, sign, lint and describe the modules of ``recipe``. Raises ToolError."""
    folder = os.path.join(work, "stage")
    os.makedirs(folder)
    built = _built(recipe, paths, target, order, work, runner)
    found: list[Finding] = []
    manifests = []
    patched: list[tuple[str, Patched]] = []
    for number, path in enumerate(built):
        staged = os.path.join(folder, recipe.modules[number] + ".ko")
        with open(path, "rb") as source, open(staged, "wb") as file:
            file.write(unpacked(path, source.read()))
        if order.key is not None:
            runner.steps.step(f"Signing {os.path.basename(staged)}")
            sign_module(staged, order.key, target, runner)
        runner.steps.step(f"Checking {os.path.basename(staged)}")
        manifest, what, findings = inspect_module(staged, recipe, number, target, order)
        found += findings
        manifests.append(manifest)
        patched.append((recipe.modules[number], what))
    found = apply([*found, *apply(_whole(recipe, patched, order.base), recipe.overrides)], ())
    if any(item.severity == "error" for item in found):
        errors = [item for item in found if item.severity == "error"]
        raise ToolError("lint-errors", found, count=len(errors))
    for manifest in manifests:
        assert manifest is not None
        text = _manifest_text(manifest)
        with open(os.path.join(folder, manifest.module + ".json"), "w", encoding="ascii") as out:
            out.write(text)
    return Stage(folder, tuple(item for item in manifests if item is not None), tuple(found))


def _manifest_text(manifest: Manifest) -> str:
    """The text of ``manifest``. Raises ToolError ``not-readable-again`` where hosts would refuse it."""
    text, what = dump(manifest), f"The manifest of {manifest.module}"
    try:
        same = parse(text) == manifest
    except ManifestError as error:
        refuse("not-readable-again", what=what, why=error)
    if not same:
        refuse("not-readable-again", what=what, why="it comes back changed")
    return text


def _whole(recipe: Recipe, patched: Sequence[tuple[str, Patched]], base: Recipe | None) -> list[Finding]:
    """The findings about the package as a whole, and about what it loses against its base."""
    found = together(patched)
    if not recipe.cves:
        found.append(finding("no-cve"))
    if base is None or recipe.kind == "diff":
        return found
    # The base's diffs are built in again. Whether a module or source holds its fixes, only its maker knows.
    claimed = [item for item in base.cves if item in recipe.cves]
    if claimed:
        found.append(finding("base-cves-claimed", cves=", ".join(claimed)))
    ours = {name for _module, what in patched for name in function_names(what.functions)}
    lost = [name for name in base.functions if name not in ours]
    if lost:
        item = finding("base-functions-lost", count=len(lost), functions=", ".join(lost[:5]))
        if not recipe.replace:
            item = item._replace(remedy=BESIDE)
        # A build that drops a CVE with a reason is expected to drop its functions.
        found.append(item._replace(severity="note") if recipe.dropped else item)
    return found


def _built(
    recipe: Recipe, paths: Sequence[str], target: Target, order: Order, work: str, runner: Runner
) -> list[str]:
    if recipe.kind == "module":
        return list(paths)
    if recipe.kind == "diff":
        for path in paths:
            judge(read_diff(path), path, order.allow_data, order.allow_init)
        engines.applies(paths, target.tree, os.path.join(work, "apply"), runner)
    engines.present(recipe.engine, target)
    runner.steps.step(f"Building {recipe.modules[0]} with {recipe.engine}; the log is {runner.log}")
    job = engines.Job(
        recipe.modules[0],
        target,
        os.path.join(work, "engine"),
        order.jobs,
        recipe.epoch,
        recipe.replace,
        tuple(paths) if recipe.kind == "diff" else (),
        paths[0] if recipe.kind == "source" else "",
        order.options,
    )
    os.makedirs(job.work)
    return [engines.run(recipe.engine, job, runner)]


def inspect_module(
    path: str, recipe: Recipe, number: int, target: Target, order: Order
) -> tuple[Manifest | None, Patched, list[Finding]]:
    """The module at ``path``: its manifest (None with lint errors), what it patches, its findings."""
    with open(path, "rb") as file:
        data = file.read()
    elf = parse_module(path, data)
    name = module_of(path)
    wanted = Wanted(recipe.replace, recipe.depends, order.key is not None, order.taken)
    found, findings = lint(name, elf, target._replace(release=recipe.kernel_release), wanted)
    judged = apply(findings, recipe.overrides)
    if any(item.severity == "error" for item in judged):
        return None, found, judged
    used = {*_WHOLE, *(item.check for item in judged if item.waived)}
    # One package carries one set of fixes: each of its modules names them all.
    manifest = Manifest(
        module=name,
        kernel_release=recipe.kernel_release,
        build_id=elf.build_id(),
        sha256=digest(data),
        srcversion=elf.modinfo().get("srcversion", ""),
        kernel_build_id=recipe.kernel_build_id,
        replace=recipe.replace if found.replace is None else found.replace,
        order=number,
        functions=found.functions,
        patches=tuple((item.name, item.sha256) for item in recipe.inputs),
        cves=recipe.cves,
        unfixable=recipe.unfixable,
        advisory=recipe.advisory,
        severity=recipe.severity,
        issued=recipe.issued,
        support_end=recipe.support_end,
        overrides=tuple((o.check, f"{o.severity}: {o.reason}") for o in recipe.overrides if o.check in used),
    )
    return manifest, found, judged
