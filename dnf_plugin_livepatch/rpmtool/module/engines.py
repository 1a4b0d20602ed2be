# SPDX-License-Identifier: GPL-2.0-or-later
"""The three programs that make a live-patch module, behind one call each.

``kbuild`` compiles klp C source against a kernel's development files; ``kpatch-build`` (kernels up to
6.18) and the kernel's own ``klp-build`` (6.19 and later) make a module from a source diff.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from ...base.names import module_of
from ...toolkit.errors import refuse
from ...toolkit.programs import Outcome, Runner, first_error, need
from ..kernel.target import Target
from ..readers.diffs import read_diff

PROGRAMS = {
    "kbuild": ("make", "gcc"),
    "kpatch-build": ("kpatch-build",),
    "klp-build": ("make", "gcc", "gawk", "recountdiff"),
}
HINTS = {
    "kbuild": "Install make and gcc.",
    "kpatch-build": "Install kpatch-build (Debian 13, EPEL and Fedora package it).",
    "klp-build": "It is scripts/livepatch/klp-build of kernel 6.19 and later: give that source with"
    " --source-tree, and install gawk and patchutils, which it calls.",
}
_OBJECT = re.compile(r"^[ \t]*obj-m[ \t]*[:+]?=[ \t]*(.+)$", re.MULTILINE)


class Job(NamedTuple):
    """One module to build in the empty folder ``work``: from ``diffs``, or from ``source``.

    ``epoch`` is SOURCE_DATE_EPOCH, the time that stands for the present.
    """

    module: str
    target: Target
    work: str
    jobs: int
    epoch: int
    replace: bool = True
    diffs: tuple[str, ...] = ()
    source: str = ""
    options: tuple[str, ...] = ()


def choose(kind: str, release: str, wanted: str) -> str:
    """The engine for inputs of ``kind`` and kernel ``release``; ``wanted`` overrides. Raises ToolError."""
    if kind == "source":
        if wanted not in ("", "kbuild"):
            refuse(
                "engine-unfit",
                engine=wanted,
                why="live-patch sources are compiled, not compared",
                hint="Leave --engine away, or give a diff of the kernel's source.",
            )
        return "kbuild"
    if wanted == "kbuild":
        refuse(
            "engine-unfit",
            engine=wanted,
            why="it needs live-patch C source, not a diff",
            hint="Use kpatch-build or klp-build.",
        )
    version = re.match(r"([0-9]+)\.([0-9]+)", release)
    new = bool(version and (int(version.group(1)), int(version.group(2))) >= (6, 19))
    return wanted or ("klp-build" if new else "kpatch-build")


def present(engine: str, target: Target) -> None:
    """Raise ToolError ``engine-missing``, with the install hint, when ``engine`` cannot run here."""
    missing = ""
    if engine == "klp-build":
        script = os.path.join(target.tree or ".", "scripts/livepatch/klp-build")
        missing = "" if target.tree and os.access(script, os.X_OK) else script
    for program in PROGRAMS[engine]:
        missing = missing or ("" if shutil.which(program) else program)
    if missing:
        refuse("engine-missing", engine=engine, what=missing, hint=HINTS[engine])


def run(engine: str, job: Job, runner: Runner) -> str:
    """Build and return the path of the .ko. Raises ToolError; the log has the details."""
    return {"kbuild": kbuild, "kpatch-build": kpatch_build, "klp-build": klp_build}[engine](job, runner)


def applies(diffs: Sequence[str], tree: str, work: str, runner: Runner) -> None:
    """Raise ToolError ``diff-no-apply`` unless ``diffs`` apply to ``tree``, one after the other."""
    if not os.path.isdir(tree):
        refuse(
            "engine-unfit",
            engine="from a diff",
            why="there is no kernel source",
            hint="Give --source-tree, or --kernel-srpm and --debuginfo.",
        )
    patch = need("patch", "Install patch.")
    # The diffs are applied to copies of the files, because the tree belongs to the builder.
    for diff in diffs:
        for file in read_diff(diff).files:
            copy, origin = os.path.join(work, file.name), os.path.join(tree, file.name)
            if os.path.isfile(origin) and not os.path.exists(copy):
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                shutil.copyfile(origin, copy)
    os.makedirs(work, exist_ok=True)
    for diff in diffs:
        outcome = runner.run([patch, "-p1", "-N", "--batch", "-F0", "-i", diff], cwd=work)
        if outcome.status:
            refuse("diff-no-apply", path=diff, why=outcome.last)


def _environment(tree: str, work: str, epoch: int) -> dict[str, str]:
    """The variables that keep time, user, host and folders of the build out of the module's bytes."""
    # kpatch-build looks for ccache; klp-build's make finds these wrappers of gcc.
    wrappers = [path for path in ("/usr/lib64/ccache", "/usr/lib/ccache") if os.path.isdir(path)]
    tree = os.path.realpath(tree)
    return {
        "PATH": os.pathsep.join([*wrappers, os.environ.get("PATH", "/usr/bin:/bin")]),
        # An unpacked source RPM and kpatch-build's own C source lie in another folder each time, and debug
        # information names it; the build id covers that. ccache knows the option and looks past the folder.
        "KCPPFLAGS": f"-ffile-prefix-map={tree}=/usr/src/linux -ffile-prefix-map={work}=/usr/src/livepatch",
        "SOURCE_DATE_EPOCH": str(epoch),
        "KBUILD_BUILD_TIMESTAMP": f"@{epoch}",
        "KBUILD_BUILD_USER": "livepatch",
        "KBUILD_BUILD_HOST": "livepatch",
    }


def _failed(engine: str, outcome: Outcome, runner: Runner) -> None:
    if outcome.status:
        said = " ".join(outcome.tail).lower()
        if "no changed objects found" in said or "no functional changes" in said or "no changes" in said:
            refuse("engine-nothing", engine=engine, log=runner.log)
        refuse("engine-failed", engine=engine, status=outcome.status, last=outcome.last, log=runner.log)


def object_names(source: str) -> list[str]:
    """The module names that the Kbuild file or Makefile of ``source`` makes."""
    for name in ("Kbuild", "Makefile"):
        path = os.path.join(source, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                found = _OBJECT.findall(file.read(1 << 20))
            return [word[:-2] for line in found for word in line.split() if word.endswith(".o")]
    return []


def kbuild(job: Job, runner: Runner) -> str:
    """Compile the klp source of ``job`` against ``target.devel``."""
    folder = os.path.join(job.work, "module")
    shutil.copytree(job.source, folder, symlinks=True)
    if not object_names(folder):
        sources = sorted(os.path.basename(path)[:-2] for path in glob.glob(os.path.join(folder, "*.c")))
        inner = sources[0] if len(sources) == 1 else ""
        with open(os.path.join(folder, "Kbuild"), "w", encoding="ascii") as file:
            file.write(f"obj-m := {job.module}.o\n")
            if inner != job.module:
                # kbuild makes NAME.o from NAME.c unless NAME-y names the parts.
                file.write(f"{job.module}-y := " + " ".join(f"{name}.o" for name in sources) + "\n")
    argv = ["make", "-C", job.target.devel, f"M={folder}", f"-j{job.jobs}", "modules"]
    env = _environment(job.target.devel, folder, job.epoch)
    del env["PATH"]
    _failed("kbuild", runner.run(argv, env=env), runner)
    return _result(glob.glob(os.path.join(folder, "*.ko")), job.module, "kbuild", runner)


def kpatch_build(job: Job, runner: Runner) -> str:
    """Make the module with kpatch-build from source tree, configuration and vmlinux."""
    target, out = job.target, os.path.join(job.work, "out")
    if not target.vmlinux:
        refuse(
            "engine-unfit",
            engine="kpatch-build",
            why="--vmlinux is missing",
            hint="Give --source-tree, --vmlinux and --config, or --kernel-srpm and --debuginfo.",
        )
    os.makedirs(out)
    config = target.config or os.path.join(target.tree, ".config")
    argv = ["kpatch-build", "-s", target.tree, "-c", config, "-v", target.vmlinux]
    argv += ["-t", "vmlinux", "-t", "modules", "-j", str(job.jobs), "-n", job.module, "-o", out]
    argv += [] if job.replace else ["-R"]
    argv += [*job.options, *job.diffs]
    cache = os.path.join(job.work, "cache")
    os.makedirs(cache)
    outcome = runner.run(argv, env={**_environment(target.tree, job.work, job.epoch), "CACHEDIR": cache})
    if outcome.status and os.path.isfile(os.path.join(cache, "build.log")):
        with open(os.path.join(cache, "build.log"), encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        with open(runner.log, "a", encoding="utf-8") as log:
            log.write("\n".join(lines) + "\n")
        tail = [line for line in lines if line.strip()][-40:] + outcome.tail
        outcome = Outcome(outcome.status, tail, first_error(lines) or outcome.first)
    _failed("kpatch-build", outcome, runner)
    return _result(glob.glob(os.path.join(out, "*.ko")), job.module, "kpatch-build", runner)


def klp_build(job: Job, runner: Runner) -> str:
    """Make the module with the klp-build of the kernel's own source tree, which must be configured."""
    out = os.path.join(job.work, job.module + ".ko")
    argv = [os.path.join(job.target.tree, "scripts/livepatch/klp-build"), "-j", str(job.jobs), "-o", out]
    argv += [] if job.replace else ["--no-replace"]
    argv += [*job.options, *job.diffs]
    env = _environment(job.target.tree, job.work, job.epoch)
    _failed("klp-build", runner.run(argv, cwd=job.target.tree, env=env), runner)
    return _result([out] if os.path.isfile(out) else [], job.module, "klp-build", runner)


def _result(found: Sequence[str], module: str, engine: str, runner: Runner) -> str:
    named: str | None = next((path for path in found if module_of(path) == module), None)
    if named is None:
        made = ", ".join(os.path.basename(path) for path in found) or "nothing"
        refuse(
            "engine-failed", engine=engine, status=0, last=f"it made {made}, not {module}.ko", log=runner.log
        )
    return named
