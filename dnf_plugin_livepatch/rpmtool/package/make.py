# SPDX-License-Identifier: GPL-2.0-or-later
"""Recipe, sources and staged modules -> RPM and source RPM, the same bytes for the same inputs."""

from __future__ import annotations

import glob
import os
import shutil
import time
from collections.abc import Sequence
from typing import NamedTuple

from ...base import texts
from ...base.model import Manifest
from ...base.names import capability_version, own_capability
from ...base.paths import Paths
from ...toolkit.errors import refuse
from ...toolkit.programs import Runner, need
from ...toolkit.scratch import folder
from ...vendors.profiles import GENERIC, load, match
from ..readers.recipe import Recipe, again, dump
from ..readers.rpm_file import read_header

_INSTALLED = "/usr/share/dnf-plugin-livepatch/livepatch-module.spec.in"
_HINT = "Install rpm-build (the package rpm on Debian)."


class Files(NamedTuple):
    """The contents of a package: source files beside the recipe, and the folder of staged modules."""

    sources: tuple[str, ...]
    stage: str


def template_path() -> str:
    """The spec template: beside the source tree when run from one, else as installed."""
    here = os.path.dirname(os.path.abspath(__file__))
    tree = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    path = os.path.join(tree, "spec", "livepatch-module.spec.in")
    return path if os.path.isfile(path) else _INSTALLED


def _plain(text: str) -> str:
    """``text`` as it may stand in a spec: one printable line, no macro."""
    return texts.printable(text).replace("%", "%%")


def describe(recipe: Recipe, manifests: Sequence[Manifest]) -> str:
    """The %description: CVEs that are fixed, those that cannot be, and the functions that are patched."""
    if recipe.kind == "empty":
        return (
            f"Subscribes the kernel {recipe.kernel_release} to its live patches.\n"
            "This package patches nothing; later versions of it do."
        )
    lines = [f"Live patch of the Linux kernel {recipe.kernel_release}, for systems that run it."]
    if recipe.cves:
        lines += ["", "Fixed:", *(f"* {cve}" for cve in recipe.cves)]
    if recipe.unfixable:
        lines += ["", "Not fixed, needs the kernel update and a reboot:"]
        lines += [_plain(f"! {item.cve}: {item.reason}") for item in recipe.unfixable]
    for manifest in manifests:
        lines += ["", f"Functions replaced by {manifest.module}:"]
        lines += sorted(f"* {item.object}:{item.name}" for item in manifest.functions)
    return "\n".join(lines)


def _changes(recipe: Recipe) -> list[str]:
    if recipe.kind == "empty":
        return ["Initial empty package"]
    fixed = " {" + ", ".join(recipe.cves) + "}" if recipe.cves else ""
    lines = [f"Live patch {recipe.version}-{recipe.release} of kernel {recipe.kernel_release}{fixed}"]
    lines += [_plain(f"No longer fixes {item.cve}: {item.reason}") for item in recipe.dropped]
    return lines


def spec(recipe: Recipe, manifests: Sequence[Manifest], sources: Sequence[str], vendor: str) -> str:
    """The text of the spec file, from the template."""
    from jinja2 import Environment, StrictUndefined

    with open(template_path(), encoding="utf-8") as file:
        template = Environment(
            undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=False, autoescape=False
        ).from_string(file.read())
    paths = Paths()
    what = "Subscription to live patches" if recipe.kind == "empty" else "Live patch"
    text = template.render(
        recipe._asdict(),
        summary=f"{what} of kernel {recipe.kernel_release}",
        vendor=_plain(vendor),
        sources=sources,
        staged=recipe.kind == "module",
        own_capability=own_capability(recipe.kernel_release),
        capability=capability_version(recipe.kernel_release),
        description=describe(recipe, manifests),
        module_dir=paths.module_dir(recipe.kernel_release),
        manifest_dir=paths.manifest_dir(recipe.kernel_release),
        changelog_date=time.strftime("%a %b %d %Y", time.gmtime(recipe.epoch)),
        changes=_changes(recipe),
    )
    return "\n".join(
        line for line, before in zip(text.split("\n"), ["x", *text.split("\n")]) if line or before
    )


def _place(source: str, folder: str, epoch: int) -> str:
    path = os.path.join(folder, os.path.basename(source))
    shutil.copyfile(source, path)
    os.chmod(path, 0o644)
    os.utime(path, (epoch, epoch))
    return os.path.basename(path)


def _rpmbuild(
    runner: Runner, top: str, recipe: Recipe, mode: str, path: str, more: Sequence[str] = ()
) -> str:
    argv = ["rpmbuild", mode, "--nodeps", "--target", recipe.arch, "--define", f"_topdir {top}"]
    argv += [item for define in more for item in ("--define", define)]
    outcome = runner.run([*argv, path])
    if outcome.status:
        refuse("rpmbuild-failed", status=outcome.status, last=outcome.last, log=runner.log)
    found = glob.glob(os.path.join(top, "SRPMS" if mode == "-bs" else "RPMS/*", "*.rpm"))
    if len(found) != 1:
        refuse("rpmbuild-failed", status=0, last=f"{len(found)} packages came out", log=runner.log)
    return found[0]


def build(
    recipe: Recipe, manifests: Sequence[Manifest], files: Files, work: str, runner: Runner, vendor: str = ""
) -> tuple[str, str]:
    """The paths of the RPM and the source RPM, made below ``work``. Raises ToolError."""
    need("rpmbuild", _HINT)
    top = os.path.join(work, "rpm")
    for name in ("SPECS", "SOURCES", "BUILD"):
        os.makedirs(os.path.join(top, name))
    sources = os.path.join(top, "SOURCES")
    text = dump(recipe)
    again(recipe, text)
    with open(os.path.join(work, "livepatch.json"), "w", encoding="utf-8") as file:
        file.write(text)
    given = [os.path.join(work, "livepatch.json"), *files.sources]
    if recipe.kind == "module":
        given += [os.path.join(files.stage, name) for name in sorted(os.listdir(files.stage))]
    names = [_place(path, sources, recipe.epoch) for path in given]
    path = os.path.join(top, "SPECS", recipe.name + ".spec")
    with open(path, "w", encoding="utf-8") as file:
        file.write(spec(recipe, manifests, names, vendor))
    os.chmod(path, 0o644)
    os.utime(path, (recipe.epoch, recipe.epoch))
    staged: dict[str, str] = {} if recipe.kind in ("module", "empty") else {"livepatch_stage": files.stage}
    source = _rpmbuild(runner, top, recipe, "-bs", path)
    # From the source RPM, not from the spec: rpm marks such a package, and a later rebuild must equal it.
    define = [f"{key} {value}" for key, value in staged.items()]
    binary = _rpmbuild(runner, os.path.join(work, "rebuild"), recipe, "--rebuild", source, define)
    check(binary, recipe)
    return binary, source


def check(path: str, recipe: Recipe) -> None:
    """Raise ToolError unless hosts will take the RPM at ``path`` for the live patch of ``recipe``."""
    header = read_header(path)
    profiles, _faults = load(Paths().profile_dirs)
    found = match(header.nevra, header.provides, header.requires, profiles)
    kind = "empty" if recipe.kind == "empty" else "patch"
    if (found.profile, found.kernel_release, found.kind) != (GENERIC, recipe.kernel_release, kind):
        seen = f"{found.kind} of {found.kernel_release or 'no kernel'}: {found.why}"
        refuse("package-unfit", name=os.path.basename(path), seen=seen)


def publish(paths: Sequence[str], output: str) -> list[str]:
    """Put files into ``output``, each by rename; an existing one must be equal. Raises ToolError."""
    os.makedirs(output, exist_ok=True)
    published = [os.path.join(output, os.path.basename(path)) for path in paths]
    for path, place in zip(paths, published):
        if os.path.exists(place) and _bytes(place) != _bytes(path):
            refuse("output-exists", path=place)
    with folder(".livepatch-rpm-", output) as parts:
        for path, place in zip(paths, published):
            part = os.path.join(parts, os.path.basename(path))
            shutil.copyfile(path, part)
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            os.replace(part, place)
    return published


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
