# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzz the parsers of untrusted bytes, guided by coverage (atheris): `make fuzz`.

``python -m tests.fuzz [--runs N] [TARGET...]`` gives each target N inputs in a process of its own, and
prints a line for each and the sum. An input that shows a fault is written into tests/fuzz/corpus, from
where the short run of the tests takes it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
FAULT = 77


def one(name: str, runs: int, folder: str) -> None:
    """Give ``runs`` inputs to one target. Ends the process: 0, or FAULT at the first input with a fault."""
    import atheris

    with atheris.instrument_imports(include=["dnf_plugin_livepatch"]):
        from tests.fuzz import attempt
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    with open(os.path.join(folder, "seed"), "wb") as file:
        file.write(target.seed)
    done = 0

    def test(data: bytes) -> None:
        nonlocal done
        done += 1
        why = attempt.fault(target, data)
        if why:
            title = f"{name.replace(' ', '-')}.{hashlib.sha256(data).hexdigest()[:12]}"
            with open(os.path.join(CORPUS, title), "wb") as file:
                file.write(data)
            print(f"FAULT {done} {why}", flush=True)
            os._exit(FAULT)
        if done >= runs:
            print(f"DONE {done}", flush=True)
            os._exit(0)

    atheris.Setup([sys.argv[0], "-runs=-1", "-max_len=65536", "-verbosity=0", folder], test)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets that are named, or all; 1 when one showed a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=300_000, help="inputs for each target (default 300,000)")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory() as folder:
            one(options.names[0], options.runs, folder)
    from tests.fuzz.targets import TARGETS

    total, faults = 0, 0
    for name in options.names or TARGETS:
        start = time.monotonic()
        argv = [sys.executable, "-m", "tests.fuzz", "--one", "--runs", str(options.runs), name]
        run = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = run.stdout.decode("utf-8", "replace").split("\n")
        told = next((line for line in reversed(lines) if line.startswith(("DONE ", "FAULT "))), "")
        words = told.split(" ", 2)
        count = int(words[1]) if told else 0
        total, faults = total + count, faults + (run.returncode != 0)
        end = "" if run.returncode == 0 else f": {words[2] if told else lines[-2:]}"
        print(f"{name:20} {count:9} inputs {time.monotonic() - start:6.0f} s{end}", flush=True)
    print(f"{total} inputs, {faults} targets with a fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
