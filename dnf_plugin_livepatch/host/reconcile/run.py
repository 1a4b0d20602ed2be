# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the running kernel match the installed live patches: the one entry point, idempotent.

At its top this module imports only what every run needs; a run with nothing to do needs nearly nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from functools import partial

from ...base import times
from ...base.config import Config, read
from ...base.model import Kernel, ReconcileResult
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from .. import output
from ..files import advised, atomic, mailbox
from ..kernel import livepatches, running
from . import unchanged

if TYPE_CHECKING:
    from typing import Callable

    from ..files.mailbox import Progress

MAX_ROUNDS = 10


class Refused(Exception):
    """Reconcile cannot run; ``problem`` holds the reason and the remedy."""

    def __init__(self, identifier: str, **facts: object) -> None:
        self.problem = problem(identifier, **facts)
        super().__init__(self.problem.text)


def _lock(paths: Paths, seconds: float, said: bool = False) -> int:
    """Take the lock that lets one reconcile run at a time, and return its open descriptor.

    With ``said`` the wait for another run is announced.
    """
    try:
        atomic.ensure_dir(paths.run_dir)
        descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused("need-root" if os.geteuid() else "state-unwritable", why=error.strerror) from None
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise Refused("reconcile-running", seconds=f"{seconds:.0f}") from None
            if said:
                since = times.moment(os.fstat(descriptor).st_mtime)
                text = f"livepatch: waiting for the reconcile that is under way since {since}"
                output.show([text], errors=True)
                said = False
            time.sleep(0.1)
    os.utime(descriptor)  # status tells since when a run is under way
    return descriptor


def _nothing_new(paths: Paths, kernel: Kernel, stamp: str) -> ReconcileResult | None:
    """Return the last answer once more where it was good and nothing has changed since; else None."""
    last = mailbox.read_result(paths)
    if last is None or not last.ok or last.skipped or last.boot_id != kernel.boot_id:
        return None
    if not unchanged.unchanged(paths, kernel):
        return None
    return last._replace(stamp=stamp, finished=times.now(), actions=())


def _whole_run(
    paths: Paths, config: Config, kernel: Kernel, stamp: str, force: bool, progress: Progress | None
) -> ReconcileResult:
    """Look at everything, and make the kernel match what is installed."""
    from .context import Run
    from .converge import converge

    result = converge(Run(paths, config, kernel, force, progress), stamp)
    _end_unloads(paths, result)
    return result


def reconcile(
    paths: Paths,
    config: Config,
    force: bool = False,
    progress: Progress | None = None,
    first: Callable[[], None] | None = None,
) -> ReconcileResult:
    """Converge, verify, and write ``result.json``. Raises Refused when the run cannot even begin.

    With ``force`` a stalled transition is forced, which may crash the kernel. Only the administrator asks
    for that. ``first`` is a verb's own change of the guard's file. The verb has its turn for both, so that
    no other run comes between the change and the answer.
    """
    lock = _lock(paths, mailbox.bound(config), progress is not None)
    try:
        if first is not None:
            first()
        before = mailbox.read_result(paths)
        for _ in range(MAX_ROUNDS):
            stamp = mailbox.current(paths)
            kernel = running.running(paths)
            reason = running.environment(paths)
            if reason:
                result = mailbox.new_result(stamp, kernel, skipped=reason)
            else:
                last = None if force else _nothing_new(paths, kernel, stamp)
                result = last or _whole_run(paths, config, kernel, stamp, force, progress)
            advised.forget_others(paths, kernel.release)
            atomic.step("before result")
            atomic.write_json(paths.result, mailbox.dump(result), mailbox.load)
            if mailbox.current(paths) == stamp:
                break
        _end_alarm(paths, before, result)
        return result
    except OSError as error:
        raise Refused("record-unwritable", why=error.strerror) from None
    finally:
        os.close(lock)


def _end_unloads(paths: Paths, result: ReconcileResult) -> None:
    """Forget the unload of each package that is gone while another one is in force.

    The kernel may refuse an older patch beside the states of a newer one, which is then unloaded by hand. A
    later upgrade to the newer one is a new decision. Before the network no run asks the rpm database.
    """
    if os.path.exists(paths.booting):
        return
    from ..files import guard_file
    from ..packages import installed

    here = {row.nevra for row in result.in_force if row.nevra}
    try:
        unloaded = guard_file.read(paths).unloaded if result.ok and here else {}
        gone = [nevra for nevra in unloaded if nevra not in here and not installed.holds(paths, nevra)]
        if gone:
            guard_file.change(paths, lambda guard: [guard.unloaded.pop(nevra, None) for nevra in gone])
    except (atomic.Broken, OSError):
        return  # said by whatever needs the file


def _end_alarm(paths: Paths, before: ReconcileResult | None, result: ReconcileResult) -> None:
    """Reset failed units once all is well; ``before`` is the answer of the run before.

    systemd itself ends the alarm only where its own run ends well, and a fleet watches the unit. A run that
    was killed or refused leaves a request without an answer.
    """
    quiet = before is not None and before.ok and before.stamp == result.stamp
    if result.ok and not quiet and "LIVEPATCH_CONFINED" not in os.environ:
        from . import timers

        timers.end_alarm(paths)


def unload(
    paths: Paths, config: Config, module: str, this_boot: bool = False, progress: Progress | None = None
) -> ReconcileResult:
    """Take the set that ``module`` belongs to out of the kernel, and keep that set out.

    The set stays out until it is unblocked, or with ``this_boot`` until the next boot. Where its package is
    gone and another one is in force then, the set may come again with its package. Raises Refused for a
    module that others loaded.
    """
    from ..files import guard_file

    boot_id = running.boot_id(paths)

    def keep_unloaded() -> None:
        ours = guard_file.read(paths).ours(boot_id)
        if module not in ours:
            if livepatches.one(paths, module) is None:
                raise Refused("no-such-package", why=f"the kernel has no live patch {module}")
            raise Refused("unload-not-ours", module=module)
        guard_file.keep_unloaded(paths, ours[module].nevra, boot_id if this_boot else "")

    return reconcile(paths, config, False, progress, partial(record, keep_unloaded))


def record(change: Callable[[], None]) -> None:
    """Make the ``change`` of the guard's file. Raises Refused where the file is spoiled or not written."""
    try:
        change()
    except atomic.Broken as error:
        raise Refused("guard-broken", why=error) from None
    except ValueError as error:
        raise Refused("no-such-package", why=error) from None
    except OSError as error:
        raise Refused("need-root" if os.geteuid() else "guard-unwritable", why=error.strerror) from None


def main(arguments: list[str]) -> int:
    """Run once, in the child that ``mailbox.ask`` starts where systemd is missing."""
    paths = Paths(arguments[0] if arguments else "/")
    try:
        result = reconcile(paths, read(paths.config)[0])
    except Refused as refused:
        output.refusal(refused.problem)
        return 1
    output.show(item.text for item in result.problems)
    return 0 if result.ok else 5


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
