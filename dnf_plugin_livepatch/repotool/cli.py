# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``livepatch-repo`` command: arguments in, exit codes and text out."""

from __future__ import annotations

import argparse
import difflib
import gc
import os
import sys
from collections.abc import Sequence

from ..base import times
from ..base.names import CVE, RELEASE, decimal
from ..toolkit import output, ticker
from ..toolkit.errors import Finding, ToolError, library_missing
from . import kernel_facts, moving, options, plan, publish, settings, several, transaction
from .lint import run
from .lint.catalogue import CATALOGUE, explain
from .lint.context import Context
from .lint.metadata import of_keys
from .options import CONFIG, Verb
from .repository import reading, signing
from .repository.store import Store
from .repository.view import View

OK, FAILED, USAGE, FOUND = 0, 1, 2, 3


def _stamp() -> str:
    """The moment of SOURCE_DATE_EPOCH, for metadata of the same bytes; "" without one."""
    epoch = decimal(os.environ.get("SOURCE_DATE_EPOCH", ""), 11)
    return "" if epoch is None else times.later(times.EPOCH, epoch)


def _settings(chosen: argparse.Namespace) -> settings.Settings:
    path = chosen.config or (CONFIG if os.path.exists(CONFIG) else "")
    found = settings.read(path) if path else settings.Settings()
    changes: dict[str, object] = {}
    for key in ("sign_with", "gpg_home"):
        if getattr(chosen, key, None):
            changes[key] = getattr(chosen, key)
    if getattr(chosen, "compress", None):
        changes["compression"] = chosen.compress
    if chosen.key:
        changes["keys"] = tuple(chosen.key)
    if getattr(chosen, "kernels_from", None):
        changes["kernels_from"] = tuple(chosen.kernels_from)
    found = found._replace(**changes)  # type: ignore[arg-type]
    for key in found.keys:
        if not os.path.isfile(key):
            raise ToolError("settings-fault", file=path or "--key", fault=f"there is no key file {key}")
    return found


def _job(chosen: argparse.Namespace) -> transaction.Job:
    return transaction.Job(_settings(chosen), times.now(), chosen.wait, chosen.dry_run, _stamp())


def _changed(
    chosen: argparse.Namespace, job: transaction.Job, outcomes: Sequence[transaction.Outcome]
) -> int:
    outcomes = _warned(job, outcomes)
    ticker.hide()
    if chosen.json:
        _print_json({"schema": 1, **_as_data(outcomes)})
    else:
        _show(outcomes)
    return FOUND if any(run.errors(item.findings) for item in outcomes) else OK


def _as_data(outcomes: Sequence[transaction.Outcome]) -> dict[str, object]:
    rows = [
        {**item._asdict(), "findings": [finding._asdict() for finding in item.findings]} for item in outcomes
    ]
    return {"repositories": rows}


def _show(outcomes: Sequence[transaction.Outcome]) -> None:
    for item in outcomes:
        done = "would change:" if item.dry_run else f"published as {item.generation}"
        changes = not item.nothing or bool(item.dry_run and item.mended)
        told = done if changes else "mended" if item.mended else "nothing to do"
        output.show([f"{item.repository}: {told}"])
        for sign, values in (
            ("+", item.packages_added),
            ("-", item.packages_removed),
            ("+ advisory", item.advisories_added),
            ("~ advisory", item.advisories_changed),
            ("~ record", item.record_changed),
            ("~ put right:", item.mended),
            ("~ signed again with the same content", ("",) * item.signed),
        ):
            output.show(f"  {sign} {value}".rstrip() for value in values)
        output.show(
            f"  {finding.severity}: {finding.subject}: {finding.text} [{finding.check}]"
            for finding in item.findings
            if finding.severity != "note"
        )


def _warned(job: transaction.Job, outcomes: Sequence[transaction.Outcome]) -> list[transaction.Outcome]:
    """``outcomes``, the first with the findings about the clients' keys too."""
    keys = signing.public_keys(job.settings.keys)
    found = run.findings(of_keys(Context(job.now, keys=keys)), job.settings.waivers)
    return [
        item._replace(findings=(*item.findings, *found)) if place == 0 else item
        for place, item in enumerate(outcomes)
    ]


def _publish(chosen: argparse.Namespace) -> int:
    file = settings.read_advisories(chosen.advisory) if chosen.advisory else settings.AdvisoryFile()
    job = _job(chosen)
    done = publish.publish(chosen.repo, chosen.rpms, job, file, chosen.allow_withdrawn)
    return _changed(chosen, job, done)


def _promote(chosen: argparse.Namespace) -> int:
    if ("{arch}" in chosen.source) != ("{arch}" in chosen.target):
        chosen.refuse("{arch} is in one of --from and --to only: put it into both or none")
    job = _job(chosen)
    return _changed(chosen, job, moving.promote(chosen.source, chosen.target, chosen.patterns, job))


def _sign(chosen: argparse.Namespace) -> int:
    job = _job(chosen)
    return _changed(chosen, job, moving.sign(chosen.repo, job))


def _withdraw(chosen: argparse.Namespace) -> int:
    if not chosen.reason.isprintable() or not 0 < len(chosen.reason) <= 1000:
        raise ToolError(
            "settings-fault", file="--reason", fault="not one printable line of 1 to 1000 characters"
        )
    job = _job(chosen)
    return _changed(chosen, job, moving.withdraw(chosen.repo, chosen.patterns, chosen.reason, job))


def _prune(chosen: argparse.Namespace) -> int:
    job = _job(chosen)
    keep = chosen.keep if chosen.keep is not None else job.settings.keep
    return _changed(chosen, job, moving.prune(chosen.repo, keep, job))


def _kernels(chosen: argparse.Namespace) -> int:
    job = _job(chosen)
    for text in (*chosen.fixable, *(text.partition("=")[0] for text in chosen.unfixable)):
        if not CVE.match(text):
            raise ToolError("settings-fault", file="kernels", fault=f"{text[:60]!r} is no CVE identifier")
    globs = tuple(chosen.releases)
    if not (chosen.support_end or chosen.unfixable or chosen.fixable):
        if not job.settings.kernels:
            chosen.refuse("--support-end, --unfixable or --fixable is needed, or 'kernels' in the settings")
        facts = kernel_facts.Facts(globs, job.settings.kernels)
    elif not globs:
        chosen.refuse("RELEASE is needed: a kernel release, or a glob over releases")
    else:
        unknown = chosen.support_end == "unknown"
        unfixable = dict(text.split("=", 1) if "=" in text else (text, "") for text in chosen.unfixable)
        text = settings.kernel_text("" if unknown else chosen.support_end or "", unfixable)
        facts = kernel_facts.Facts(globs, {}, text, tuple(chosen.fixable), unknown)
    return _changed(chosen, job, kernel_facts.state(chosen.repo, facts, job))


def _kernels_from(found: settings.Settings) -> list[View]:
    """The repositories of kernels that the settings name. Raises ToolError."""
    try:
        return [reading.read(place, ()) for place in found.kernels_from]
    except ToolError as error:
        raise ToolError("kernels-unreadable", reason=error.text) from None


def _linted(chosen: argparse.Namespace, where: str, rpms: bool) -> tuple[View, list[Finding]]:
    found = _settings(chosen)
    view = reading.read(where, found.keys, True)
    others = _kernels_from(found)
    states = reading.rpm_states(view, found.keys) if rpms else reading.served(view)
    ticker.begin("checking")
    context = Context(
        times.now(),
        reading.kernels_offered([view, *others]),
        states,
        {release: text.support_end for release, text in found.kernels.items() if text.support_end},
        stale=Store(view.root).stale() if view.root else "",
        closed=reading.closed(view),
        keys=signing.public_keys(found.keys),
    )
    return view, run.run(view, context, found.waivers)


def _lint(chosen: argparse.Namespace) -> int:
    if chosen.explain:
        return _explain(chosen)
    if not chosen.repo:
        chosen.refuse("REPO or --explain ID is needed")
    view, found = _linted(chosen, chosen.repo, not reading.is_remote(chosen.repo))
    form = "json" if chosen.json else chosen.format
    ticker.hide()
    output.write(
        run.as_text(found)
        if form == "text"
        else run.as_json(view, found)
        if form == "json"
        else run.as_junit(view, found)
    )
    return run.exit_code(found, chosen.fail_on)


def _explain(chosen: argparse.Namespace) -> int:
    if chosen.explain not in CATALOGUE:
        near = difflib.get_close_matches(chosen.explain, CATALOGUE)
        chosen.refuse(
            f"there is no check {chosen.explain!r}" + (f"; near: {', '.join(near)}" if near else "")
        )
    found = explain(chosen.explain)
    if chosen.json:
        _print_json({"schema": 1, **found})
    else:
        output.show([f"{found['check']}: {found['severity']}"])
        for title in ("meaning", "why", "remedy"):
            output.show(["", f"{title.capitalize()}: {found[title]}"])
    return OK


def _verify(chosen: argparse.Namespace) -> int:
    if not _settings(chosen).keys:
        raise ToolError("no-keys")
    view, found = _linted(chosen, chosen.repo, True)
    ticker.hide()
    output.write(run.as_json(view, found) if chosen.json else run.as_text(found))
    return run.exit_code(found, "error")


def _plan(chosen: argparse.Namespace) -> int:
    kernels = chosen.kernel or [line.strip() for line in sys.stdin if line.strip()]
    if not kernels:
        chosen.refuse(
            "no kernel release is given: name it with --kernel, or write one a line to standard input"
        )
    for value, rule, what in [(k, RELEASE, "kernel release") for k in kernels] + [
        (c, CVE, "CVE identifier") for c in chosen.cve
    ]:
        if not rule.match(value):
            chosen.refuse(f"{value[:60]!a} is no {what}")
    rows = plan.plan(reading.read(chosen.repo, ()), kernels, chosen.cve, times.now())
    ticker.hide()
    if chosen.json:
        _print_json(plan.as_data(rows))
    else:
        output.show(plan.as_text(rows))
    return FOUND if any(row.gap for row in rows) else OK


def _report(chosen: argparse.Namespace) -> int:
    from . import report

    if not chosen.output and not chosen.json:
        chosen.refuse("--output DIR or --json is needed")
    found = _settings(chosen)
    view = reading.read(chosen.repo, found.keys)
    others = _kernels_from(found)
    if view.root:
        found = found._replace(base_url=found.serving(view.root).address(view.root))
    model = report.build(view, others, found, _stamp() or times.now())
    pages = 0
    if chosen.output:
        from . import site  # Jinja2 is needed for this only

        pages = site.write(model, chosen.output)
    ticker.hide()
    if chosen.json:
        _print_json(report.as_data(model))
    else:
        output.show([f"{chosen.output}: {pages} pages"])
    return OK


def _print_json(data: object) -> None:
    output.write(output.as_json(data))


VERBS = (
    Verb(
        "publish",
        "publish signed RPMs with advisories, signed metadata and one atomic switch",
        options.publish_arguments,
        _publish,
        changes=True,
    ),
    Verb(
        "promote",
        "publish packages of one repository in another, byte for byte",
        options.promote_arguments,
        _promote,
        changes=True,
    ),
    Verb(
        "withdraw",
        "take live patches back: hosts stop adding them",
        options.withdraw_arguments,
        _withdraw,
        changes=True,
    ),
    Verb(
        "sign",
        "sign the metadata again, with another key or a key that was extended",
        options.sign_arguments,
        _sign,
        changes=True,
    ),
    Verb(
        "kernels",
        "change what the record says of kernels: end of support, CVEs that no live patch closes",
        options.kernels_arguments,
        _kernels,
        changes=True,
    ),
    Verb(
        "prune",
        "take live patches out that later ones replace",
        options.prune_arguments,
        _prune,
        changes=True,
    ),
    Verb("lint", "check any repository, local or at an address", options.lint_arguments, _lint),
    Verb(
        "verify",
        "lint a local repository with every package file's digest and signature",
        options.verify_arguments,
        _verify,
    ),
    Verb(
        "plan",
        "say which kernels are covered, by what, and what is missing",
        options.plan_arguments,
        _plan,
    ),
    Verb("report", "write a static web site about the repository", options.report_arguments, _report),
)


def _parser() -> argparse.ArgumentParser:
    return options.parser(VERBS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is documented in livepatch-repo(1)."""
    chosen = _parser().parse_args(argv)
    if chosen.verb in {verb.name for verb in VERBS if not verb.changes} and "{arch}" in chosen.repo:
        chosen.refuse(f"{{arch}} names several repositories and {chosen.verb} reads one: name one of them")
    gc.disable()  # one short run over many small objects, hardly any of them in a cycle
    try:
        with ticker.shown("livepatch-repo"):
            return int(chosen.run(chosen))
    except transaction.LintRefused as error:
        output.write(run.as_text(error.findings), errors=True)
        return _failed(chosen, error, FOUND)
    except ToolError as error:
        return _failed(chosen, error, FAILED)
    except ModuleNotFoundError as error:
        return _failed(chosen, library_missing(error), FAILED)
    except BrokenPipeError:
        output.reader_gone()
        return FAILED
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename or 'a file'}"
        return _failed(chosen, ToolError("disk", reason=reason), FAILED)
    except KeyboardInterrupt:
        return 130


def _failed(chosen: argparse.Namespace, error: ToolError, code: int) -> int:
    outcomes = error.outcomes if isinstance(error, several.Partly) else ()
    if chosen.json:
        told = {"id": error.id, "text": error.text, "remedy": error.remedy}
        _print_json({"schema": 1, "error": told, **(_as_data(outcomes) if outcomes else {})})
    else:
        _show(outcomes)
    output.show([f"livepatch-repo: {error.text} [{error.id}]", error.remedy], errors=True)
    return code
