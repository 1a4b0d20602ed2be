# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzz the parsers of untrusted bytes, guided by coverage (atheris): `make fuzz`.

``python -m tests.fuzz [--runs N] [--record] [TARGET...]`` gives each target N inputs in a process of its
own, one after the other, and prints a line for each and the sum. An input that shows a fault is written into
tests/fuzz/corpus, from where the short run of the tests takes it. ``--record`` writes each target's row into
docs/evidence/verified-fuzz.md.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import sys
import tempfile
from typing import NoReturn

import atheris

# Only what is imported in here is instrumented, and atheris writes a line for each module.
with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["dnf_plugin_livepatch"]):
    from . import attempt
    from .target import FOLDER, Target, slug
    from .targets import TARGETS

from .evidence import record

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
FAULT = 77


def fuzz(name: str, target: Target, runs: int) -> NoReturn:
    """Give ``runs`` inputs to one target. Ends the process: 0, or FAULT at the first input with a fault."""
    folder = tempfile.mkdtemp(dir=FOLDER)
    for number, valid in enumerate((target.seed, *target.more)):
        with open(os.path.join(folder, str(number)), "wb") as file:
            file.write(valid)
    done = 0

    def test(data: bytes) -> None:
        nonlocal done
        done += 1
        why = attempt.fault(target, data)
        if why:
            title = f"{slug(name)}.{hashlib.sha256(data).hexdigest()[:12]}"
            with open(os.path.join(CORPUS, title), "wb") as file:
                file.write(data)
            print(f"FAULT {done} {why}", flush=True)
            os._exit(FAULT)
        if done >= runs:
            print(f"DONE {done}", flush=True)
            os._exit(0)

    atheris.Setup([sys.argv[0], "-runs=-1", "-max_len=65536", "-verbosity=0", folder], test)
    atheris.Fuzz()
    os._exit(FAULT)


def run(name: str, runs: int) -> tuple[int, float, str]:
    """One target in a process of its own: its inputs, the seconds of processor time, and its fault."""
    ours, its = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(its, 1)
        os.dup2(its, 2)
        fuzz(name, TARGETS[name], runs)
    os.close(its)
    with open(ours, encoding="utf-8", errors="replace") as answer:
        lines = answer.read().split("\n")
    _, status, usage = os.wait4(child, 0)
    told = next((line for line in reversed(lines) if line.startswith(("DONE ", "FAULT "))), "")
    words = told.split(" ", 2)
    fault = "" if status == 0 else words[2] if told else f"it ended with {status}: {lines[-5:]}"
    return int(words[1]) if told else 0, usage.ru_utime + usage.ru_stime, fault


def main() -> int:
    """Fuzz the targets that are named, or all; 1 when one showed a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=300_000, help="inputs for each target (default 300,000)")
    parser.add_argument("--record", action="store_true", help="write the evidence")
    parser.add_argument("names", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    total, faults = 0, 0
    for name in options.names or TARGETS:
        inputs, seconds, fault = run(name, max(1, options.runs // TARGETS[name].slow))
        total, faults = total + inputs, faults + bool(fault)
        print(f"{name:22} {inputs:9} inputs {seconds:7.1f} s{': ' if fault else ''}{fault}", flush=True)
        if options.record and not fault:
            files = [file.split(".") for file in os.listdir(CORPUS)]
            found = [file for file in files if file[0] == slug(name) and file[1] != "valid"]
            record(name, inputs, seconds, len(found))
    print(f"{total} inputs, {faults} targets with a fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
