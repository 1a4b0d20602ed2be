# SPDX-License-Identifier: GPL-2.0-or-later
"""The `livepatch-rpm` command. Exit status: 0 done, 1 failed, 2 wrong usage, 3 lint errors."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..toolkit.errors import Finding, ToolError, refuse
from .options import parser
from .readers.lint_checks import LINT, finding_facts

DONE, FAILED, USAGE, LINT_ERRORS = 0, 1, 2, 3
_USAGE_IDS = ("usage", "override-invalid", "cve-invalid", "metadata-invalid", "name-unfit")


def _emit(args: argparse.Namespace, data: dict[str, Any], text: str) -> None:
    print(json.dumps({"schema": 1, **data}, indent=1, sort_keys=True) if args.json else text)


def _say(findings: Sequence[Finding]) -> None:
    for item in findings:
        reason = f" (overridden: {item.waived})" if item.waived else ""
        print(f"{item.severity}: {item.text} [{item.check}]{reason}", file=sys.stderr)
        if item.severity == "error":
            print(f"  {item.remedy}", file=sys.stderr)


class Work:
    """A private folder that is gone afterwards, whatever happens; a log that somebody needs outlives it."""

    def __init__(self, args: argparse.Namespace) -> None:
        from ..toolkit.programs import Runner
        from ..toolkit.progress import Steps

        self.keep = getattr(args, "keep_work", False)
        folder = os.path.realpath(getattr(args, "work", "") or tempfile.gettempdir())
        if not os.path.isdir(folder):
            refuse("input-missing", path=folder)
        self.path = tempfile.mkdtemp(prefix="livepatch-rpm-", dir=folder)
        os.chmod(self.path, 0o755)
        log = getattr(args, "log", "") or os.path.join(self.path, "build.log")
        self.steps = Steps(quiet=args.json or getattr(args, "quiet", False))
        self.runner = Runner(os.path.abspath(log), self.steps)
        self.log_kept = bool(getattr(args, "log", ""))

    def __enter__(self) -> Work:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.steps.close()
        log = self.runner.log
        if (
            isinstance(error, ToolError)
            and not self.log_kept
            and log in error.remedy
            and os.path.isfile(log)
        ):
            # The refusal names the log, so it has to stay where it is said to be.
            handle, kept = tempfile.mkstemp(prefix="livepatch-rpm-", suffix=".log")
            os.close(handle)
            shutil.copyfile(log, kept)
            error.remedy = error.remedy.replace(log, kept)
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)

    def keep_log(self, rpm: str) -> str:
        """Where the full log is from now on: where --log says, or beside the published ``rpm``."""
        if self.log_kept:
            return self.runner.log
        kept = rpm[: -len(".rpm")] + ".log"
        part = f"{kept}.{os.getpid()}.part"
        shutil.copyfile(self.runner.log, part)
        os.replace(part, kept)
        return kept


def _locate(args: argparse.Namespace, work: Work | None) -> Any:
    from .kernel import target

    if getattr(args, "kernel_srpm", ""):
        from .kernel import kernelsource

        assert work is not None
        return kernelsource.unpack(args, work.path, work.runner)
    return target.locate(
        args.kernel,
        args.kernel_devel,
        getattr(args, "source_tree", ""),
        args.vmlinux,
        getattr(args, "config", ""),
        getattr(args, "kernel_build_id", ""),
    )


def _key(args: argparse.Namespace) -> Any:
    from .module.sign import Key, check_key

    if not args.module_key:
        return None
    key = Key(args.module_key, args.module_cert, args.module_hash, args.sign_file)
    check_key(key)
    return key


def _order(args: argparse.Namespace, taken: Any, base: Any = None) -> Any:
    from .module.build import Order

    return Order(args.jobs, tuple(args.engine_option), _key(args), tuple(taken), args.allow_data, base)


def _build(args: argparse.Namespace) -> int:
    from .module import build, sign
    from .module.lint import function_names
    from .package import collect, make, previous

    _key(args)
    if args.stage and os.path.exists(args.stage):
        refuse("output-exists", path=args.stage)
    with Work(args) as work:
        if args.rpm_key:
            sign.check_rpm_key(args.rpm_key, work.runner)
        base = previous.read(args.base) if args.base else None
        goal = _locate(args, work)
        plan = collect.plan(args, goal, base, work.path)
        order = _order(args, plan.taken, base.recipe if base is not None else None)
        stage = build.make(plan.recipe, plan.paths, plan.target, order, work.path, work.runner)
        if args.stage:
            shutil.copytree(stage.folder, args.stage)
            work.steps.close()
            _say(stage.findings if not args.json else ())
            _emit(args, {"stage": args.stage, "modules": list(plan.recipe.modules)}, args.stage)
            return DONE
        work.steps.step("Packaging")
        files = make.Files(plan.sources, stage.folder)
        patched = {name for item in stage.manifests for name in function_names(item.functions)}
        recipe = plan.recipe._replace(functions=tuple(sorted(patched)))
        made = make.build(recipe, stage.manifests, files, work.path, work.runner, args.vendor)
        if args.rpm_key:
            for path in made:
                work.steps.step(f"Signing {os.path.basename(path)}")
                sign.sign_rpm(path, args.rpm_key, work.runner)
        rpm, srpm = make.publish(made, args.output)
        log = work.keep_log(rpm)
        work.steps.step(f"The full log is {log}")
        work.steps.close()
        _say(stage.findings if not args.json else ())
        facts = {
            "rpm": rpm,
            "srpm": srpm,
            "log": log,
            "modules": [item.module for item in stage.manifests],
            "cves": list(plan.recipe.cves),
            "kernel_release": plan.recipe.kernel_release,
            "findings": [finding_facts(item) for item in stage.findings],
        }
        _emit(args, facts, f"{rpm}\n{srpm}")
    return DONE


def _empty(args: argparse.Namespace) -> int:
    from .kernel.target import locate
    from .module import sign
    from .package import collect, make

    if not args.kernel and not args.kernel_devel:
        refuse("kernel-unknown")
    with Work(args) as work:
        if args.rpm_key:
            sign.check_rpm_key(args.rpm_key, work.runner)
        recipe = collect.empty(args, locate(args.kernel, args.kernel_devel, "", "", "", "").release)
        made = make.build(recipe, (), make.Files((), ""), work.path, work.runner, args.vendor)
        if args.rpm_key:
            for path in made:
                sign.sign_rpm(path, args.rpm_key, work.runner)
        rpm, srpm = make.publish(made, args.output)
        facts = {"rpm": rpm, "srpm": srpm, "kernel_release": recipe.kernel_release}
        _emit(args, facts, f"{rpm}\n{srpm}")
    return DONE


def _stage(args: argparse.Namespace) -> int:
    """What a source RPM's %build calls: its recipe again, on the build farm's own kernel files."""
    from .kernel.target import locate
    from .module import build
    from .package import previous as base

    recipe = base.from_folder(args.recipe)
    folder = os.path.dirname(os.path.abspath(args.recipe))
    if os.path.exists(args.output):
        refuse("output-exists", path=args.output)
    with Work(args) as work:
        release = recipe.kernel_release
        if recipe.kind == "source":
            goal = locate(release, args.kernel_devel or release, "", args.vmlinux, "", "")
        else:
            args.kernel = args.kernel or release
            goal = _locate(args, work)
        paths = base.paths_of(recipe, folder, work.path)
        stage = build.make(recipe, paths, goal, _order(args, ()), work.path, work.runner)
        shutil.copytree(stage.folder, args.output)
        _say(stage.findings)
    return DONE


def _lint(args: argparse.Namespace) -> int:
    from . import show
    from .module import lint
    from .readers.elf import parse_module
    from .readers.recipe import override

    if args.list:
        rows = {
            key: {"severity": check.severity, "text": check.text, "remedy": check.remedy}
            for key, check in sorted(LINT.items())
        }
        _emit(
            args,
            {"checks": rows},
            "\n".join(f"{key:<24} {row['severity']:<8} {row['text']}" for key, row in rows.items()),
        )
        return DONE
    if not args.files:
        refuse("usage", what="lint: name the .ko or .rpm files to check.")
    goal = _locate(args, None)
    wanted = lint.Wanted(args.replace, tuple(args.depends))
    overrides = [override(text) for text in args.override]
    found: list[Finding] = []
    for path in args.files:
        files, _told = show.modules_of(path)
        if not files:
            refuse("rpm-no-patch", path=path)
        patched = []
        for name, data in files:
            module = lint.module_name_of(name)
            what, results = lint.lint(module, parse_module(name, data), goal, wanted)
            patched.append((module, what))
            found += results
        found += lint.together(patched)
    judged = lint.apply(found, overrides)
    _emit(
        args,
        {"findings": [finding_facts(item) for item in judged]},
        "\n".join(f"{item.severity}: {item.text} [{item.check}]" for item in judged) or "no findings",
    )
    return LINT_ERRORS if any(item.severity == "error" for item in judged) else DONE


def _inspect(args: argparse.Namespace) -> int:
    from . import show

    found = show.facts(args.file, _locate(args, None))
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
    with Work(args) as work:
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
                goal = _locate(args, work) if args.kernel_devel else Target(release)
                sign.sign_module(path, key, goal, work.runner)
        _emit(
            args,
            {"signed": list(args.files)},
            "\n".join(f"signed and verified: {path}" for path in args.files),
        )
    return DONE


_VERBS = {
    "build": _build,
    "empty": _empty,
    "stage": _stage,
    "lint": _lint,
    "inspect": _inspect,
    "diff": _diff,
    "sign": _sign,
}


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run `livepatch-rpm` with ``argv``; returns the exit status."""
    args = parser(__version__).parse_args(argv)
    findings: Sequence[Finding] = ()
    try:
        # A build farm ends a job by SIGTERM: engine and work folder are to end with it.
        signal.signal(signal.SIGTERM, _interrupted)
        status = _VERBS[args.verb](args)
        sys.stdout.flush()
        return status
    except ToolError as error:
        findings = error.findings
        _say(findings if not args.json else ())
        if args.json:
            print(
                json.dumps(
                    {
                        "schema": 1,
                        "error": {"id": error.id, "text": error.text, "remedy": error.remedy},
                        "findings": [finding_facts(item) for item in findings],
                    },
                    indent=1,
                )
            )
        else:
            print(f"livepatch-rpm: {error.text} [{error.id}]\n  {error.remedy}", file=sys.stderr)
        if error.id == "lint-errors":
            return LINT_ERRORS
        return USAGE if error.id in _USAGE_IDS else FAILED
    except BrokenPipeError:
        # The reader went away, as `livepatch-rpm lint --list | head` does; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        print("livepatch-rpm: interrupted; nothing was published", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
