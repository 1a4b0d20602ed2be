# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the running kernel match the installed live patches: the one entry point, idempotent.

Only what every run needs is imported here; with nothing to do that is nearly nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from functools import partial

from ...base import times
from ...base.config import Config, read
from ...base.model import InForce, InstalledPatch, Kernel, ReconcileResult
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import not_in_force, problem
from ..files import atomic, mailbox
from ..kernel import running
from . import unchanged

if TYPE_CHECKING:
    from typing import Callable

    from ...vendors.profile_file import Profile
    from ..clients.patches import Outside
    from ..files.mailbox import Progress
    from .context import Run
    from .desired import Wanted

MAX_TURNS = 4
MAX_ROUNDS = 10


class Refused(Exception):
    """Reconcile cannot run; ``problem`` says why and what to do."""

    def __init__(self, identifier: str, **facts: object) -> None:
        self.problem = problem(identifier, **facts)
        super().__init__(self.problem.text)


def _lock(paths: Paths, seconds: float) -> int:
    """The open descriptor of the lock that lets one reconcile run at a time."""
    try:
        atomic.ensure_dir(paths.run_dir)
        descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused("need-root" if os.geteuid() else "state-unwritable", why=error.strerror) from None
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise Refused("reconcile-running", seconds=f"{seconds:.0f}") from None
            time.sleep(0.1)


def _result(stamp: str, kernel: Kernel, **fields: object) -> ReconcileResult:
    empty = ReconcileResult(stamp, kernel.boot_id, times.now(), kernel.release, True, "")
    return empty._replace(**fields)  # type: ignore[arg-type]


def _nothing_new(paths: Paths, kernel: Kernel, stamp: str) -> ReconcileResult | None:
    """The last answer once more, when it was a good one and nothing has changed since; else None."""
    last = mailbox.read_result(paths)
    if last is None or not last.ok or last.skipped or last.boot_id != kernel.boot_id:
        return None
    if not unchanged.unchanged(paths, kernel):
        return None
    return last._replace(stamp=stamp, finished=times.now(), actions=())


def _work(
    paths: Paths, config: Config, kernel: Kernel, stamp: str, force: bool, progress: Progress | None
) -> ReconcileResult:
    from ...vendors import profiles
    from ..files import guard_file
    from ..kernel import switches
    from ..packages import installed, rpm_lock
    from . import adopt, context, crash_guard, desired, turn

    run = context.Run(paths, config, kernel, force, progress)
    rules, faults = profiles.load(paths.profile_dirs)
    for fault in faults:
        run.add(problem("profile-fault", fault=fault))
    choice = desired.Choice(None, False, ())
    build_ids: dict[str, str] = {}
    database = installed.folder(paths)
    before = off = ""
    try:
        for nevra, why in crash_guard.after_boot(paths, kernel.boot_id):
            run.note("block", "", "", nevra, "done", 0.0, reason=why)
        # A file trigger asks from inside its transaction, before the database is what it will be.
        if not rpm_lock.wait_idle(database, turn.LOCK_SECONDS):
            _aftercare(paths, turn.RETRY_SECONDS[0], kernel)
            unchanged.save(paths, kernel, None, database)
            busy = problem("rpm-under-way", seconds=f"{turn.LOCK_SECONDS:.0f}")
            here = turn.in_force_now(run, None, {})
            return _result(stamp, kernel, ok=False, in_force=here, problems=(busy,))
        for _ in range(MAX_TURNS):
            before = unchanged.take(paths, kernel, database)
            found = installed.read(paths, rules, kernel.release, kernel.build_id)
            for fault in found.faults[: installed.MAX_FAULTS]:
                run.add(problem("manifest-unusable", fault=fault))
            off = switches.off(paths, rules, found.patches) if config.mode == "load" else ""
            if off:
                run.config = config._replace(mode="install-only")
            if found.healthy:
                known = [str(patch.nevra) for patch in found.patches]
                guard_file.forget(paths, known, lambda nevra: installed.holds(paths, nevra))
            adopt.adopt(run, found.patches)
            choice, build_ids, again = turn.one_round(run, found)
            if not again:
                break
        in_force = turn.in_force_now(run, choice.wanted, build_ids)
        outside = _outside(run, rules, found.patches)
    except atomic.Broken as error:
        return _result(stamp, kernel, ok=False, problems=(problem("guard-broken", why=error),))
    except OSError as error:
        return _result(stamp, kernel, ok=False, problems=(problem("record-unwritable", why=error),))
    wanted = choice.wanted
    _note_missing(run, wanted, in_force)
    _note_outside(run, rules, outside)
    desired_nevra = wanted.nevra if wanted is not None else next(iter(outside.desired), "")
    result = _result(
        stamp,
        kernel,
        ok=not any(item.severity == "error" for item in run.problems),
        desired=desired_nevra,
        in_force=(*in_force, *outside.in_force),
        actions=tuple(run.actions),
        problems=tuple(run.problems),
        skipped=off or switches.mode(config.mode),
    )
    _aftercare(paths, run.retry_in, kernel)
    # What this run changed itself differs from "before" too: the next run looks once more, then rests.
    rest = result.ok and not result.actions and run.config.mode == "load"
    # What a vendor's client has in the kernel only that client can tell, so it is asked in every run.
    rest = rest and not outside.in_force and all(patch.loader == "kernel" for patch in found.patches)
    unchanged.save(paths, kernel, before if rest else None, database)
    return result


def _note_missing(run: Run, wanted: Wanted | None, in_force: Sequence[InForce]) -> None:
    """Report the set ``wanted`` unless each of its modules is in force."""
    if wanted is None:
        return
    verified = {row.module for row in in_force if row.nevra == wanted.nevra}
    if not all(module.name in verified for module in wanted.modules):
        run.add(not_in_force(wanted.nevra, in_force))


def _note_outside(run: Run, rules: Sequence[Profile], outside: Outside) -> None:
    """Record what vendors' own clients did, and with each load what it closes."""
    for item in outside.problems:
        run.add(item)
    for done in outside.actions:
        from . import load_facts

        closes = load_facts.by_client(run.paths, run.kernel, rules, outside.in_force, done)
        run.note(done.verb, done.verb, done.module, done.nevra, done.outcome, done.seconds, **closes)


def _outside(run: Run, rules: Sequence[Profile], stock: Sequence[InstalledPatch]) -> Outside:
    """Have vendors' own clients load what is theirs, after what the kernel itself loads."""
    from ..clients import patches
    from ..files import guard_file, notices
    from . import turn

    if run.config.mode != "load":
        return patches.Outside()
    now = guard_file.read(run.paths)
    held = {nevra for nevra in now.held if now.holds(nevra, run.kernel.boot_id)}
    out = held | set(now.blocked())
    if run.config.on_withdrawn == "revert":
        out |= set(notices.read(run.paths).proved)
    boot_id = run.kernel.boot_id
    ours = {label: item.nevra for label, item in now.clients.items() if boot_id and item.boot_id == boot_id}
    gone = partial(turn.really_gone, run)
    done = patches.converge(rules, stock, run.kernel, run.config.transition_timeout, out, ours, gone)
    if dict(done.ours) != ours:

        def own(entries: guard_file.Guard) -> None:
            entries.clients = {label: guard_file.Owned(nevra, "", boot_id) for label, nevra in done.ours}

        guard_file.change(run.paths, own)
    return done


def _aftercare(paths: Paths, retry_in: int, kernel: Kernel) -> None:
    """Have systemd run the settle watch while something settles, and the next try of what stalled."""
    from ..files import guard_file
    from . import timers

    settling = [
        record
        for record in guard_file.read(paths).records.values()
        if record.state == "settling" and record.boot_id == kernel.boot_id
    ]
    if settling:
        timers.watch(paths)
    if retry_in:
        timers.retry(paths, retry_in)
    else:
        timers.no_retry(paths)


def reconcile(
    paths: Paths, config: Config, force: bool = False, progress: Progress | None = None
) -> ReconcileResult:
    """Converge, verify, and write ``result.json``. Raises Refused when it cannot even begin.

    ``force`` lets a stalled transition be forced, which may crash the kernel; nothing else asks for it.
    """
    lock = _lock(paths, mailbox.bound(config))
    try:
        for _ in range(MAX_ROUNDS):
            stamp = mailbox.current(paths)
            kernel = running.running(paths)
            reason = running.environment(paths)
            if reason:
                result = _result(stamp, kernel, skipped=reason)
            else:
                last = None if force else _nothing_new(paths, kernel, stamp)
                result = last or _work(paths, config, kernel, stamp, force, progress)
            atomic.step("before result")
            atomic.write_json(paths.result, mailbox.dump(result), mailbox.load)
            if mailbox.current(paths) == stamp:
                break
        return result
    except OSError as error:
        raise Refused("record-unwritable", why=error.strerror) from None
    finally:
        os.close(lock)


def unload(
    paths: Paths, config: Config, module: str, this_boot: bool = False, progress: Progress | None = None
) -> ReconcileResult:
    """Take the set that ``module`` belongs to out of the kernel, and keep it out.

    It stays out until ``guard.unblock``, or with ``this_boot`` until the next boot. Raises Refused for a
    module that others loaded.
    """
    from ..files import guard_file

    boot_id = running.boot_id(paths)
    try:
        ours = guard_file.read(paths).ours(boot_id)
        if module not in ours:
            raise Refused("unload-not-ours", module=module)
        guard_file.hold(paths, ours[module].nevra, boot_id if this_boot else "")
    except atomic.Broken as error:
        raise Refused("guard-broken", why=error) from None
    except OSError as error:
        raise Refused("need-root" if os.geteuid() else "state-unwritable", why=error.strerror) from None
    return reconcile(paths, config, False, progress)


def main(arguments: list[str], tell: Callable[[str], None] = print) -> int:
    """Run once without options, as a child of ``request.ask`` does where systemd is missing."""
    paths = Paths(arguments[0] if arguments else "/")
    try:
        result = reconcile(paths, read(paths.config)[0])
    except Refused as refused:
        tell(refused.problem.text)
        return 1
    for item in result.problems:
        tell(item.text)
    return 0 if result.ok else 5


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
