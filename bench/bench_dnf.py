# SPDX-License-Identifier: GPL-2.0-or-later
"""`dnf upgrade` with nothing to do: plugin on against plugin off, with 100 to 50,000 live patches.

Each size is measured twice. On most runs nothing has changed since dnf last ran, and the plugin remembers
its answer. The other row removes that memory before each run, as any change does, and the plugin looks at
everything. The host is the one of tests/dnf: real DNF, a real rpm database, a faked kernel release. The
repository has the `livepatch` record that livepatch-repo adds.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from typing import Any

import createrepo_c

from . import records

LIMITS = ((100, 1.10), (5000, 1.07), (50000, 1.05))
WARM = ("dnf", "-y", "--setopt=metadata_expire=-1", "upgrade")
FORGET = ("sh", "-c", 'rm -f /run/livepatch/dnf-*; exec "$@"', "sh", *WARM)


def _kernel(number: int) -> str:
    """The kernel of the live patch ``number``; ten builds are for one kernel, and no host runs it."""
    return f"5.14.0-{100 + number // 10}.el9.x86_64"


def _build(number: int) -> tuple[str, str, str]:
    return f"kpatch-patch-5_14_0-{100 + number // 10}", "1", f"{number % 10}.el9"


def _package(number: int) -> createrepo_c.Package:
    """The live patch ``number``."""
    version, release = _kernel(number).split("-")
    provides = [
        records.equal(*_build(number)),
        records.bare(f"livepatch(kernel-uname-r:{_kernel(number)})"),
        records.equal("kpatch-patch", version, release),
        *(records.bare(f"livepatch-cve(CVE-2024-{number:05})") for _ in range(3)),
    ]
    needs = records.equal("kernel-uname-r", version, release)
    package = records.package(number, _build(number), provides, [needs])
    package.size_package = package.size_installed = package.size_archive = 100000
    return package


def _advisory(number: int) -> createrepo_c.UpdateRecord:
    """The advisory of ten live patches, from ``number`` on."""
    builds = [_build(build) for build in range(number, number + 10)]
    return records.advisory(f"LIVEPATCH-{number}", builds, [f"CVE-2024-{number:05}"])


def _record(count: int) -> str:
    """The livepatch record as livepatch-repo writes it, with a note on each live patch."""
    notes: dict[str, Any] = {}
    for number in range(count):
        note = notes.setdefault(_kernel(number), {"support_end": "2027-11-01", "patches": {}})
        note["patches"]["-".join(_build(number)) + ".x86_64"] = {"issued": "2026-11-01T00:00:00Z"}
    return json.dumps({"schema": 1, "kernels": notes})


def _repository(folder: str, count: int) -> None:
    packages = [_package(number) for number in range(count)]
    records.repository(folder, packages, map(_advisory, range(0, count, 10)), _record(count))


INSIDE = """
import json, sys
from bench import pairs
name, limit, count, *words = sys.argv[1:]
one, other = pairs.command(words), pairs.command([*words, "--disableplugin=livepatch"])
print(json.dumps(pairs.measure(name, one, other, json.loads(limit), int(count))))
"""


def run(count: int) -> list[dict[str, Any]]:
    """Measure all sizes with ``count`` pairs each."""
    from tests.dnf.support import stock
    from tests.dnf.support.lab import Lab

    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        lab = Lab(os.path.join(folder, "lab"))
        lab.make(stock.ALL, stock.STATES, stock.BASE)
        rows = []
        for size, limit in LIMITS:
            state = f"patches-{size}"
            _repository(os.path.join(lab.states, state), size)
            host = lab.host()
            host.repos(base="first", patches=state)
            # From here on the host has its live patch in force, and there is nothing to do.
            answer = host.dnf("upgrade")
            if answer.code or not answer.new or "Nothing to do." not in host.dnf("upgrade").out:
                raise RuntimeError(answer.text)
            host.write("/root/inside.py", INSIDE)
            kinds = (("nothing changed", limit, WARM), ("first run after a change", None, FORGET))
            for kind, most, words in kinds:
                name = f"dnf upgrade, {size} patches, {kind}"
                argv = ["python3", "/root/inside.py", name, json.dumps(most), str(count), *words]
                # Only dnf is timed: the pairs are made inside the host.
                answer = host.sh(shlex.join(argv), timeout=3600)
                if answer.code:
                    raise RuntimeError(answer.text)
                rows.append(json.loads(answer.out))
            host.drop()
        return rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)
