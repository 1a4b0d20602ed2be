# SPDX-License-Identifier: GPL-2.0-or-later
"""Live patches that a repository's record or livepatch.conf keeps out of the host, and of DNF's upgrade."""

from __future__ import annotations

import json

import pytest

from dnf_plugin_livepatch.formats import repository_record
from tests.dnf.support import records, stock
from tests.dnf.support.lab import RUNNING, SOURCE, Answer, Host, lines, unharmed
from tests.dnf.support.programs import API
from tests.dnf.support.records import rollout, stamp, withdrawn

P1, P2, BY2 = str(stock.P1), str(stock.P2), str(stock.BY2)
NAME = stock.P2.name
BUILD = f"{NAME}-{stock.P2.version}-{stock.P2.release}"


def patches(answer: Answer) -> list[str]:
    return sorted(name for name in answer.new if name.startswith("kpatch"))


def with_p1(host: Host) -> None:
    """P1 is installed and in force, so that DNF's own upgrade would take P2."""
    host.repos(base="first")
    assert patches(host.dnf("upgrade")) == [P1]


HELD = {
    "rollout at 0": (rollout((-9999, 0)), "", "before its publisher says so"),
    "rollout tomorrow": (rollout((-9999, 0), (86400, 100)), "", f"before {stamp(86400)[:10]}"),
    "too young": ({"issued": stamp(-3600)}, "min_age = 2d\n", f"before {stamp(2 * 86400 - 3600)[:10]}"),
    "advisory too young": ({}, "min_age = 200000000\n", "min_age is not over"),
    "after the cutoff": ({"issued": stamp(-3600)}, "cutoff = 2020-01-01\n", "after cutoff = 2020-01-01"),
    "withdrawn": (withdrawn(), "", "withdrew it on"),
}


@pytest.mark.parametrize(("note", "conf", "text"), HELD.values(), ids=HELD.keys())
@pytest.mark.parametrize("installed", [False, True])
def test_kept_out_with_one_line_and_the_rest_goes_on(lab, host, note, conf, text, installed):
    if installed:
        with_p1(host)
    host.conf(conf)
    host.repos(base=records.told(lab, "patches", {P1: {"issued": "2010-01-01T00:00:00Z"}, P2: note}))
    answer = host.dnf("upgrade")
    assert answer.code == 0 and BY2 in answer.new, answer.text
    assert P2 not in answer.new and P1 not in answer.gone
    said = lines(answer)
    assert len(said) == 1 and P2 in said[0] and text in said[0], answer.text
    assert patches(answer) == ([] if installed else [P1]), "the one before it is taken"


TAKEN = {
    "rollout at 100": (rollout((-9999, 0), (-60, 100)), ""),
    "old enough": ({"issued": stamp(-3 * 86400)}, "min_age = 2d\n"),
    "before the cutoff": ({"issued": "2019-12-31T00:00:00Z"}, "cutoff = 2020-01-01\n"),
    "on the day of the cutoff": ({"issued": "2020-01-01T23:00:00Z"}, "cutoff = 2020-01-01\n"),
}


@pytest.mark.parametrize(("note", "conf"), TAKEN.values(), ids=TAKEN.keys())
def test_what_is_due_is_taken(lab, host, note, conf):
    host.conf(conf)
    host.repos(base=records.told(lab, "patches", {P2: note}))
    answer = host.dnf("upgrade")
    assert P2 in answer.new and lines(answer) == []


def test_without_a_date_the_build_time_counts(lab, host):
    host.conf("min_age = 1h\n")
    host.repos(base="uninformed")
    answer = host.dnf("upgrade")
    assert patches(answer) == [] and "min_age is not over" in answer.text


def test_the_share_is_by_machine_id(lab, host):
    share = 50
    host.repos(base=records.told(lab, "patches", {P2: rollout((-60, share))}))
    machines = ("0" * 32, "1" * 32, "2" * 32)
    assert {repository_record.bucket(machine, P2) < share for machine in machines} == {True, False}
    for machine in machines:
        host.write("/etc/machine-id", machine + "\n")
        answer = host.dnf("upgrade", "--assumeno")
        waits = f"reached {share} % of the hosts, not this one" in answer.text
        assert waits == (repository_record.bucket(machine, P2) >= share), machine


@pytest.mark.parametrize("command", ["install", "upgrade"])
def test_named_with_its_version_it_is_taken(lab, host, command):
    with_p1(host)
    host.conf("cutoff = 2020-01-01\nmin_age = 200000000\n")
    host.repos(base=records.told(lab, "patches", {P2: rollout((-60, 0))}))
    assert patches(host.dnf("upgrade", NAME)) == [], "the bare name takes what is due"
    assert patches(host.dnf(command, BUILD)) == [P2]


def test_a_withdrawn_one_is_taken_only_by_who_installs_that_very_build(lab, host):
    host.repos(base=records.told(lab, "only-patch", {P2: withdrawn(), P1: withdrawn()}), start="start")
    host.conf("repos = base\n")
    assert patches(host.dnf("install", NAME)) == []
    assert patches(host.dnf("install", BUILD)) == [P2]


def test_a_withdrawn_one_is_no_upgrade(lab, host):
    with_p1(host)
    host.repos(base=records.told(lab, "patches", {P2: withdrawn()}))
    assert patches(host.dnf("upgrade", BUILD)) == []


def test_a_new_sack_is_looked_at_anew(lab, host):
    with_p1(host)
    host.repos(base=records.told(lab, "patches", {P2: rollout((-60, 0))}))
    again = "base.fill_sack()\nbase.reset(sack=True)\nbase.fill_sack()\n"
    assert host.python(API.replace("base.fill_sack()\n", again)).new == {BY2}


def test_they_are_withheld_from_api_users_too(lab, host):
    with_p1(host)
    host.repos(base=records.told(lab, "patches", {P2: rollout((-60, 0))}))
    assert host.python(API).new == {BY2}


def test_list_and_check_know_it(lab, host):
    host.repos(base=records.told(lab, "patches", {P1: withdrawn(), P2: rollout((-60, 0))}))
    rows = json.loads(host.dnf("livepatch", "list", "--available", "--json").out)["patches"]
    assert {row["package"]: row["state"] for row in rows} == {P1: "withdrawn", P2: "waiting"}
    assert host.dnf("livepatch", "update", "--check").code == 0
    assert patches(host.dnf("livepatch", "update")) == []


def test_a_foreign_repositorys_record_counts_for_nothing(lab, host):
    host.repos(base="patches", copr=records.told(lab, "only-patch", {P2: withdrawn()}))
    assert P2 in host.dnf("upgrade").new


@pytest.mark.parametrize("text", ["[]", '{"schema": 99}', "\x00\xff", '{"schema":1,"kernels":[]}'])
def test_a_broken_record_is_one_line_and_unknown(lab, host, text):
    host.repos(base=records.told(lab, "patches", {}, text=text))
    answer = host.dnf("upgrade")
    assert {P2, BY2} <= answer.new and answer.code == 0
    assert len(lines(answer)) == 1 and "The livepatch record of repository" in lines(answer)[0]


def test_a_withdrawn_patch_in_force_is_said_everywhere(lab, host):
    host.repos(base="patches")
    assert P2 in host.dnf("upgrade").new
    host.repos(base=records.told(lab, "patches", {P2: withdrawn()}))
    answer = host.dnf("upgrade")
    assert len(lines(answer)) == 1 and f"{P2} is in force, and its publisher has withdrawn it" in answer.text
    status = host.dnf("livepatch", "status")
    assert "has withdrawn it: it oopsed in vfs_read" in status.out
    assert "no-block" not in host.read("/var/log/stand-in"), "on_withdrawn = warn changes nothing"
    host.repos(base="patches")
    assert "has withdrawn it" not in host.dnf("upgrade").text, "it has no record any more"
    host.repos(base=records.told(lab, "patches", {P2: withdrawn()}))
    assert "has withdrawn it" in host.dnf("upgrade").text
    host.repos(base=records.told(lab, "patches", {P2: {}}))
    assert "has withdrawn it" not in host.dnf("upgrade").text


def test_revert_starts_reconcile_once(lab, host):
    host.repos(base="patches")
    assert P2 in host.dnf("upgrade").new
    asked = "start --no-block livepatch-reconcile.service"
    # The lab's kernel came from no repository, so that one is named.
    host.conf("on_withdrawn = revert\nrepos = base\n")
    state = records.told(lab, "patches", {P2: withdrawn()})
    host.repos(base=state)
    host.dnf("upgrade")
    assert asked not in host.read("/var/log/stand-in"), "nobody signed that"
    host.repos(base=state + "\nrepo_gpgcheck=1")
    for dry in ("--assumeno", "--downloadonly", "--setopt=tsflags=test"):
        host.dnf("upgrade", dry)
        assert asked not in host.read("/var/log/stand-in"), dry
    host.dnf("upgrade")
    assert host.read("/var/log/stand-in").count(asked) == 1
    host.sh("rm -r /sys/kernel/livepatch/*")
    host.dnf("upgrade")
    assert host.read("/var/log/stand-in").count(asked) == 1, "it is not in force any more"
    assert json.loads(host.read("/var/lib/livepatch/notices.json"))["withdrawn"] == [
        {"nevra": P2, "reason": "it oopsed in vfs_read", "repository": "base", "signed": True}
    ]


@pytest.mark.parametrize(("days", "text"), [(3, "in 3 days"), (-3, "ended on")])
def test_the_end_of_support_is_said(lab, host, days, text):
    host.repos(base=records.told(lab, "patches", {}, support_end=stamp(days * 86400)[:10]))
    answer = host.dnf("upgrade")
    assert P2 in answer.new and len(lines(answer)) == 1 and text in lines(answer)[0]
    host.conf("eol_warn_days = 2\n")
    assert ("in 3 days" in host.dnf("upgrade").text) is False


def test_the_vendors_window_gives_an_end_where_nobody_says_one(lab, host):
    """The window begins when the kernel was built; the kernels of the lab are built today."""
    profile = host.sh("cat /usr/share/dnf-plugin-livepatch/profiles/livepatch.conf").out
    assert "support-days" not in profile
    text = profile.replace("[profile]\n", "[profile]\nsupport-days = 3\n")
    host.write("/etc/livepatch/profiles.d/livepatch.conf", text)
    host.repos(base="patches")
    answer = host.dnf("upgrade")
    assert P2 in answer.new and "end on " in answer.text and len(lines(answer)) == 1
    host.repos(base=records.told(lab, "patches", {}, support_end="2099-01-01"))
    assert "end on " not in host.dnf("upgrade").text, "the publisher knows better"


@pytest.mark.parametrize(
    "spec", [stock.P1.name, "kpatch-patch*", f"kpatch-patch = {RUNNING}", "'*10-1-1.el9'"]
)
@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ("", "it is blocked on this host (it crashed the test). As root, run 'livepatch unblock "),
        ("cutoff = 2020-01-01\n", "it was "),
        ("min_age = 9999d\n", "it was "),
    ],
)
def test_an_install_of_what_is_hidden_says_why_it_is_not_found(host, conf, why, spec):
    host.repos(base="first")
    host.conf(conf)
    if not conf:
        host.sh(f"python3 {SOURCE}/bin/livepatch block {stock.P1} --reason='it crashed the test'")
    answer = host.dnf("install", spec.strip("'"))
    unharmed(answer)
    assert answer.code == 1 and not answer.new, answer.text
    (line,) = lines(answer)
    assert str(stock.P1) in line and why in line, answer.text
    assert lines(host.dnf("install", "other")) == [], "nobody asked for the patch"


def test_an_install_that_finds_a_newer_one_says_nothing_of_an_older_one_that_is_hidden(host):
    host.repos(base="patches")
    host.sh(f"python3 {SOURCE}/bin/livepatch block {stock.P1}")
    answer = host.dnf("install", stock.P1.name)
    assert answer.new == {str(stock.P2)} and not any(str(stock.P1) in line for line in lines(answer))
