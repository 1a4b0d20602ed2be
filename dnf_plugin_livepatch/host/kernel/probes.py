# SPDX-License-Identifier: GPL-2.0-or-later
"""The other users of a kernel function (kprobes, fprobes, BPF programs, tracers), and ftrace's redirections.

The sources are debugfs' kprobes/list and tracefs' kprobe_events and enabled_functions, as far as they can be
read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from ...base.model import LoadedPatch, Manifest, Problem
from ...base.paths import Paths
from ...messages.catalogue import problem
from ..read import read_bytes
from . import livepatches

MAX_BYTES = 8 << 20
_TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
# "ffffffff9d2b4a50  k  cmdline_proc_show+0x0    [FTRACE]"
_KPROBE = re.compile(r"^[0-9a-f]+\s+([a-z])\s+(\S+?)\+0x([0-9a-f]{1,8})(\s.*)?$")
# "p:kprobes/watch cmdline_proc_show+4 arg=%di"
_EVENT = re.compile(r"^[pr]\d*:(\S+) (?:\S+:)?(\w[\w.]*)(?:\+(\d{1,8}))?(?:\s|$)")
# "cmdline_proc_show (2) R   D   tramp: … direct-->bpf_trampoline_6442491234+0x0/0x79"
_TRACED = re.compile(r"^(\S+)(?: \[\w+\])? \((\d+)\)([^:]*)")
_HANDLER = re.compile(r"[\w.]*(?:bpf_trampoline|fprobe)[\w.]*")


def on_functions(paths: Paths, patch: Manifest | LoadedPatch) -> list[Problem]:
    """Return a warning for each function of ``patch`` that somebody else probes or traces now."""
    names: set[str] = {function.name for function in patch.functions}
    probes: dict[str, str] = {}
    for name, probe in _kprobes(paths):
        if name in names:
            probes.setdefault(name, probe)
    for name, users, flags, line in _traced(paths):
        # "I" alone is the live patch itself. One more user, or a direct call (BPF, fprobe), is somebody
        # else.
        if name in names and (users > 1 or "I" not in flags or "D" in flags):
            probes.setdefault(name, _tracer(line))
    return [problem("function-probed", function=name, probe=probe) for name, probe in probes.items()]


def _kprobes(paths: Paths) -> Iterator[tuple[str, str]]:
    """Yield function and description of every kprobe, with the probe's name where it has one."""
    events: dict[tuple[str, int], str] = {}
    for match in map(_EVENT.match, _lines(paths, _TRACEFS, "kprobe_events")):
        if match:
            name, offset = match.group(2), int(match.group(3) or 0)
            events[name, offset] = match.group(1)
            if offset == 0:
                # With IBT the kernel moves a probe of a function's entry behind the ENDBR instruction.
                events.setdefault((name, 4), match.group(1))
    for match in map(_KPROBE.match, _lines(paths, ("/sys/kernel/debug",), "kprobes/list")):
        if match:
            kind, name, place, rest = match.groups()
            words = [
                "kretprobe" if kind == "r" else "kprobe",
                events.get((name, int(place, 16)), ""),
                f"at {name}+0x{place}",
                *(rest or "").split(),
            ]
            yield name, " ".join(word for word in words if word)[:200]


def _tracer(line: str) -> str:
    """Return a description of the user in ``line`` of enabled_functions."""
    handler = _HANDLER.search(line)
    kind = "ftrace" if handler is None else "BPF" if "bpf_" in handler.group() else "fprobe"
    return f"{kind}: {line}"


def _lines(paths: Paths, folders: tuple[str, ...], name: str) -> list[str]:
    """Return the lines of the first of these files that is not empty."""
    for folder in folders:
        data = read_bytes(paths.at(f"{folder}/{name}"), MAX_BYTES)
        if data:
            return data.decode("utf-8", "replace").split("\n")
    return []


def _traced(paths: Paths) -> list[tuple[str, int, str, str]]:
    rows = []
    for line in _lines(paths, _TRACEFS, "enabled_functions"):
        match = _TRACED.match(line)
        if match:
            flags = match.group(3).partition("tramp")[0]
            rows.append((match.group(1), int(match.group(2)[:6]), flags, " ".join(line.split())[:200]))
    return rows


def redirected(paths: Paths) -> set[str] | None:
    """Return the functions that ftrace redirects to a live patch now.

    The result is None where tracefs cannot be read, or where its file is too long to be read whole.
    """
    if not any(os.access(paths.at(folder + "/enabled_functions"), os.R_OK) for folder in _TRACEFS):
        return None
    rows = _traced(paths)
    if sum(len(line) for _, _, _, line in rows) > MAX_BYTES // 2:
        return None
    return {name for name, _, flags, _ in rows if "I" in flags}


def not_redirected(paths: Paths, modules: Sequence[str]) -> list[str]:
    """Return the functions of ``modules`` that sysfs shows as patched and ftrace does not redirect.

    Each is OBJECT/FUNCTION. The list is empty where ``redirected`` is None.
    """
    seen = redirected(paths)
    if seen is None:
        return []
    return [
        f"{function.object}/{function.name}"
        for patch in livepatches.read(paths)
        for function in patch.functions
        if patch.module in modules and function.object in patch.patched_objects and function.name not in seen
    ]
