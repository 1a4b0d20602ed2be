# SPDX-License-Identifier: GPL-2.0-or-later
"""`dnf upgrade` with a hostile repository beside an honest one, against the honest one alone.

Each row is one shape of hostile metadata. The owner of the host has named both repositories in ``repos =``,
so that nothing is passed over for want of trust, and the plugin's memory of its last answer is removed
before each run. CPU and peak memory have limits of their own. The host is the one of tests/dnf.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from typing import Any, Callable

from . import records

CPU, MEMORY = 1.5, 1.2
KERNEL = ("kernel-core", "5.14.0")
PATCH = "kpatch-patch-5_14_0-10"
RUNNING = "5.14.0-10.el9.x86_64"
DNF = ("dnf", "--assumeno", "--setopt=metadata_expire=-1", "upgrade")
FORGET = 'rm -f /run/livepatch/dnf-* /run/livepatch/converged.json; exec "$@"'


def _patch(number: int, version: str = "9", cves: Iterable[str] = ()) -> records.createrepo_c.Package:
    """The live patch ``number`` for the running kernel, which requires what nobody has."""
    provides = [
        records.equal(PATCH, version, f"{number}.el9"),
        records.bare(f"livepatch(kernel-uname-r:{RUNNING})"),
        records.equal("kpatch-patch", *RUNNING.split("-")),
        *(records.bare(f"livepatch-cve({cve})") for cve in cves),
    ]
    return records.package(number, (PATCH, version, f"{number}.el9"), provides, [records.bare("nobody-has")])


def _cves(count: int, start: int = 10000) -> list[str]:
    return [f"CVE-2025-{start + number}" for number in range(count)]


def _build(number: int) -> tuple[str, str, str]:
    return PATCH, "9", f"{number}.el9"


def _away(count: int) -> dict[str, Any]:
    """Notes that withdraw ``count`` patches."""
    told = {"withdrawn": {"since": "2026-01-01T00:00:00Z", "reason": "r" * 900}}
    return {f"{PATCH}-9-{number}.el9.x86_64": told for number in range(count)}


def _slow(count: int) -> dict[str, Any]:
    """Notes that offer ``count`` patches in five steps."""
    steps = [{"since": f"2030-01-0{day}T00:00:00Z", "percent": day} for day in range(1, 6)]
    return {f"{PATCH}-9-{number}.el9.x86_64": {"rollout": steps} for number in range(count)}


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-19", "-qc"], input=data, check=True, stdout=subprocess.PIPE).stdout


_SPACES = b" " * (512 << 20)
_UNIT = f'{{"schema":1,"kernels":{{"{RUNNING}":'


def _record(rest: str) -> bytes:
    """A packed record whose note on the running kernel is ``rest``."""
    return gzip.compress((_UNIT + rest + "}}").encode())


#: Shape -> the ``livepatch`` record, packed.
RECORDS: dict[str, Callable[[], bytes]] = {
    "a record of 30 KiB, 30 MiB deep": lambda: gzip.compress(_UNIT.encode() + b"[" * (30 << 20)),
    "a record of 30 KiB, 10 million objects": lambda: _record("[" + "{}," * (10 << 20) + "{}]"),
    "a record of 1 KiB, 900 deep": lambda: _record("[" + ("[" * 900 + "]" * 900 + ",") * 110 + "0]"),
    "a record of 4 MiB, one astral sign": lambda: _record('{"x":"\U0001f600' + "a" * (4 << 20) + '"}'),
    "a record of 160,000 texts": lambda: _record(json.dumps({"x": [f"{n:020x}" for n in range(160_000)]})),
    "a record of 90,000 keys": lambda: _record(json.dumps({"x": [{f"{n:x}": 0} for n in range(90_000)]})),
    "a record of 19,000 kernels": lambda: gzip.compress(
        json.dumps({"schema": 1, "kernels": {f"5.14.0-{n}.el9.x86_64": {} for n in range(19_000)}}).encode()
    ),
    "a record of 4,000 withdrawals": lambda: _record(json.dumps({"patches": _away(4000)})),
    "a record of 4,000 roll-outs": lambda: _record(json.dumps({"patches": _slow(4000)})),
    "a record of 4,000 CVEs not to be fixed": lambda: _record(
        json.dumps({"unfixable": [{"cve": cve, "reason": "r" * 900} for cve in _cves(4000)]})
    ),
    "512 MiB of spaces in gzip": lambda: gzip.compress(_SPACES, 9),
    "512 MiB of spaces in bzip2": lambda: bz2.compress(_SPACES),
    "512 MiB of spaces in xz": lambda: lzma.compress(_SPACES),
    "512 MiB of spaces in zstd": lambda: _zstd(_SPACES),
}


def _one_id(count: int) -> Iterable[records.createrepo_c.UpdateRecord]:
    """Advisories of one id, each for another build of the kernel."""
    for number in range(count):
        yield records.advisory("A", [(*KERNEL, f"{100 + number}.el9")], _cves(1, 10000 + number))


#: Shape -> packages and advisories.
METADATA: dict[str, Callable[[], tuple[list[Any], Iterable[Any]]]] = {
    "6,000 advisories of one id, 36 KiB": lambda: ([], _one_id(6000)),
    "an advisory of 4,000 builds of a live patch": lambda: (
        [_patch(1)],
        [records.advisory("A", [(PATCH, "9", f"{number}.el9") for number in range(4000)], _cves(3))],
    ),
    "an advisory of 20,000 CVEs": lambda: ([_patch(1)], [records.advisory("A", [_build(1)], _cves(20_000))]),
    "a kernel advisory of 20,000 CVEs": lambda: (
        [],
        [records.advisory("A", [(*KERNEL, "90.el9")], _cves(20_000))],
    ),
    "a live patch that declares 20,000 CVEs": lambda: ([_patch(1, cves=_cves(20_000))], []),
    "300 live patches, versions of 10,000 signs": lambda: (
        [_patch(number, f"9.{number}" + ".1" * 5000) for number in range(300)],
        [],
    ),
    "300 kernels, versions of 10,000 signs": lambda: (
        [],
        [
            records.advisory(f"A{n}", [(*KERNEL, f"{n}" + ".1" * 5000)], _cves(1, n))
            for n in range(1000, 1300)
        ],
    ),
    "2,000 live patches": lambda: ([_patch(number) for number in range(2000)], []),
}


#: Shapes of a repository that is not trusted: its advisories are read for the alarm that they add.
STRANGE = (
    "6,000 advisories of one id, 36 KiB",
    "an advisory of 20,000 CVEs",
    "a kernel advisory of 20,000 CVEs",
    "300 kernels, versions of 10,000 signs",
)

INSIDE = """
import json, os, subprocess, sys
from bench import pairs
name, limit, most, count, *words = sys.argv[1:]
sides = [[*words, "--setopt=reposdir=/root/" + side] for side in ("with", "alone")]
row = pairs.measure(name, *(pairs.command(side, good=(0, 1)) for side in sides), float(limit), int(count))
row["peak_mib"] = [pairs.peak(side) for side in sides]
row["peak_limit"] = float(most)
row["ok"] = row["ok"] and row["peak_mib"][0] <= float(most) * row["peak_mib"][1]
print(json.dumps(row))
"""


def _repository(folder: str, shape: str) -> None:
    packages, advisories = METADATA[shape]() if shape in METADATA else ([_patch(1)], [])
    record = RECORDS[shape]() if shape in RECORDS else b""
    records.repository(folder, packages, advisories, packed=record)


def run(count: int) -> list[dict[str, Any]]:
    """Measure each shape with ``count`` pairs."""
    from tests.dnf.support import stock
    from tests.dnf.support.lab import Lab

    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        lab = Lab(os.path.join(folder, "lab"))
        lab.make(stock.ALL, stock.STATES, stock.BASE)
        rows = []
        for number, shape in enumerate((*RECORDS, *METADATA)):
            _repository(os.path.join(lab.states, f"hostile-{number}"), shape)
            host = lab.host()
            # The record and the packages of a repository that is not trusted are passed over.
            host.conf("repos = base\n" if shape in STRANGE else "repos = base, hostile\n")
            for side, states in (("alone", {}), ("with", {"hostile": f"hostile-{number}"})):
                host.repos(base="first", **states)
                answer = host.sh(f"mkdir /root/{side} && cp /etc/yum.repos.d/lab.repo /root/{side}/")
                if answer.code:
                    raise RuntimeError(answer.text)
            host.write("/root/inside.py", INSIDE)
            argv = ["python3", "/root/inside.py", f"dnf beside {shape}", str(CPU), str(MEMORY), str(count)]
            answer = host.sh(shlex.join([*argv, "sh", "-c", FORGET, "sh", *DNF]), timeout=3600)
            if answer.code:
                raise RuntimeError(answer.text)
            rows.append(json.loads(answer.out))
            host.drop()
        return rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)
