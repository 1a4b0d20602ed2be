# SPDX-License-Identifier: GPL-2.0-or-later
import argparse
import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.cli import profiles as profiles_cli
from dnf_plugin_livepatch.host.cli.context import Context
from dnf_plugin_livepatch.vendors import profiles

RULES, _ = profiles.load(("/nonexistent",))
EL9 = "5.14.0-427.13.1.el9_4.x86_64"
KPATCH = "kpatch-patch-5_14_0-427_13_1-1-2.el9_4.x86_64"


def context(root="/nonexistent", **options):
    made = Context(argparse.Namespace(**{"kernel": None, "json": False, **options}))
    made.paths = Paths(str(root))
    return made


def run(monkeypatch, capsys, text):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert profiles_cli.match(context()) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_line_gets_one_json_line_with_the_documented_keys(monkeypatch, capsys):
    told = run(monkeypatch, capsys, f"{KPATCH}\nkernel-core-5.14.0-1.el9.x86_64\n\nrubbish\n")
    assert [(t["profile"], t["kernel_release"], t["kind"]) for t in told] == [
        ("kpatch", EL9, "patch"),
        (None, None, "not-a-live-patch"),
        (None, None, "not-a-live-patch"),
    ]
    assert all(list(t) == ["nevra", "profile", "kernel_release", "kind", "why"] and t["why"] for t in told)
    assert told[0]["nevra"] == KPATCH and "NEVRA" in told[2]["why"]


@pytest.mark.parametrize(
    "columns",
    [
        f"kpatch-patch = {EL9},kernel-uname-r = {EL9}",
        f" kernel-uname-r = {EL9} , kpatch-patch = {EL9} ",
        f"kpatch-patch = {EL9}\tkernel-uname-r = {EL9},kpatch >= 0.6.1",
        f"provides: kpatch-patch = {EL9}, requires: kernel-uname-r = {EL9}, kpatch",
        "",
        ",,,",
    ],
)
def test_capabilities_may_be_mixed_or_in_two_columns(columns):
    told = profiles_cli.judge(f"{KPATCH}\t{columns}", RULES)
    assert (told["profile"], told["kernel_release"], told["kind"]) == ("kpatch", EL9, "patch")


@pytest.mark.parametrize(
    "columns", ["kernel-uname-r = 5.14.0-1.el9.x86_64", "\tkernel-uname-r = 5.14.0-1.el9.x86_64"]
)
def test_a_requirement_for_another_kernel_refutes_in_either_form(columns):
    told = profiles_cli.judge(f"{KPATCH}\t{columns}", RULES)
    assert told["kind"] == "not-a-live-patch" and "5.14.0-1.el9.x86_64" in told["why"]


def test_what_is_only_required_identifies_nothing():
    told = profiles_cli.judge(f"meta-1-1.noarch\tmeta = 1-1\tkpatch-patch = {EL9}", RULES)
    assert told["kind"] == "not-a-live-patch"


def test_a_package_of_several_kernels_tells_the_others_too():
    told = profiles_cli.judge(
        "x-1-1.x86_64\tlivepatch(kernel-uname-r:6.1.1),livepatch(kernel-uname-r:6.1.2)", RULES
    )
    assert told["kernel_release"] == "6.1.1" and told["also"][0]["kernel_release"] == "6.1.2"


@given(st.text(max_size=300))
def test_no_line_makes_it_raise_or_break_the_line(text):
    answer = json.dumps(profiles_cli.judge(text, RULES))
    assert "\n" not in answer and json.loads(answer)["kind"]


def test_a_line_without_end_is_bounded(monkeypatch, capsys):
    told = run(monkeypatch, capsys, "x" * (profiles_cli.MAX_LINE * 3) + "\n" + KPATCH)
    assert [t["kind"] for t in told] == ["not-a-live-patch", "patch"]
    assert len(told[0]["nevra"]) < 2000


def test_kernel_prints_the_name_at_each_vendor(capsys):
    assert profiles_cli.match(context(kernel=EL9)) == 0
    rows = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines())
    assert rows["kpatch"] == "kpatch-patch-5_14_0-427_13_1" and rows["suse"] == "-"
    assert profiles_cli.match(context(kernel=EL9, json=True)) == 0
    told = json.loads(capsys.readouterr().out)
    names = {row["profile"]: row["package_name"] for row in told["profiles"]}
    assert told["schema"] == 1 and names["kpatch"] == rows["kpatch"] and names["suse"] is None


@pytest.mark.parametrize("release", ["", "../etc", "a b", "\033[31m", "x" * 300])
def test_what_is_no_release_is_wrong_usage(capsys, release):
    assert profiles_cli.match(context(kernel=release)) == 2
    assert capsys.readouterr().err.isascii()


def test_list_shows_the_profiles_and_tells_the_faults(tmp_path, capsys):
    folder = tmp_path / "etc/livepatch/profiles.d"
    folder.mkdir(parents=True)
    (folder / "bad.conf").write_text("[profile]\nnonsense\n")
    (folder / "mine.conf").write_text("[profile]\ntitle = Mine\n[match]\nprovides = mine = {release}\n")
    assert profiles_cli.show(context(tmp_path)) == 0
    out, err = capsys.readouterr()
    assert "Mine" in out and "bad.conf" in err and "line 2" in err
    assert profiles_cli.show(context(tmp_path, json=True)) == 0
    told = {row["profile"] for row in json.loads(capsys.readouterr().out)["profiles"]}
    assert {"mine", "livepatch", "kpatch"} <= told, "beside those that the source tree ships"


def test_doctor_fails_on_a_fault_and_warns_of_files_that_others_may_write(tmp_path, capsys):
    folder = tmp_path / "usr/share/dnf-plugin-livepatch/profiles"
    folder.mkdir(parents=True)
    shipped = folder / "livepatch.conf"
    shipped.write_text("[profile]\ntitle = Own\n[match]\nprovides = livepatch(kernel-uname-r:{release})\n")
    shipped.chmod(0o644)
    told = {problem.id for problem in profiles_cli.problems(Paths(str(tmp_path)))}
    assert told <= {"profile-writable"}
    shipped.chmod(0o666)
    assert {p.id for p in profiles_cli.problems(Paths(str(tmp_path)))} == {"profile-writable"}
    assert profiles_cli.doctor(context(tmp_path)) == 0
    shipped.write_text("")
    assert {p.id for p in profiles_cli.problems(Paths(str(tmp_path)))} == {"profile-generic"}
    (folder / "kpatch.conf").write_text("[match]\nname = {unknown}\n")
    capsys.readouterr()
    assert profiles_cli.doctor(context(tmp_path, json=True)) == 1
    assert {p["id"] for p in json.loads(capsys.readouterr().out)["problems"]} == {
        "profile-generic",
        "profile-fault",
    }


def test_the_verbs_are_on_the_command_line():
    parser = argparse.ArgumentParser()
    profiles_cli.configure(parser)
    assert parser.parse_args(["match", "--kernel", EL9]).run is profiles_cli.match
    assert parser.parse_args(["list"]).run is profiles_cli.show
