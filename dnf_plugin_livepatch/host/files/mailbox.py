# SPDX-License-Identifier: GPL-2.0-or-later
"""The mailbox of reconcile: the request stamp, by which a program asks for a run, and the result.

A caller writes a new stamp and starts the unit. reconcile repeats its run until the stamp stays the same, so
that a request is never lost and ten requests are one run.
"""

from __future__ import annotations

import os
import sys
import time

from ...base import fields, names, times
from ...base.config import Config
from ...base.model import Action, InForce, Kernel, Problem, ReconcileResult
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ..kernel.running import boot_id
from ..read import locked, read_text
from . import atomic

if TYPE_CHECKING:
    from typing import Any, Callable

    Progress = Callable[[str], None]


UNIT = "livepatch-reconcile.service"
# How often a start may be refused, and the seconds before the next start.
MAX_REFUSALS = 3
PAUSE = 0.5
# Seconds that a request may wait for the run that answers to begin.
GRACE = 60.0
# CLOCK_BOOTTIME, for which Python has a name since 3.7.
_BOOTTIME = 7
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
    """Return the current stamp; "" when nobody asked in this boot."""
    text = read_text(paths.request, 200)
    return text if text.isprintable() else ""


def request(paths: Paths) -> str:
    """Write a new stamp and return it. Raises OSError where /run/livepatch cannot be written.

    Stamps ascend within a boot, as the clock of /proc/uptime does, which nobody sets; answers belong to a
    boot. livepatch-trigger writes such stamps too.
    """
    stamp = f"{int(time.clock_gettime(_BOOTTIME) * 1e9)}-{os.getpid()}"
    atomic.write_bytes(paths.request, stamp.encode("ascii") + b"\n")
    return stamp


def new_result(stamp: str, kernel: Kernel, **fields: object) -> ReconcileResult:
    """Return a run's result for ``kernel`` that answers ``stamp``: good, and empty except for ``fields``."""
    empty = ReconcileResult(stamp, kernel.boot_id, times.now(), kernel.release, True, "")
    return empty._replace(**fields)  # type: ignore[arg-type]


def dump(result: ReconcileResult) -> dict[str, Any]:
    """Return ``result`` as the object of ``result.json`` and ``--json``, without the schema number."""
    data = result._asdict()
    for name in ("in_force", "actions", "problems"):
        data[name] = [item._asdict() for item in data[name]]
    return data


def bound(config: Config) -> float:
    """Return the seconds that a reconcile may take: two transitions, a reversal, checks, and the rest."""
    checks = len(config.health_check) * config.health_check_timeout
    return 3.0 * config.transition_timeout + checks + 60


def answer_within(config: Config) -> float:
    """Return the seconds to wait for an answer.

    ``LIVEPATCH_ANSWER_WITHIN`` in the environment shortens the wait, and never lengthens it.
    """
    try:
        return min(bound(config), max(0.0, float(os.environ["LIVEPATCH_ANSWER_WITHIN"])))
    except (KeyError, ValueError):
        return bound(config)


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
    """Return the result in ``data``. Raises Broken unless every field is valid."""
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
    """Return the last result of this boot; None when there is none or it cannot be trusted."""
    try:
        data = atomic.read_json(paths.result)
        return None if data is None else load(data)
    except atomic.Broken:
        return None


def _answer(paths: Paths, stamp: str) -> ReconcileResult | None:
    # A run that began before this stamp was written repeats, so an older stamp is no answer. A later
    # caller's stamp answers this request too, because that stamp was written after it.
    result = read_result(paths)
    if result is None or result.boot_id != boot_id(paths):
        return None
    mine, found = (names.decimal(text.partition("-")[0], 19) for text in (stamp, result.stamp))
    return result if mine is not None and found is not None and found >= mine else None


class UnderWay(NamedTuple):
    """A reconcile that is under way. ``since`` is when it was asked for or began; ``asked``: the last
    result is from before the request.
    """

    since: str
    asked: bool


def under_way(paths: Paths, result: ReconcileResult | None) -> UnderWay | None:
    """The reconcile that runs now, or is about to; None where there is none. Anybody may ask.

    ``result`` is the last one of this boot. A request that no run takes up is no run under way.
    """
    age = _unanswered(paths, result)
    running = locked(paths.at("/proc/locks"), paths.lock, "FLOCK")
    if not running and (age is None or age > GRACE):
        return None
    try:
        began = os.stat(paths.lock if age is None else paths.request).st_mtime
    except OSError:
        return None
    return UnderWay(times.moment(began), age is not None)


def _unanswered(paths: Paths, result: ReconcileResult | None) -> float | None:
    """The seconds since the request of this boot that ``result`` does not answer; None for none."""
    mine, found = (
        names.decimal(stamp.partition("-")[0], 19)
        for stamp in (current(paths), result.stamp if result is not None else "")
    )
    now = time.clock_gettime(_BOOTTIME)
    if mine is None or (found is not None and found >= mine) or mine / 1e9 > now:
        return None
    return now - mine / 1e9


def _top() -> str:
    """The folder that holds the package."""
    folder = os.path.abspath(__file__)
    for _ in __name__.split("."):
        folder = os.path.dirname(folder)
    return folder


def command(paths: Paths) -> list[str]:
    """Return the command that runs reconcile and waits for its end; without systemd, the program itself."""
    if os.path.isdir(paths.at("/run/systemd/system")):
        return ["systemctl", "start", UNIT]
    return [sys.executable, "-Ic", _RECONCILE, _top(), paths.root]


def ask(paths: Paths, timeout: float, progress: Progress | None = None) -> ReconcileResult | None:
    """Ask for a reconcile and return its answer; None when there is no answer within ``timeout`` seconds.

    An interrupt (Ctrl-C) passes through to the caller; the run goes on. Raises OSError when the stamp cannot
    be written. During a shutdown systemd refuses the start, and there is no answer.
    """
    end = time.monotonic() + timeout
    stamp = request(paths)
    refusals = 0
    while True:
        status = _start(paths, end, progress)
        answer = _answer(paths, stamp)
        if answer is not None or status is None:
            return answer
        # With status 0 the start joined a run that had already read the stamp for the last time. With any
        # other status systemd refused the start or, on a busy host, did not acknowledge it in time.
        refusals += status != 0
        if refusals >= MAX_REFUSALS or time.monotonic() + PAUSE >= end:
            return None
        time.sleep(PAUSE)
        request(paths)


def _start(paths: Paths, end: float, progress: Progress | None) -> int | None:
    """Start a run, or join the one under way; return its status, None when it has not ended by ``end``."""
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
                # Popen's exit would wait for the child: let go of it, and never kill the run.
                child.returncode = 0
    return None
