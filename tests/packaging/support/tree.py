# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's own files, for the tests that look at them."""

import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def tracked():
    """Paths relative to the top of every file in git that exists, sorted; links left out."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True)
    names = sorted(set(os.fsdecode(listing.stdout).split("\0")) - {""})
    full = [(name, os.path.join(TOP, name)) for name in names]
    return [name for name, path in full if os.path.isfile(path) and not os.path.islink(path)]


def read(name):
    """The text of a file; bytes that are no UTF-8 are replaced."""
    with open(os.path.join(TOP, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def is_python(name):
    """A Python file, by its name or by its first line."""
    return name.endswith(".py") or ("." not in os.path.basename(name) and "python" in _first_line(name))


def is_shell(name):
    """A shell script, by its name or by its first line; bash completions count."""
    first = _first_line(name)
    return (
        name.endswith(".sh")
        or name.startswith("completion/")
        or (first.startswith("#!") and first.split("/")[-1].split()[-1] in ("sh", "bash", "dash"))
    )


def _first_line(name):
    with open(os.path.join(TOP, name), "rb") as file:
        return file.readline(200).decode("utf-8", "replace").strip()


def run(*argv, **options):
    """Run a program at the top; its output is in the result, its failure is the caller's to judge."""
    return subprocess.run(
        argv, cwd=TOP, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
    )
