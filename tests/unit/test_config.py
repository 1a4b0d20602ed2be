# SPDX-License-Identifier: GPL-2.0-or-later
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import config


def test_missing_file_is_the_defaults(tmp_path):
    assert config.read(str(tmp_path / "none.conf")) == (config.Config(), ())


def test_every_key_is_read():
    text = """[main]
enabled = 0
mode = install-only
when = always
kernels = running
repos = updates, livepatch
on_failure = warn
transition_timeout = 2m
settle_time = 1h
min_age = 3d
cutoff = 2026-11-01
health_check = /usr/bin/true
  /usr/bin/test -e /etc/ready
health_check_timeout = 5
on_withdrawn = revert
kernel_update = hold-when-covered
hold_below = Important
eol_warn_days = 30
cache_max_age = 1w
"""
    read, faults = config.parse(text)
    assert faults == ()
    assert read == config.Config(
        enabled=False,
        mode="install-only",
        when="always",
        kernels="running",
        repos=("updates", "livepatch"),
        on_failure="warn",
        transition_timeout=120,
        settle_time=3600,
        min_age=3 * 86400,
        cutoff="2026-11-01",
        health_check=("/usr/bin/true", "/usr/bin/test -e /etc/ready"),
        health_check_timeout=5,
        on_withdrawn="revert",
        kernel_update="hold-when-covered",
        hold_below="Important",
        eol_warn_days=30,
        cache_max_age=7 * 86400,
    )
    assert set(config._KEYS) == set(config.Config._fields)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("mode = laod", "mode: 'laod' is none of: load, install-only, report; 'load' is used"),
        ("transition_timeout = soon", "is no duration"),
        ("eol_warn_days = -1", "is no whole number"),
        ("cutoff = yesterday", "is no date"),
        ("enabled = maybe", "is neither 1 nor 0"),
        ("colour = red", "'colour' is no key of livepatch.conf"),
        ("just words", "no ="),
        ("# a comment is none", ""),
    ],
)
def test_a_bad_line_is_named_and_the_default_kept(line, fault):
    read, faults = config.parse(f"[main]\n{line}\n")
    assert read == config.Config()
    assert (fault in faults[0]) if fault else faults == ()


def test_a_value_keeps_its_hash_as_libdnf_reads_it():
    read, _ = config.parse("[main]\nrepos = a#b\n")
    assert read.repos == ("a#b",)


def test_another_section_and_no_section_are_faults():
    _, faults = config.parse("mode = load\n[other]\nmode = report\n")
    assert len(faults) == 2


def test_an_oversized_or_unreadable_file_is_the_defaults(tmp_path):
    large = tmp_path / "large.conf"
    large.write_bytes(b"[main]\n" + b"#" * config.MAX_BYTES)
    read, faults = config.read(str(large))
    assert read == config.Config() and "larger than" in faults[0]
    read, faults = config.read(str(tmp_path))
    assert read == config.Config() and os.strerror(21) in faults[0]


@given(st.text())
def test_no_text_raises(text):
    read, faults = config.parse(text)
    assert isinstance(read, config.Config) and all(isinstance(fault, str) for fault in faults)


@given(st.integers(0, 10**6), st.sampled_from(sorted(config._UNITS)))
def test_durations(number, unit):
    assert config.duration(f"{number}{unit}") == number * config._UNITS[unit]
