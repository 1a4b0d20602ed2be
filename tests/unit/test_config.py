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
    ("line", "used", "fault"),
    [
        (
            "mode = laod",
            {"mode": "report"},
            "'laod' is none of: load, install-only, report; 'report' is used",
        ),
        ("when = securty", {"when": "named"}, "; 'named' is used"),
        ("kernels = all", {"kernels": "running"}, "; 'running' is used"),
        ("cutoff = yesterday", {"mode": "report"}, "is no date such as 2026-11-22; mode = report is used"),
        ("min_age = 3 days", {"mode": "report"}, "is no duration"),
        ("enabled = maybe", {"mode": "report"}, "is neither 1 nor 0; mode = report is used"),
        ("transition_timeout = soon", {}, "is no duration"),
        ("eol_warn_days = -1", {}, "is no whole number"),
        ("colour = red", {}, "'colour' is no key of livepatch.conf"),
        ("just words", {}, "no ="),
        ("# a comment is none", {}, ""),
        ("mode = load # for now", {}, "'load' is used"),
        ("mode = report ; quiet", {"mode": "report"}, "is none of"),
        ("enabled = 0 # until Monday", {"enabled": False}, "False is used"),
    ],
)
def test_a_bad_line_is_named_and_makes_the_host_do_no_more(line, used, fault):
    read, faults = config.parse(f"[main]\n{line}\n")
    assert read == config.Config()._replace(**used)
    assert (fault in faults[0]) if fault else faults == ()


CAREFUL = {"enabled": False, "mode": "report"}


@pytest.mark.parametrize(
    ("data", "used", "faults"),
    [
        (b"\xef\xbb\xbf[main]\nenabled = 0\nmode = report\n", CAREFUL, 0),
        ("\ufeff[main]\r\nenabled = 0\r\nmode = report\r\n".encode("utf-16"), CAREFUL, 0),
        ("[main]\nenabled = 0\nmode = report\n".encode("utf-16-le"), CAREFUL, 0),
        (b"[main]\renabled = 0\rmode = report\r", CAREFUL, 0),
        (b"[main] # ours\nenabled = 0\nmode = report\n", CAREFUL, 0),
        (b"[main\nenabled = 0\nmode = report\n", CAREFUL, 0),
        (b"enabled = 0\nmode = report\n", CAREFUL, 2),
        (b"[Main]\nenabled = 0\nmode = report\n", CAREFUL, 2),
        (b"[livepatch]\nenabled = 0\nmode = report\n", CAREFUL, 2),
        (b"[main]\nEnabled = 0\nMODE = report\n", CAREFUL, 2),
        (b"[main]\nenabled: 0\nmode report\n", CAREFUL, 2),
        (b"[main]\nwhen = always\n  enabled = 0\n\tmode = report\n", {**CAREFUL, "when": "always"}, 3),
        (b"[main]\nenabled = 0\nmode = report\nmode = load\nenabled = 1\n", CAREFUL, 2),
        (b"mode = load\n[main]\nmode = install-only\n", {"mode": "install-only"}, 1),
        (b"[main]\n# f\xfcr sp\xe4ter\nmode = report\n", {"mode": "report"}, 0),
        (b"min_age = 7d\n[main]\nmin_age = 1d\n", {"min_age": 7 * 86400}, 1),
        (b"cutoff = 2026-01-01\n", {"cutoff": "2026-01-01"}, 1),
        (b"[main]\nrepos = a\nrepos = b\n", {"repos": ("a",), "mode": "report"}, 1),
        (b"[Main]\nrepos = a\n", {"repos": ("a",), "mode": "report"}, 1),
        (b"[main]\nhealth_check = /a\nhealth_check = /b\n", {"health_check": ("/a", "/b")}, 1),
        (b"[x]\ntransition_timeout = 5m\n", {}, 1),
        (b"[main] enabled = 0\n", {"enabled": False}, 1),
        (b"[main]; ours\nenabled = 0\n", {"enabled": False}, 0),
        (b"[main] mode = report\nwhen = always\n", {"mode": "report", "when": "always"}, 1),
        (b"[main]\nmin-age = 3650d\n", {"min_age": 3650 * 86400}, 1),
        (b"[main]\nexport enabled=0\n", {"enabled": False}, 1),
        (b"[main]\nset mode report\n", {"mode": "report"}, 1),
        (b"[main]\nenable = 0\n", {"enabled": False}, 1),
        (b"[main]\ndisabled = yes\n", {"enabled": False}, 1),
        (b"[main]\ndisable = no\n", {}, 1),
        (b"[main]\nHealth-Check = /a\n", {"health_check": ("/a",)}, 1),
    ],
)
def test_a_doubtful_file_never_makes_the_host_do_more_than_a_reading_of_it(tmp_path, data, used, faults):
    path = tmp_path / "livepatch.conf"
    path.write_bytes(data)
    read, found = config.read(str(path))
    assert read == config.Config()._replace(**used) and len(found) == faults, found


def test_a_path_in_another_encoding_is_kept(tmp_path):
    path = tmp_path / "livepatch.conf"
    path.write_bytes(b"[main]\nhealth_check = /usr/bin/pr\xfcfe\nmode = l\xf6ad\n")
    read, faults = config.read(str(path))
    assert os.fsencode(read.health_check[0]) == b"/usr/bin/pr\xfcfe"
    assert read.mode == "report" and "\\udcf6" in faults[0], "it can be printed"


def test_a_value_keeps_its_hash_as_libdnf_reads_it():
    read, _ = config.parse("[main]\nrepos = a#b\n")
    assert read.repos == ("a#b",)


def test_another_section_and_no_section_are_faults():
    read, faults = config.parse("mode = load\n[other]\nmode = install-only\n")
    assert len(faults) == 2 and read.mode == "install-only"


def test_an_oversized_or_unreadable_file_only_reports(tmp_path):
    large = tmp_path / "large.conf"
    large.write_bytes(b"[main]\n" + b"#" * config.MAX_BYTES)
    read, faults = config.read(str(large))
    assert read == config.Config(mode="report") and "larger than" in faults[0]
    read, faults = config.read(str(tmp_path))
    assert read == config.Config(mode="report") and os.strerror(21) in faults[0]
    link = tmp_path / "link.conf"
    link.symlink_to("/not/mounted/livepatch.conf")
    read, faults = config.read(str(link))
    assert read == config.Config(mode="report") and "a file that is not there" in faults[0]


@given(
    st.lists(
        st.sampled_from(["[main]", "[x]", "enabled=0", "enabled=1", "mode=report", "mode=load", " x", "?"])
    )
)
def test_a_switch_that_is_off_anywhere_is_off(lines):
    read, _ = config.parse("\n".join(lines))
    assert not read.enabled or "enabled=0" not in lines
    assert read.mode == "report" or "mode=report" not in lines


@given(st.text())
def test_no_text_raises(text):
    read, faults = config.parse(text)
    assert isinstance(read, config.Config) and all(isinstance(fault, str) for fault in faults)


@given(st.integers(0, 10**6), st.sampled_from(sorted(config._UNITS)))
def test_durations(number, unit):
    assert config.duration(f"{number}{unit}") == number * config._UNITS[unit]
