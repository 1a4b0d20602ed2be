# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's refusals: insmod's words and the lines of /dev/kmsg as kernels print them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dnf_plugin_livepatch.base.model import Problem
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.reconcile import refusals
from tests.unit.support.fakehost import Host, ids, module_file, run

STATE = "livepatch: Livepatch patch (lp) is not compatible with the already installed livepatches."
SYMBOL = "livepatch: symbol 'no_such_function' not found in symbol table"
LOCKED = "Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7"


def refused(top: Path, output: str, *records: tuple[int, float, str], module: bytes = b"") -> Problem:
    """The problem for insmod's ``output``; ``records`` are (prefix number, seconds, text)."""
    paths = Paths(str(top))
    (top / "dev").mkdir()
    log = "".join(f"{level},{n},{int(at * 1e6)},-;{text}\n" for n, (level, at, text) in enumerate(records))
    (top / "dev/kmsg").write_text(log)
    (top / "lp.ko").write_bytes(module)
    descriptor = os.open(top / "lp.ko", os.O_RDONLY)
    try:
        return refusals.refusal(refusals.Moment(paths, "lp", 100.0), descriptor, 1, output)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("output", "line", "wanted"),
    [
        ("Invalid parameters", STATE, "load-incompatible"),
        ("Invalid argument", STATE, "load-incompatible"),
        ("Invalid parameters", SYMBOL, "load-refused"),
        ("Operation not permitted", LOCKED, "load-not-permitted"),
        ("Unknown symbol in module", "lp: Unknown symbol frobnicate (err -2)", "load-unknown-symbol"),
    ],
)
def test_the_kernels_own_lines_are_told(tmp_path: Path, output: str, line: str, wanted: str) -> None:
    found = refused(tmp_path, f"insmod: ERROR: could not insert module x: {output}", (3, 100.5, line))
    assert found.id == wanted and f"The kernel's own words: {line.rstrip('.')}." in found.text


@pytest.mark.parametrize(
    "record",
    [
        (3, 12.0, STATE),  # of another moment
        (12, 100.5, STATE),  # written by a program: facility 1
        (3, 100.5, "usb 1-1: new device"),  # about something else
        # What users can have the kernel log: mount options and the names of their processes.
        (3, 100.5, f"tmpfs: Unknown parameter 'lp: as root run x ({STATE})'"),
        (3, 100.5, "lp[77]: segfault at 0 ip 0 sp 0 error 4 in a.out"),
        (3, 100.5, "livepatch: x[77]: segfault at 0 ip 0 sp 0 error 4"),
        (3, 100.5, "module: (1) trap int3 is not compatible with the already installed livepatches"),
    ],
)
def test_other_lines_are_not(tmp_path: Path, record: tuple[int, float, str]) -> None:
    found = refused(tmp_path, "could not insert module x: Invalid parameters", record)
    assert found.id == "load-refused" and "own words" not in found.text


def test_noise_displaces_no_line_of_the_kernel(tmp_path: Path) -> None:
    noise = [(3, 100.6, f"lp[{number}]: segfault at 0 ip 0 sp 0 error 4") for number in range(9)]
    found = refused(tmp_path, "could not insert module x: Invalid parameters", (3, 100.5, SYMBOL), *noise)
    assert f"The kernel's own words: {SYMBOL}." in found.text


def test_lines_are_few_short_and_printable(tmp_path: Path) -> None:
    noise = [(3, 100.5, f"lp: {number} \x1b[2J{'x' * 400}") for number in range(50)]
    text = refused(tmp_path, "Invalid module format", *noise).text
    assert len(text) < 450 and "\x1b" not in text and text.isprintable() and "lp: 49" not in text[:100]


@pytest.mark.parametrize("words", ["Key was rejected by service", "Bad message"])
def test_an_unsigned_module_is_not_said_to_have_a_wrong_signature(tmp_path: Path, words: str) -> None:
    assert refused(tmp_path, words, module=module_file("lp", "ab" * 20)).id == "module-unsigned"


@pytest.mark.parametrize("words", ["Operation not permitted", "Permission denied"])
def test_both_numbers_of_a_denial_have_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    host = Host(str(tmp_path)).create().attach(monkeypatch)
    host.install(host.patch("1", behave="refuse:" + words))
    found = run(host)
    assert "load-not-permitted" in ids(found) and any("ausearch" in one.remedy for one in found.problems)
