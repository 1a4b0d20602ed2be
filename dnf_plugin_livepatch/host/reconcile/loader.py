# SPDX-License-Identifier: GPL-2.0-or-later
"""Put a module into the running kernel, take it out again, and verify the result.

This is the only code that runs insmod or rmmod or writes to /sys/kernel/livepatch. It decides nothing: its
callers have chosen the module and checked that it may be loaded.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence

from ...base.model import InstalledModule, Problem
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.catalogue import problem
from .. import program
from ..files import atomic
from ..kernel import livepatches, running, tasks
from ..read import read_text
from . import refusals

if TYPE_CHECKING:
    from typing import Callable

    Progress = Callable[[str], None]


#: Seconds between two words about an insmod that lives: the symbol look-up of a big kernel and a
#: stop_machine() on many busy CPUs take minutes.
SLOW_SECONDS = 30.0
REMOVE_TIMEOUT = 10.0
#: The folders of insmod and rmmod, independent of the caller's PATH.
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"
#: The least number of seconds for a reversal: the kernel looks at sleeping tasks only once a second.
REVERSE_TIMEOUT = 60.0


class Outcome(NamedTuple):
    """The end of a load or unload: ``done``, ``failed``, ``stalled`` (and reversed) or ``crashed``.

    ``crashed`` means that insmod was killed, ``forced`` that the kernel was made to end a stalled
    transition.
    """

    outcome: str
    seconds: float = 0.0
    problem: Problem | None = None
    tasks: tuple[tasks.Task, ...] = ()
    forced: bool = False

    @property
    def stuck(self) -> bool:
        """Whether the transition could neither be completed nor reversed."""
        return self.problem is not None and self.problem.id == "transition-stuck"


def _run(
    argv: Sequence[str],
    timeout: float,
    descriptors: Sequence[int] = (),
    still: Callable[[float], None] | None = None,
) -> tuple[int, str]:
    """Run ``argv`` and return its exit status and output: 127 where it did not start, -1 where it hung.

    The status of a program that a signal ended is negative, with no output. With ``still`` the program is
    waited for as long as it lives, and ``still`` gets the seconds so far after each ``timeout``.
    """
    try:
        status, output = program.run(
            argv,
            timeout,
            {"PATH": PROGRAMS, "LC_ALL": "C"},
            whole=False,
            descriptors=descriptors,
            still=still,
        )
    except program.NotStarted as fault:
        return 127, str(fault)
    except program.Killed:
        return -signal.SIGKILL, ""
    except program.Unusable as fault:
        # A child that hangs inside the kernel cannot be killed, and is left behind.
        return -1, str(fault)
    return status, output.strip()[:500]


def _write(path: str, value: str) -> str:
    """Write ``value`` to a sysfs file; return the kernel's refusal as text, "" for none."""
    name = "/".join(path.rsplit("/", 2)[1:])
    atomic.step(f"before write {name}")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode("ascii"))
        finally:
            os.close(descriptor)
    except OSError as error:
        return str(error.strerror)
    finally:
        atomic.step(f"after write {name}")
    return ""


def _until(
    condition: Callable[[], bool], timeout: float, tick: Callable[[float], None] | None = None
) -> bool:
    """Wait until ``condition`` is true, at most ``timeout`` seconds; return whether it is.

    The first looks follow each other closely, later ones less so.
    """
    start = time.monotonic()
    pause = 0.002
    while not condition():
        spent = time.monotonic() - start
        if spent >= timeout:
            return False
        if tick is not None:
            tick(spent)
        time.sleep(min(pause, max(0.001, timeout - spent)))
        pause = min(pause * 1.5, 0.1)
    return True


def _ticker(progress: Progress | None, text: str, timeout: float) -> Callable[[float], None] | None:
    """Return a function that reports ``text`` with the seconds spent; None without ``progress``."""
    if progress is None:
        return None
    report = progress
    return lambda spent: report(f"{text}, {spent:.0f} of at most {timeout:.0f} s")


def _in_transition(paths: Paths, module: str) -> bool:
    return read_text(f"{paths.klp}/{module}/transition", 8) == "1"


def insert(
    paths: Paths, descriptor: int, module: str = "", progress: Progress | None = None
) -> tuple[int, str]:
    """Run insmod on the file that is open as ``descriptor``, in a child, which an oops in its init kills.

    The name below /proc is the file that was checked, whatever lies at its path by now. An insmod that lives
    is waited for: whoever kills it leaves a patch behind that may come into force at any moment.
    """
    atomic.step("before insmod")

    def still(spent: float) -> None:
        text = f"live patch {module}: the kernel has been loading it for {spent:.0f} s"
        if progress is not None:
            progress(text)

    answer = _run(["insmod", f"/proc/self/fd/{descriptor}"], SLOW_SECONDS, (descriptor,), still)
    atomic.step("after insmod")
    return answer


def await_loading(paths: Paths, module: str, timeout: float, progress: Progress | None = None) -> bool:
    """Wait for the end of a load that an earlier run began; return whether the load is over."""
    tick = _ticker(progress, f"live patch {module}: an earlier run began to load it", timeout)
    return _until(lambda: not livepatches.coming(paths, module), timeout, tick)


def remove(paths: Paths, module: str, timeout: float = REMOVE_TIMEOUT) -> str:
    """Take a module that patches nothing any more out of the kernel; return why it stays, or ""."""
    folder = f"{paths.modules}/{module}"
    if not os.path.isdir(folder):
        return ""
    if os.path.isdir(f"{paths.klp}/{module}"):
        return "it is still a live patch in the kernel"
    # A task may still be leaving the old code; the kernel keeps the module until then.
    _until(lambda: read_text(folder + "/refcnt", 16) in ("0", ""), timeout)
    atomic.step("before rmmod")
    # Whoever gives a living rmmod up tells of a module that stays, and it goes a moment later.
    status, output = _run(["rmmod", module], SLOW_SECONDS, still=lambda _: None)
    atomic.step("after rmmod")
    return "" if status == 0 or not os.path.isdir(folder) else output or f"rmmod ended with {status}"


def load(
    paths: Paths,
    descriptor: int,
    module: str,
    build_id: str,
    timeout: float,
    progress: Progress | None = None,
    force: bool = False,
) -> Outcome:
    """Load the module open as ``descriptor``, wait for its transition, verify it; reverse a stalled load.

    ``timeout`` bounds the transition, in seconds. With ``force`` the kernel is made to end a stalled
    transition, which may crash the kernel.
    """
    start = time.monotonic()
    moment = refusals.Moment(paths, module, running.uptime(paths))
    status, output = insert(paths, descriptor, module, progress)
    if status < 0 or status in (137, 139):
        # An oops in a module's init leaves the module "coming" for ever. Any other cause, such as a lack of
        # memory, kills insmod before the kernel has the module or after the module is live.
        stage = read_text(f"{paths.modules}/{module}/initstate", 16)
        if output or stage not in ("", "live"):
            why = output or "insmod was killed"
            return Outcome(
                "crashed", time.monotonic() - start, problem("load-crashed", module=module, why=why)
            )
        status, output = (0 if stage else status), "insmod was killed"
    if status != 0:
        return Outcome(
            "failed", time.monotonic() - start, refusals.refusal(moment, descriptor, status, output)
        )
    return settle(paths, module, build_id, timeout, progress, force, start)


def settle(
    paths: Paths,
    module: str,
    build_id: str,
    timeout: float,
    progress: Progress | None = None,
    force: bool = False,
    start: float | None = None,
) -> Outcome:
    """Wait for the transition of a module that is in the kernel, and verify the module; reverse a stall."""
    begin = time.monotonic() if start is None else start
    tick = _ticker(progress, f"live patch {module}: transition under way", timeout)
    over = _until(lambda: not _in_transition(paths, module), timeout, tick)
    forced = not over and force
    if forced:
        _write(f"{paths.klp}/{module}/force", "1")
        over = _until(lambda: not _in_transition(paths, module), REMOVE_TIMEOUT)
    if not over:
        late = tasks.in_the_way(paths, module)
        why = reverse(paths, module, timeout)
        identifier = "transition-stuck" if why else "transition-stalled"
        facts = {"module": module, "timeout": f"{timeout:.0f}", "why": why}
        found = problem(identifier, tasks=late, how=late.remedy, **facts)
        return Outcome("stalled", time.monotonic() - begin, found, late.tasks, forced)
    seconds = time.monotonic() - begin
    fault = verify(paths, module, build_id)
    if fault:
        found = problem("load-not-verified", module=module, why=fault)
        return Outcome("failed", seconds, found, forced=forced)
    return Outcome("done", seconds, forced=forced)


def await_others(paths: Paths, module: str, build_id: str, timeout: float) -> str:
    """Wait for the transition of a module that somebody else loads; return why it is not in force, or ""."""
    _until(lambda: not _in_transition(paths, module), timeout)
    return verify(paths, module, build_id)


def reverse(paths: Paths, module: str, timeout: float) -> str:
    """Undo a transition that is under way and remove the module; return why that did not work, or ""."""
    why = _write(f"{paths.klp}/{module}/enabled", "0")
    if why and os.path.isdir(f"{paths.klp}/{module}"):
        return why
    if not _until(lambda: not os.path.isdir(f"{paths.klp}/{module}"), max(timeout, REVERSE_TIMEOUT)):
        return "the reversal does not end either"
    return remove(paths, module)


def unload(paths: Paths, module: str, timeout: float, progress: Progress | None = None) -> Outcome:
    """Disable the live patch ``module`` and remove it.

    On a stall, enable the patch again, so that it stays.
    """
    start = time.monotonic()
    folder = f"{paths.klp}/{module}"
    tick = _ticker(progress, f"live patch {module}: being unloaded", timeout)
    if read_text(folder + "/enabled", 8) == "1":
        why = _write(folder + "/enabled", "0")
        if why:
            return Outcome("failed", 0.0, problem("unload-refused", module=module, why=why))
    if not _until(lambda: not os.path.isdir(folder), timeout, tick):
        late = tasks.in_the_way(paths, module)
        _write(folder + "/enabled", "1")
        _until(lambda: not _in_transition(paths, module), timeout)
        facts = {"module": module, "timeout": f"{timeout:.0f}"}
        found = problem("unload-stalled", tasks=late, how=late.remedy, **facts)
        return Outcome("stalled", time.monotonic() - start, found, late.tasks)
    why = remove(paths, module)
    seconds = time.monotonic() - start
    if why:
        return Outcome("failed", seconds, problem("module-stays", module=module, why=why))
    return Outcome("done", seconds)


def verify(paths: Paths, module: str, build_id: str) -> str:
    """Return why ``module`` is not in force as built with ``build_id`` ("" for unknown); "" when it is."""
    patch = livepatches.one(paths, module)
    if patch is None:
        return "the kernel does not list it"
    if not patch.enabled:
        return "it is disabled"
    if patch.transition:
        return "its transition has not ended"
    if build_id and patch.build_id != build_id:
        return f"the kernel has build id {patch.build_id or 'none'}, the package {build_id}"
    return ""


def all_in_force(paths: Paths, modules: Iterable[InstalledModule], build_ids: Mapping[str, str]) -> bool:
    """Return whether every one of ``modules`` is in force now, built with its id in ``build_ids``."""
    return all(not verify(paths, module.name, build_ids.get(module.name, "")) for module in modules)
