# SPDX-License-Identifier: GPL-2.0-or-later
"""Pairs of runs, interleaved, so that other work of the machine slows both sides alike.

A ratio is the median of the ratios within pairs; the order within a pair alternates. CPU is user and
system time of the command and all its children.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Callable

from dnf_plugin_livepatch.base import times

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results.json")
#: The pairs that a run of some milliseconds needs for a steady median.
SHORT = 30
Command = Callable[[], None]


def command(argv: Sequence[str], good: Sequence[int] = (0,), **kwargs: Any) -> Command:
    """A side of a pair that runs ``argv``, and raises when the exit status is not ``good``."""

    def run() -> None:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, **kwargs)
        if done.returncode not in good:
            raise RuntimeError(f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}")

    return run


def _once(run: Command) -> tuple[float, float]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def peak(argv: Sequence[str], good: Sequence[int] = (0, 1, 3), **kwargs: Any) -> int:
    """The peak resident memory of a run of ``argv`` in MiB; of its child, if that had more."""
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=2).returncode;"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done)"
    )
    done = subprocess.run([sys.executable, "-c", code, *argv], check=False, capture_output=True, **kwargs)
    if done.returncode not in good:
        raise RuntimeError(f"{argv}: exit {done.returncode}\n{done.stderr!r}")
    return int(done.stdout) // 1024


def measure(
    name: str,
    one: Command,
    other: Command,
    limit: float | None,
    count: int,
    by: str = "cpu",
    warm: bool = True,
) -> dict[str, Any]:
    """A row: ``one`` against ``other`` in ``count`` pairs; ``by`` is what the limit counts, cpu or wall.

    A row without a limit is always ok. ``load`` is the machine's load average, before and after. Each side
    runs once before the pairs if ``warm``.
    """
    samples: list[tuple[tuple[float, float], tuple[float, float]]] = []
    load = os.getloadavg()[0]
    if warm:
        _once(one)
        _once(other)
    for number in range(count):
        if number % 2:
            second = _once(other)
            samples.append((_once(one), second))
        else:
            first = _once(one)
            samples.append((first, _once(other)))
    row: dict[str, Any] = {"name": name, "pairs": count, "limit": limit, "by": by}
    row["load"] = [round(load, 1), round(os.getloadavg()[0], 1)]
    for index, kind in enumerate(("cpu", "wall")):
        ratios = sorted(mine[index] / theirs[index] for mine, theirs in samples)
        row[kind] = {
            "ratio": round(statistics.median(ratios), 4),
            "quartiles": [round(ratios[len(ratios) * part // 4], 4) for part in (1, 3)],
            "seconds": [
                round(statistics.median(sample[side][index] for sample in samples), 4) for side in (0, 1)
            ],
        }
    row["ok"] = limit is None or row[by]["ratio"] <= limit
    return row


def store(rows: Iterable[dict[str, Any]], path: str = RESULTS) -> None:
    """Put ``rows`` into the file ``path``; each replaces an earlier row of its name."""
    try:
        with open(path, encoding="utf-8") as file:
            kept = {row["name"]: row for row in json.load(file)["rows"]}
    except FileNotFoundError:
        kept = {}
    kept.update({row["name"]: row for row in rows})
    data = {
        "schema": 1,
        "date": times.now(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "rows": list(kept.values()),
    }
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(json.dumps(data, indent=1) + "\n")
    os.replace(path + ".new", path)


def _memory(row: dict[str, Any]) -> str:
    """The peak resident memory of both sides, as the end of a line; "" where it was not measured."""
    if "peak_mib" not in row:
        return ""
    verdict = ""
    if "peak_limit" in row:
        most = row["peak_limit"] * row["peak_mib"][1]
        verdict = " ok" if row["peak_mib"][0] <= most else " TOO MUCH"
    return ", peak {} / {} MiB".format(*row["peak_mib"]) + verdict


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows as lines, below lines that explain the rows."""
    lines = [
        "Ratios: one side / the other, the median of interleaved pairs, its quartiles in parentheses.",
        "'nothing changed': repositories, packages and kernel are as the last dnf run left them.",
        "'first run after a change': everything is read anew; the budget has no limit for it.",
        "'plain dnf': without the project's plugin, which is not even imported.",
        f"{'':56} {'limit':>5} {'CPU':>6} {'(quartiles)':>13} {'wall':>6} {'CPU ms':>13}",
    ]
    for row in rows:
        low, high = row["cpu"]["quartiles"]
        mine, theirs = (1000 * seconds for seconds in row["cpu"]["seconds"])
        limit = "none" if row["limit"] is None else f"{row['limit']:.2f}"
        verdict = (
            "" if row["limit"] is None else " ok" if row[row["by"]]["ratio"] <= row["limit"] else " TOO SLOW"
        )
        lines.append(
            f"{row['name'][:56]:56} {limit:>5} {row['cpu']['ratio']:6.3f} ({low:5.3f}-{high:5.3f}) "
            f"{row['wall']['ratio']:6.3f} {mine:5.0f} / {theirs:4.0f}{verdict}{_memory(row)}"
        )
    return lines
