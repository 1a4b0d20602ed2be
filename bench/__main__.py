# SPDX-License-Identifier: GPL-2.0-or-later
"""Run every benchmark of this folder: `python -m bench [--pairs N] [--results FILE] [NAME...]`."""

from __future__ import annotations

import argparse
import compileall
import importlib
import os
import sys

from . import pairs

NAMES = ("bench_dnf", "bench_exposure", "bench_runtime", "bench_publish", "bench_hostile")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the budgets.")
    parser.add_argument("--pairs", type=int, default=40, help="pairs of runs for each row (default 40)")
    parser.add_argument("--results", default=pairs.RESULTS, metavar="FILE", help="where the rows go")
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    options = parser.parse_args()
    # An RPM installs compiled modules; without these each start would spend its time compiling.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir("dnf_plugin_livepatch", quiet=1)
    rows = []
    for name in options.names:
        found = importlib.import_module(f"bench.{name}").run(options.pairs)
        # A later benchmark may fail, so each stores its rows at once.
        pairs.store(found, options.results)
        rows += found
    print("\n".join(pairs.table(rows)))
    return 0 if all(row["ok"] for row in rows) else 1


sys.exit(main())
