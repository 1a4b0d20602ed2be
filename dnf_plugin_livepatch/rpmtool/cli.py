# SPDX-License-Identifier: GPL-2.0-or-later
"""The `livepatch-rpm` command. Exit status: 0 done, 1 failed, 2 wrong usage, 3 lint errors."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..base.names import module_of
from ..toolkit import output
from ..toolkit.errors import Finding, ToolError, library_missing, refuse
from . import options
from .options import Verb, kernel_files, request

if TYPE_CHECKING:
    # A verb imports what it needs when it runs: librpm alone doubles the time of `livepatch-rpm --help`.
    from .kernel.target import KernelFiles, Target
    from .module.build import Order, Stage
    from .module.sign import Key
    from .package.collect import Plan
    from .readers.recipe import Recipe
    from .work import Work
from .readers.lint_catalogue import LINT, finding_facts

DONE, FAILED, USAGE, LINT_ERRORS = 0, 1, 2, 3
_USAGE_IDS = ("usage", "override-invalid", "cve-invalid", "metadata-invalid", "name-unfit", "key-secret")


def _emit(args: argparse.Namespace, data: dict[str, Any], lines: Sequence[str]) -> None:
    """Print ``data`` as JSON, or ``lines`` where JSON is not asked for."""
    if args.json:
        output.write(output.as_json({"schema": 1, **data}, sort=True))
    else:
        output.show(lines)


def _say(findings: Sequence[Finding]) -> None:
    for item in findings:
        reason = f" (overridden: {item.waived})" if item.waived else ""
        output.show([f"{item.severity}: {item.text} [{item.check}]{reason}"], errors=True)
        if item.severity == "error":
            output.show([f"  {item.remedy}"], errors=True)


def _work(args: argparse.Namespace) -> Work:
    """The Work of a verb; only the verbs that build have options for it."""
    from .work import Work

    return Work(
        getattr(args, "work", ""),
        getattr(args, "log", ""),
        getattr(args, "keep_work", False),
        args.json or getattr(args, "quiet", False),
    )


def _locate(files: KernelFiles, work: Work | None = None) -> Target:
    from .kernel import kernelsource, target

    if files.source_rpm and work is not None:
        return kernelsource.unpack(files, work.path, work.runner)
    return target.locate(files)


def _key(args: argparse.Namespace) -> Key | None:
    from .module.sign import Key, check_key

    if not args.module_key:
        return None
    key = Key(args.module_key, args.module_cert, args.module_hash, args.sign_file)
    check_key(key)
    return key


def _order(args: argparse.Namespace, taken: tuple[tuple[str, str], ...], base: Recipe | None) -> Order:
    from .module.build import Order

    options = tuple(args.engine_option)
    return Order(args.jobs, options, _key(args), taken, args.allow_data, args.allow_init, base)


def _build(args: argparse.Namespace) -> int:
    from .module import build, sign
    from .package import collect, previous

    _key(args)
    if args.stage and os.path.exists(args.stage):
        refuse("output-exists", path=args.stage)
    with _work(args) as work:
        if args.rpm_key:
            sign.check_rpm_key(args.rpm_key, work.runner)
        base = previous.read(args.base) if args.base else None
        target = _locate(kernel_files(args), work)
        plan = collect.plan(request(args), target, base, work.path)
        order = _order(args, plan.taken, base.recipe if base is not None else None)
        stage = build.make(plan.recipe, plan.paths, plan.target, order, work.path, work.runner)
        if args.stage:
            shutil.copytree(stage.folder, args.stage)
            work.steps.close()
            _say(stage.findings if not args.json else ())
            _emit(args, {"stage": args.stage, "modules": list(plan.recipe.modules)}, [args.stage])
        else:
            _package(args, plan, stage, work)
    return DONE


def _package(args: argparse.Namespace, plan: Plan, stage: Stage, work: Work) -> None:
    """Make, sign and publish the packages of ``plan`` from the modules in ``stage``."""
    from .module.lint import function_names
    from .package import make

    work.steps.step("Packaging")
    patched = {name for item in stage.manifests for name in function_names(item.functions)}
    recipe = plan.recipe._replace(functions=tuple(sorted(patched)))
    files = make.Files(plan.sources, stage.folder)
    made = make.build(recipe, stage.manifests, files, work.path, work.runner, args.vendor)
    rpm, srpm = _published(args, made, work)
    log = work.keep_log(rpm)
    work.steps.step(f"The full log is {log}")
    work.steps.close()
    _say(stage.findings if not args.json else ())
    facts = {
        "rpm": rpm,
        "srpm": srpm,
        "log": log,
        "modules": [item.module for item in stage.manifests],
        "cves": list(recipe.cves),
        "kernel_release": recipe.kernel_release,
        "findings": [finding_facts(item) for item in stage.findings],
    }
    _emit(args, facts, [rpm, srpm])


def _published(args: argparse.Namespace, made: Sequence[str], work: Work) -> list[str]:
    """The paths of the packages ``made``, signed where a key is given, in the output folder."""
    from .module import sign
    from .package import make

    for path in made if args.rpm_key else ():
        work.steps.step(f"Signing {os.path.basename(path)}")
        sign.sign_rpm(path, args.rpm_key, work.runner)
    return make.publish(made, args.output)


def _empty(args: argparse.Namespace) -> int:
    from .kernel.target import locate
    from .module import sign
    from .package import collect, make
    from .package.request import Request

    if not args.kernel and not args.kernel_devel:
        refuse("kernel-unknown")
    with _work(args) as work:
        if args.rpm_key:
            sign.check_rpm_key(args.rpm_key, work.runner)
        asked = Request(release=args.patch_release, dist=args.dist, profile=args.profile, issued=args.issued)
        recipe = collect.empty(asked, locate(kernel_files(args)).release, args.arch)
        made = make.build(recipe, (), make.Files((), ""), work.path, work.runner, args.vendor)
        rpm, srpm = _published(args, made, work)
        facts = {"rpm": rpm, "srpm": srpm, "kernel_release": recipe.kernel_release}
        _emit(args, facts, [rpm, srpm])
    return DONE


def _stage(args: argparse.Namespace) -> int:
    """Make a recipe's modules again: a source RPM's %build calls this, on the build farm's kernel files."""
    from .kernel.target import KernelFiles
    from .module import build
    from .package import previous

    recipe = previous.from_folder(args.recipe)
    folder = os.path.dirname(os.path.abspath(args.recipe))
    if os.path.exists(args.output):
        refuse("output-exists", path=args.output)
    with _work(args) as work:
        files, release = kernel_files(args), recipe.kernel_release
        if recipe.kind == "source":
            files = KernelFiles(release, files.devel or release, vmlinux=files.vmlinux)
        else:
            files = files._replace(release=files.release or release)
        target = _locate(files, work)
        paths = previous.paths_of(recipe, folder, work.path)
        stage = build.make(recipe, paths, target, _order(args, (), None), work.path, work.runner)
        shutil.copytree(stage.folder, args.output)
        _say(stage.findings)
    return DONE


def _lint(args: argparse.Namespace) -> int:
    if args.list:
        return _list(args)
    from . import show
    from .module import lint
    from .readers.elf import parse_module
    from .readers.recipe import override

    if not args.files:
        refuse("usage", what="lint: name the .ko or .rpm files to check.")
    target = _locate(kernel_files(args))
    wanted = lint.Wanted(args.replace, tuple(args.depends))
    overrides = [override(text) for text in args.override]
    found: list[Finding] = []
    for path in args.files:
        files, _manifests = show.modules_of(path)
        if not files:
            refuse("rpm-no-patch", path=path)
        patched = []
        for name, data in files:
            module = module_of(name)
            what, results = lint.lint(module, parse_module(name, data), target, wanted)
            patched.append((module, what))
            found += results
        found += lint.together(patched)
    judged = lint.apply(found, overrides)
    _emit(
        args,
        {"findings": [finding_facts(item) for item in judged]},
        [f"{item.severity}: {item.text} [{item.check}]" for item in judged] or ["no findings"],
    )
    return LINT_ERRORS if any(item.severity == "error" for item in judged) else DONE


def _list(args: argparse.Namespace) -> int:
    """Print every check of the lint."""
    rows = {key: check._asdict() for key, check in sorted(LINT.items())}
    lines = [f"{key:<24} {row['severity']:<8} {row['text']}" for key, row in rows.items()]
    _emit(args, {"checks": rows}, lines)
    return DONE


def _inspect(args: argparse.Namespace) -> int:
    from . import show

    found = show.facts(args.file, _locate(kernel_files(args)))
    _emit(args, found, show.text(found))
    return DONE


def _diff(args: argparse.Namespace) -> int:
    from . import show
    from .kernel.target import Target

    found = show.compare(show.facts(args.old, Target("")), show.facts(args.new, Target("")))
    _emit(args, found, show.compare_text(found))
    return DONE


def _sign(args: argparse.Namespace) -> int:
    from .kernel.target import Target
    from .module import sign
    from .readers.elf import read_module

    if not args.module_key and not args.rpm_key:
        refuse(
            "usage", what="sign: give --rpm-key for packages, or --module-key and --module-cert for modules."
        )
    key = _key(args)
    with _work(args) as work:
        for path in args.files:
            if not os.path.isfile(path):
                refuse("input-missing", path=path)
            if path.endswith(".rpm"):
                if not args.rpm_key:
                    refuse("usage", what=f"sign: {path} needs --rpm-key.")
                sign.sign_rpm(path, args.rpm_key, work.runner)
            else:
                if key is None:
                    refuse("usage", what=f"sign: {path} needs --module-key.")
                release = read_module(path).modinfo().get("vermagic", "").split(" ")[0]
                target = _locate(kernel_files(args)) if args.kernel_devel else Target(release)
                sign.sign_module(path, key, target, work.runner)
        _emit(
            args,
            {"signed": list(args.files)},
            [f"signed and verified: {path}" for path in args.files],
        )
    return DONE


VERBS = (
    Verb(
        "build",
        "make RPM and source RPM from diffs, klp C source or finished modules",
        options.build,
        _build,
    ),
    Verb(
        "empty", "make the 0-0 package that subscribes a kernel to its live patches", options.empty, _empty
    ),
    Verb(
        "stage", "build the modules of an unpacked source RPM (its %%build does this)", options.stage, _stage
    ),
    Verb("lint", "check modules, or the modules in packages", options.lint, _lint),
    Verb(
        "inspect",
        "tell what a package or module patches, for which kernel, signatures and lint",
        options.inspect,
        _inspect,
    ),
    Verb("diff", "tell what changed from one package or module to another", options.diff, _diff),
    Verb("sign", "sign packages or modules in place, and verify the signatures", options.sign, _sign),
)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    return options.parser(__version__, VERBS)


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run `livepatch-rpm` with ``argv``; returns the exit status."""
    args = parser().parse_args(argv)
    try:
        # A build farm ends a job by SIGTERM: engine and work folder are to end with it.
        signal.signal(signal.SIGTERM, _interrupted)
        return int(args.run(args))
    except ToolError as error:
        return _failed(args, error)
    except ModuleNotFoundError as error:
        return _failed(args, library_missing(error))
    except BrokenPipeError:
        output.reader_gone()
        return FAILED
    except OSError as error:
        path = str(error.filename or "a file")
        return _failed(args, ToolError("file-failed", path=path, why=error.strerror or str(error)))
    except KeyboardInterrupt:
        output.show(["livepatch-rpm: interrupted; nothing was published"], errors=True)
        return 130


def _failed(args: argparse.Namespace, error: ToolError) -> int:
    """Print ``error`` with its findings; returns the exit status for it."""
    if args.json:
        told = {
            "schema": 1,
            "error": {"id": error.id, "text": error.text, "remedy": error.remedy},
            "findings": [finding_facts(item) for item in error.findings],
        }
        output.write(output.as_json(told))
    else:
        _say(error.findings)
        output.show([f"livepatch-rpm: {error.text} [{error.id}]", f"  {error.remedy}"], errors=True)
    if error.id == "lint-errors":
        return LINT_ERRORS
    return USAGE if error.id in _USAGE_IDS else FAILED


if __name__ == "__main__":
    sys.exit(main())
