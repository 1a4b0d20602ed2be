# SPDX-License-Identifier: GPL-2.0-or-later
"""The mailbox of reconcile: how every other program asks for a run and reads its answer.

A caller writes a new stamp and starts the unit; reconcile goes round until the stamp has not
changed, so a request is never lost and ten requests are one run.
"""

from __future__ import annotations

import os
import sys
import time

from ...base import fields, names
from ...base.config import Config
from ...base.model import Action, InForce, Problem, ReconcileResult
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ..kernel.running import boot_id
from ..read import read_text
from . import atomic

if TYPE_CHECKING:
    from typing import Any, Callable

    Progress = Callable[[str], None]


UNIT = "livepatch-reconcile.service"
# How often a start may be refused, and the seconds before the next one.
MAX_REFUSALS = 3
PAUSE = 0.5
_TEXT, _BELOW = 4000, 1e9
# Isolated (-I), Python looks for modules in no folder of the caller's. The first argument is the folder of
# the package, for a checkout, which is not among Python's own folders.
_RECONCILE = """import sys
top = sys.argv.pop(1)
if top not in sys.path:
    sys.path.insert(0, top)
from dnf_plugin_livepatch.host.reconcile.run import main
sys.exit(main(sys.argv[1:]))
"""


def current(paths: Paths) -> str:
    """The stamp that stands now; "" when nobody asked in this boot."""
    text = read_text(paths.request, 200)
    return text if text.isprintable() else ""


def request(paths: Paths) -> str:
    """Raise a new stamp and return it. Raises OSError for whoever may not write /run/livepatch.

    Stamps ascend within a boot, as the clock that nobody sets does; answers belong to a boot.
    """
    stamp = f"{int(time.monotonic() * 1e9)}-{os.getpid()}"
    atomic.write_bytes(paths.request, stamp.encode("ascii") + b"\n")
    return stamp


def dump(result: ReconcileResult) -> dict[str, Any]:
    """``result`` as the object that ``result.json`` and ``--json`` show, without the schema number."""
    data = result._asdict()
    for name in ("in_force", "actions", "problems"):
        data[name] = [item._asdict() for item in data[name]]
    return data


def bound(config: Config) -> float:
    """Seconds within which a reconcile answers: two transitions, one reversed, checks, and the rest.

    ``LIVEPATCH_ANSWER_WITHIN`` in the environment shortens the wait, and never lengthens it.
    """
    checks = len(config.health_check) * config.health_check_timeout
    longest = 3.0 * config.transition_timeout + checks + 60
    try:
        return min(longest, max(0.0, float(os.environ["LIVEPATCH_ANSWER_WITHIN"])))
    except (KeyError, ValueError):
        return longest


def _text(data: dict[str, Any], key: str, default: str | None = None) -> str:
    return fields.shown(data, key, _TEXT, default)


def _in_force(data: dict[str, Any]) -> InForce:
    listed = fields.items(data, "cves", default=[])
    try:
        cves = tuple([fields.shown(listed, place, _TEXT) for place in range(len(listed))])
    except fields.FieldError as error:
        raise error.within("cves") from None
    seconds = fields.number(data, "seconds", _BELOW, 0)
    return InForce(_text(data, "module"), _text(data, "nevra"), cves, seconds)


def _action(data: dict[str, Any]) -> Action:
    verb, module, nevra, outcome = (_text(data, key) for key in ("verb", "module", "nevra", "outcome"))
    return Action(verb, module, nevra, outcome, fields.number(data, "seconds", _BELOW, 0))


def _problem(data: dict[str, Any]) -> Problem:
    identifier, severity, text = (_text(data, key) for key in ("id", "severity", "text"))
    return Problem(identifier, severity, text, _text(data, "remedy", ""), _text(data, "subject", ""))


def load(data: dict[str, Any]) -> ReconcileResult:
    """The result in ``data``. Raises Broken unless every field is what it should be."""
    try:
        return ReconcileResult(
            stamp=_text(data, "stamp", ""),
            boot_id=_text(data, "boot_id", ""),
            finished=_text(data, "finished", ""),
            kernel_release=_text(data, "kernel_release", ""),
            ok=fields.flag(data, "ok"),
            desired=_text(data, "desired", ""),
            in_force=fields.each(data, "in_force", _in_force, default=[]),
            actions=fields.each(data, "actions", _action, default=[]),
            problems=fields.each(data, "problems", _problem, default=[]),
            skipped=_text(data, "skipped", ""),
        )
    except fields.FieldError as error:
        raise atomic.Broken(f"result.json: {error}") from None


def read_result(paths: Paths) -> ReconcileResult | None:
    """The last result of this boot; None when there is none or it cannot be trusted."""
    try:
        data = atomic.read_json(paths.result)
        return None if data is None else load(data)
    except atomic.Broken:
        return None


def _answer(paths: Paths, stamp: str) -> ReconcileResult | None:
    # A run that began before this stamp goes round once more, so only an equal stamp is the answer;
    # a later caller's stamp answers this one too: it was written after it.
    result = read_result(paths)
    if result is None or result.boot_id != boot_id(paths):
        return None
    mine, found = (names.decimal(text.partition("-")[0], 19) for text in (stamp, result.stamp))
    return result if mine is not None and found is not None and found >= mine else None


def _top() -> str:
    """The folder that holds the package."""
    folder = os.path.abspath(__file__)
    for _ in __name__.split("."):
        folder = os.path.dirname(folder)
    return folder


def command(paths: Paths) -> list[str]:
    """The argv that has reconcile run and ends when it did; without systemd that is the program itself."""
    if os.path.isdir(paths.at("/run/systemd/system")):
        return ["systemctl", "start", UNIT]
    return [sys.executable, "-Ic", _RECONCILE, _top(), paths.root]


def ask(paths: Paths, timeout: float, progress: Progress | None = None) -> ReconcileResult | None:
    """Ask for a reconcile and wait for its answer, at most ``timeout`` seconds; None when none came.

    An interrupt (Ctrl-C) passes through to the caller; the run goes on without it. Raises OSError
    when the stamp cannot be written. During a shutdown systemd refuses the start: there is no answer then.
    """
    end = time.monotonic() + timeout
    stamp = request(paths)
    refusals = 0
    while True:
        status = _start(paths, end, progress)
        answer = _answer(paths, stamp)
        if answer is not None or status is None:
            return answer
        # Without an answer it was a run that had looked for new stamps already and was just ending, or,
        # with a status, a start that systemd refused or, on a busy host, did not acknowledge in time.
        refusals += status != 0
        if refusals >= MAX_REFUSALS or time.monotonic() + PAUSE >= end:
            return None
        time.sleep(PAUSE)
        request(paths)


def _start(paths: Paths, end: float, progress: Progress | None) -> int | None:
    """Start a run, or join the one under way; its status, None when it has not ended by ``end``."""
    import subprocess

    atomic.step("before ask")
    # A session of its own keeps the terminal's Ctrl-C away from the run.
    with subprocess.Popen(
        command(paths),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    ) as child:
        try:
            while time.monotonic() < end:
                try:
                    return child.wait(min(1.0, max(0.01, end - time.monotonic())))
                except subprocess.TimeoutExpired:
                    if progress is not None:
                        progress("waiting for the live patch to be in force")
        finally:
            if child.poll() is None:
                # Popen's exit would wait for it: let go of the child, never kill the run.
                child.returncode = 0
    return None
