# SPDX-License-Identifier: GPL-2.0-or-later
"""The other users of a kernel function (kprobes, fprobes, BPF programs, tracers), and ftrace's redirections.

The sources are debugfs' kprobes/list and tracefs' kprobe_events and enabled_functions, as far as they can be
read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from ...base.model import Function, LoadedPatch, Manifest, Problem
from ...base.paths import Paths
from ...messages.catalogue import problem
from ..read import read_bytes
from . import livepatches, symbols

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
    users = list(_kprobes(paths))
    # "I" alone is the live patch itself. One more user, or a direct call (BPF, fprobe), is somebody else.
    users += [
        (name, _tracer(line))
        for name, number, flags, line in _traced(paths)
        if number > 1 or "I" not in flags or "D" in flags
    ]
    if not users:
        return []
    names = {function.name: function.name for function in patch.functions}
    if any(name not in names for name, _ in users):
        # The user may be listed under another name of the function.
        for function, others in symbols.same_place(paths, patch.functions).items():
            names.update({other: names.get(other, function.name) for other in others})
    probes: dict[str, str] = {}
    for name, user in users:
        if name in names:
            probes.setdefault(names[name], user)
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
    """Return the functions that ftrace redirects to a live patch now, by the names that ftrace prints.

    The result is None where tracefs cannot be read, or where its file is too long to be read whole.
    """
    if not any(os.access(paths.at(folder + "/enabled_functions"), os.R_OK) for folder in _TRACEFS):
        return None
    rows = _traced(paths)
    if sum(len(line) for _, _, _, line in rows) > MAX_BYTES // 2:
        return None
    return {name for name, _, flags, _ in rows if "I" in flags}


def redirections(paths: Paths, functions: Iterable[Function]) -> dict[Function, bool | None] | None:
    """Return for each of ``functions`` whether ftrace redirects it to a live patch, None where not known.

    A function may have several names, of which ftrace prints one: a function whose own name ftrace does not
    print is compared by its address. The result is None where ``redirected`` is.
    """
    wanted = list(functions)
    seen = redirected(paths)
    if seen is None:
        return None
    found: dict[Function, bool | None] = {function: True for function in wanted if function.name in seen}
    rest = [function for function in wanted if function not in found]
    names = symbols.same_place(paths, rest) if rest else {}
    printed = {name for name, _, _, _ in _traced(paths)} if rest else set()
    for one in rest:
        unknown = False if one.name in printed else None
        found[one] = bool(seen & names[one]) if one in names else unknown
    return found


def not_redirected(paths: Paths, modules: Sequence[str]) -> list[str]:
    """Return the functions of ``modules`` that sysfs shows as patched and ftrace does not redirect.

    Each is OBJECT/FUNCTION. A function of which ftrace or the list of symbols tells nothing is left out.
    """
    patched = [
        function
        for patch in livepatches.read(paths)
        for function in patch.functions
        if patch.module in modules and function.object in patch.patched_objects
    ]
    told = redirections(paths, patched) or {}
    return [f"{one.object}/{one.name}" for one in patched if told.get(one) is False]
