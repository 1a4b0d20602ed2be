# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``livepatch-repo`` command: arguments in, exit codes and text out."""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..base.names import CVE, RELEASE
from . import moving, plan, publish, settings
from .errors import ToolError
from .lint import run
from .lint.catalogue import SEVERITIES
from .repository import reading
from .repository.metadata import COMPRESSIONS
from .repository.view import View

OK, FAILED, USAGE, FOUND = 0, 1, 2, 3
_CONFIG = "livepatch-repo.yml"
_NAMES = "NAME, NAME-VERSION-RELEASE, NEVRA, or a glob over these"
_EACH = "a repository; with {arch} in it, that of each architecture"
_EPILOG = "Exit status: 0 done, 1 failed (nothing published), 2 wrong usage, 3 lint findings or gaps."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="livepatch-repo",
        description="Publish live patches that every host can trust.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", metavar="FILE", help=f"settings (default: ./{_CONFIG} where it exists)")
    common.add_argument(
        "--key", metavar="FILE", action="append", default=[], help="a public key of the clients"
    )
    common.add_argument("--json", action="store_true", help="print JSON only")
    changing = argparse.ArgumentParser(add_help=False, parents=[common])
    changing.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
    changing.add_argument(
        "--wait", metavar="SECONDS", type=float, default=60.0, help="for other publishers (60)"
    )
    changing.add_argument("--sign-with", metavar="KEY", help="gpg key that signs the metadata")
    changing.add_argument("--gpg-home", metavar="DIR", help="where gpg keeps that key")
    changing.add_argument("--compress", choices=COMPRESSIONS, help="how metadata is compressed (gz)")
    for name, text in _VERBS.items():
        verb = verbs.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_EPILOG,
            parents=[changing if name in ("publish", "promote", "withdraw", "prune") else common],
        )
        _ARGUMENTS[name](verb)
        verb.set_defaults(refuse=verb.error)
    return parser


_VERBS = {
    "publish": "publish signed RPMs with advisories, signed metadata and one atomic switch",
    "promote": "publish packages of one repository in another, byte for byte",
    "withdraw": "take live patches back: hosts stop adding them",
    "prune": "take live patches out that later ones replace",
    "lint": "check any repository, local or at an address",
    "verify": "lint a local repository with every package file's digest and signature",
    "plan": "say which kernels are covered, by what, and what is missing",
    "report": "write a static web site about the repository",
}


def _count(text: str) -> int:
    """``text`` as a number of at least 1. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def _publish_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--repo", required=True, metavar="DIR", help="the repository; {arch} is each RPM's architecture"
    )
    verb.add_argument("--advisory", metavar="FILE", help="advisory.yml: texts that win over the manifests")
    verb.add_argument("rpms", nargs="+", metavar="RPM")


def _promote_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--from", dest="source", required=True, metavar="DIR", help=_EACH)
    verb.add_argument("--to", dest="target", required=True, metavar="DIR", help="likewise, if --from does")
    verb.add_argument("patterns", nargs="*", default=["*"], metavar="PACKAGE", help=_NAMES + " (all)")


def _withdraw_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--repo", required=True, metavar="DIR", help=_EACH)
    verb.add_argument("--reason", required=True, help="one line that hosts show to their users")
    verb.add_argument("patterns", nargs="+", metavar="PATCH", help=_NAMES)


def _prune_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--repo", required=True, metavar="DIR", help=_EACH)
    verb.add_argument("--keep", type=_count, metavar="N", help="live patches to keep for each kernel (3)")


def _lint_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("repo", metavar="REPO", help="a folder or an address")
    verb.add_argument("--format", choices=("text", "json", "junit"), default="text")
    verb.add_argument(
        "--fail-on", choices=SEVERITIES, default="error", help="least severity for exit status 3"
    )
    verb.add_argument(
        "--kernels-from", action="append", default=[], metavar="REPO", help="repositories of kernels"
    )


def _verify_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--repo", required=True, metavar="DIR")


def _plan_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--repo", required=True, metavar="REPO", help="a folder or an address")
    verb.add_argument(
        "--kernel", action="append", default=[], metavar="RELEASE", help="default: stdin, one a line"
    )
    verb.add_argument("--cve", action="append", default=[], help="must be closed on each kernel")


def _report_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--repo", required=True, metavar="REPO", help="a folder or an address")
    verb.add_argument("--output", metavar="DIR", help="where the site is written; this or --json is needed")
    verb.add_argument(
        "--kernels-from", action="append", default=[], metavar="REPO", help="repositories of kernels"
    )


_ARGUMENTS = {
    "publish": _publish_arguments,
    "promote": _promote_arguments,
    "withdraw": _withdraw_arguments,
    "prune": _prune_arguments,
    "lint": _lint_arguments,
    "verify": _verify_arguments,
    "plan": _plan_arguments,
    "report": _report_arguments,
}


def now() -> str:
    """The time in UTC; SOURCE_DATE_EPOCH fixes it for reproducible metadata."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = (
        datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
        if epoch.isdigit()
        else datetime.datetime.now(datetime.timezone.utc)
    )
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _settings(options: argparse.Namespace) -> settings.Settings:
    path = options.config or (_CONFIG if os.path.exists(_CONFIG) else "")
    found = settings.read(path) if path else settings.Settings()
    changes: dict[str, object] = {}
    for key in ("sign_with", "gpg_home"):
        if getattr(options, key, None):
            changes[key] = getattr(options, key)
    if getattr(options, "compress", None):
        changes["compression"] = options.compress
    if options.key:
        changes["keys"] = tuple(options.key)
    if getattr(options, "kernels_from", None):
        changes["kernels_from"] = tuple(options.kernels_from)
    found = found._replace(**changes)  # type: ignore[arg-type]
    for key in found.keys:
        if not os.path.isfile(key):
            raise ToolError("settings-fault", file=path or "--key", fault=f"there is no key file {key}")
    return found


def _job(options: argparse.Namespace) -> publish.Job:
    return publish.Job(_settings(options), now(), options.wait, options.dry_run)


def _changed(options: argparse.Namespace, outcomes: Sequence[publish.Outcome]) -> int:
    if options.json:
        _print_json(
            {
                "schema": 1,
                "repositories": [
                    {**item._asdict(), "findings": [finding._asdict() for finding in item.findings]}
                    for item in outcomes
                ],
            }
        )
    for item in () if options.json else outcomes:
        print(
            f"{item.repository}: "
            + (
                "nothing to do"
                if item.nothing
                else "would change:"
                if item.dry_run
                else f"published as {item.generation}"
            )
        )
        for sign, values in (
            ("+", item.packages_added),
            ("-", item.packages_removed),
            ("+ advisory", item.advisories_added),
            ("~ advisory", item.advisories_changed),
            ("~ record", item.record_changed),
        ):
            for value in values:
                print(f"  {sign} {value}")
        for finding in item.findings:
            if finding.severity != "note":
                print(f"  {finding.severity}: {finding.subject}: {finding.text} [{finding.check}]")
    refused = any(run.errors(item.findings) for item in outcomes)
    return FOUND if refused else OK


def _do_publish(options: argparse.Namespace) -> int:
    file = settings.read_advisories(options.advisory) if options.advisory else settings.AdvisoryFile()
    return _changed(options, publish.publish(options.repo, options.rpms, _job(options), file))


def _do_promote(options: argparse.Namespace) -> int:
    if ("{arch}" in options.source) != ("{arch}" in options.target):
        options.refuse("{arch} is in one of --from and --to only: put it into both or none")
    return _changed(options, moving.promote(options.source, options.target, options.patterns, _job(options)))


def _do_withdraw(options: argparse.Namespace) -> int:
    if not options.reason.isprintable() or not 0 < len(options.reason) <= 1000:
        raise ToolError(
            "settings-fault", file="--reason", fault="not one printable line of 1 to 1000 characters"
        )
    return _changed(options, moving.withdraw(options.repo, options.patterns, options.reason, _job(options)))


def _do_prune(options: argparse.Namespace) -> int:
    job = _job(options)
    keep = options.keep if options.keep is not None else job.settings.keep
    return _changed(options, moving.prune(options.repo, keep, job))


def _kernels_from(found: settings.Settings) -> list[View]:
    """The repositories of kernels that the settings name. Raises ToolError."""
    try:
        return [reading.read(place, ()) for place in found.kernels_from]
    except ToolError as error:
        raise ToolError("kernels-unreadable", reason=error.text) from None


def _lint(options: argparse.Namespace, where: str, rpms: bool) -> tuple[View, list[run.Finding]]:
    found = _settings(options)
    view = reading.read(where, found.keys)
    others = _kernels_from(found)
    context = run.Context(
        now(),
        reading.kernels_offered([view, *others]),
        reading.rpm_states(view, found.keys) if rpms else {},
        {release: text.support_end for release, text in found.kernels.items() if text.support_end},
    )
    return view, run.run(view, context, found.waivers)


def _do_lint(options: argparse.Namespace) -> int:
    view, found = _lint(options, options.repo, not reading.is_remote(options.repo))
    form = "json" if options.json else options.format
    if form == "text":
        sys.stdout.write(run.as_text(found))
    else:
        sys.stdout.write(run.as_json(view, found) if form == "json" else run.as_junit(view, found))
    return run.exit_code(found, options.fail_on)


def _do_verify(options: argparse.Namespace) -> int:
    if not _settings(options).keys:
        raise ToolError("no-keys")
    view, found = _lint(options, options.repo, True)
    sys.stdout.write(run.as_json(view, found) if options.json else run.as_text(found))
    return run.exit_code(found, "error")


def _do_plan(options: argparse.Namespace) -> int:
    kernels = options.kernel or [line.strip() for line in sys.stdin if line.strip()]
    if not kernels:
        raise ToolError("settings-fault", file="plan", fault="no kernel release is given")
    for value, rule, what in [(k, RELEASE, "kernel release") for k in kernels] + [
        (c, CVE, "CVE identifier") for c in options.cve
    ]:
        if not rule.match(value):
            raise ToolError("settings-fault", file="plan", fault=f"{value[:60]!r} is no {what}")
    rows = plan.plan(reading.read(options.repo, ()), kernels, options.cve, now())
    if options.json:
        _print_json(plan.as_data(rows))
    else:
        sys.stdout.write(plan.as_text(rows))
    return FOUND if any(row.gap for row in rows) else OK


def _do_report(options: argparse.Namespace) -> int:
    from . import report

    if not options.output and not options.json:
        options.refuse("--output DIR or --json is needed")
    found = _settings(options)
    view = reading.read(options.repo, found.keys)
    others = _kernels_from(found)
    if view.root:
        found = found._replace(base_url=found.serving(view.root).address(view.root))
    model = report.build(view, others, found, now())
    if options.json:
        _print_json(report.as_data(model))
    if options.output:
        from . import site as website  # Jinja2 is needed for this only

        pages = website.write(model, options.output)
        if not options.json:
            print(f"{options.output}: {pages} pages")
    return OK


_DO = {
    "publish": _do_publish,
    "promote": _do_promote,
    "withdraw": _do_withdraw,
    "prune": _do_prune,
    "lint": _do_lint,
    "verify": _do_verify,
    "plan": _do_plan,
    "report": _do_report,
}


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is documented in livepatch-repo(1)."""
    options = _parser().parse_args(argv)
    if options.verb in ("lint", "verify", "plan", "report") and "{arch}" in options.repo:
        options.refuse(f"{{arch}} names several repositories and {options.verb} reads one: name one of them")
    gc.disable()  # one short run over many small objects, hardly any of them in a cycle
    try:
        return _DO[options.verb](options)
    except publish.LintRefused as error:
        sys.stderr.write(run.as_text(error.findings))
        return _failed(options, error, FOUND)
    except ToolError as error:
        return _failed(options, error, FAILED)
    except ModuleNotFoundError as error:
        return _failed(options, ToolError("tool-missing", program=f"Python's module {error.name}"), FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except KeyboardInterrupt:
        return 130


def _failed(options: argparse.Namespace, error: ToolError, code: int) -> int:
    if options.json:
        _print_json({"schema": 1, "error": {"id": error.id, "text": error.text, "remedy": error.remedy}})
    sys.stderr.write(f"livepatch-repo: {error.text} [{error.id}]\n{error.remedy}\n")
    return code
