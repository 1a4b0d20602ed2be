# SPDX-License-Identifier: GPL-2.0-or-later
"""``dnf livepatch``: its verbs, its exit codes, its JSON."""

from __future__ import annotations

import json
import re

import pytest

from tests.dnf.support import rpms, stock
from tests.dnf.support.lab import RUNNING, Update, shared

P1, P2 = str(stock.P1), str(stock.P2)


def test_check_tells_by_exit_code(host):
    assert host.dnf("livepatch", "update", "--check").code == 0
    host.repos(base="all")
    answer = host.dnf("livepatch", "update", "--check")
    assert answer.code == 100 and answer.out.split() == [P2] and not answer.new
    data = json.loads(host.dnf("livepatch", "update", "--check", "--json").out)
    assert data == {"schema": 1, "kernel_release": "5.14.0-10.el9.x86_64", "offered": [P2]}


def test_update_takes_nothing_but_the_patch_and_loads_it(host):
    host.repos(base="all")
    answer = host.dnf("livepatch", "update")
    assert answer.code == 0 and answer.new == {P2} and not answer.gone
    assert f"Live patch {P2} is in force" in answer.out
    assert "start livepatch-reconcile.service" in host.read("/var/log/stand-in")
    again = host.dnf("livepatch", "update")
    assert again.code == 0 and not again.new and "Nothing to do." in again.out


def test_update_replaces_an_older_patch(host):
    host.repos(base="first")
    host.dnf("livepatch", "update")
    host.repos(base="all")
    answer = host.dnf("livepatch", "update")
    assert answer.new == {P2} and answer.gone == {P1} and answer.code == 0


def test_update_loads_what_is_installed_and_not_in_force(host):
    host.repos(base="first")
    host.bring("first", P1)
    answer = host.dnf("livepatch", "update")
    assert answer.code == 0 and f"Live patch {P1} is in force" in answer.out


@pytest.mark.parametrize("installed", [False, True])
def test_update_is_complete_only_when_the_patch_is_loaded(host, installed):
    host.repos(base="first")
    if installed:
        host.bring("first", P1)
    answer = host.sh("dnf -y livepatch update 2>&1")
    assert host.read("/var/log/stand-in").count("start livepatch-reconcile.service") == 1
    order = [answer.out.index(text) for text in ("Loading live patch", f"{P1} is in force", "Complete!")]
    assert order == sorted(order), answer.text


def test_update_fails_with_5(host):
    host.repos(base="first")
    host.write("/etc/stand-in", "fail")
    answer = host.dnf("livepatch", "update")
    assert answer.code == 5 and answer.new == {P1}


@pytest.mark.parametrize("option", ["--downloadonly", "--setopt=tsflags=test", "--assumeno"])
@pytest.mark.parametrize("installed", [False, True])
def test_a_dry_update_loads_nothing(host, option, installed):
    host.repos(base="first")
    if installed:
        host.bring("first", P1)
    answer = host.dnf("livepatch", "update", option)
    refused = option == "--assumeno" and not installed
    assert answer.code == int(refused) and not answer.new, answer.text
    assert host.read("/var/log/stand-in") == ""


def test_update_leaves_another_root_alone(host):
    host.repos(base="first")
    host.sh(
        "mkdir -p /other/etc && cp -a /etc/yum.repos.d /etc/dnf /other/etc/ && rpm --root /other --initdb"
    )
    answer = host.dnf("--installroot=/other", "--releasever=9", "livepatch", "update")
    assert answer.code == 0 and "another machine's" in answer.out, answer.text
    assert host.read("/var/log/stand-in") == ""


def test_list_available(host):
    host.repos(base="patches")
    host.dnf("livepatch", "update", "-x", "kpatch-patch-5_14_0-10-1-2*")
    answer = host.dnf("livepatch", "list", "--available", "--json")
    rows = {row["package"]: row["state"] for row in json.loads(answer.out)["patches"]}
    assert rows == {P2: "offered", P1: "installed"}
    text = host.dnf("livepatch", "list", "--available", "-x", "kpatch*").out
    assert text.splitlines()[0].split() == ["PACKAGE", "KIND", "REPO", "STATE", "PROFILE"]
    assert text.count("excluded") == 1


@pytest.mark.parametrize(
    ("state", "before", "states"),
    [
        ("patches", "touch /run/.containerenv", {P1: "barred", P2: "barred"}),
        ("subscription", "true", {str(stock.P0): "subscription"}),
        ("patches", "true", {P1: "offered", P2: "offered"}),
    ],
)
def test_the_list_says_offered_of_what_an_upgrade_takes(host, state, before, states):
    host.repos(base=state)
    host.sh(before)
    found = json.loads(host.dnf("livepatch", "list", "--available", "--json").out)["patches"]
    assert {row["package"]: row["state"] for row in found} == states
    taken = {name for name in host.dnf("upgrade").new if name.startswith("kpatch")}
    assert bool(taken) is ("offered" in states.values())


OWN = rpms.Rpm(
    "livepatch-own", "9", "1", (f"livepatch(kernel-uname-r:{RUNNING})", f"livepatch-cve({stock.CVE30})"),
    (stock.OWN,), (), ((f"/usr/lib/modules/{RUNNING}/livepatch/own_1.ko", "no module\n"),),
)  # fmt: skip
VENDORS = rpms.Rpm(
    "kpatch-patch-5_14_0-10", "1", "1.el9", (f"kpatch-patch = {RUNNING}",), (stock.OWN,), (),
    ((f"/usr/lib/kpatch/{RUNNING}/kpatch-5_14_0-10-1-1.ko", "no module\n"),),
)  # fmt: skip


@pytest.mark.parametrize(("first", "other"), [(OWN, VENDORS), (VENDORS, OWN)])
def test_another_vendors_patch_beside_an_installed_one_is_barred(tmp_path_factory, first, other):
    told = (stock.ADV10, stock.ADV20, stock.ADV30, Update("V-1", (VENDORS,), (stock.CVE20,)))
    states = {
        "start": (stock.START, (stock.ADV10,)),
        OWN.name: ((*stock.START, OWN), told),
        VENDORS.name: ((*stock.START, VENDORS), told),
        "both": ((*stock.START, OWN, VENDORS), told),
    }
    packages = [*stock.START, stock.K20, stock.K30, OWN, VENDORS]
    lab = shared(tmp_path_factory, "two-vendors", packages, states, stock.BASE)
    host = lab.host()
    host.bring(first.name, str(first))
    host.repos(base="both")
    found = json.loads(host.dnf("livepatch", "list", "--available", "--json").out)["patches"]
    taken = host.dnf("upgrade").new
    host.drop()
    rows = {row["package"]: row["state"] for row in found}
    assert rows == {str(first): "installed", str(other): "barred"} and not taken


@pytest.mark.parametrize("verb", ["status", "cves", "list", "history", "reboot-check"])
def test_verbs_of_the_host_answer_without_repositories(host, verb):
    host.repos(base="gone-away")
    answer = host.dnf("livepatch", verb, "--json")
    assert json.loads(answer.out)["schema"] == 1
    direct = host.sh(f"python3 -m dnf_plugin_livepatch.host.cli.main {verb} --json; exit $?")
    assert answer.code in (0, 100, 101, 102) and direct.err == answer.err == ""


def test_behind_two_dashes_every_option_is_the_verbs(host):
    refused = host.dnf("livepatch", "reconcile", "--force")
    assert refused.code == 1 and "--forcearch" in refused.text, "DNF reads its own options first"
    answer = host.dnf("livepatch", "reconcile", "--", "--force")
    assert answer.code == 0 and not answer.err, answer.text
    assert host.dnf("livepatch", "uname", "--", "-r").out.startswith(RUNNING)
    assert host.dnf("livepatch", "reconcile", "--", "--nonsense").code == 2


def test_wrong_usage(host):
    assert host.dnf("livepatch", "nonsense").code == 2
    assert host.dnf("livepatch", "status", "--check").code == 1
    assert host.dnf("livepatch", "update", "--json").code == 1
    assert "livepatch" in host.dnf("help").out


def test_without_a_verb_it_is_status(host):
    assert host.dnf("livepatch").out == host.dnf("livepatch", "status").out != ""


def test_help_lists_every_verb(host):
    from dnf_plugin_livepatch.host.cli.main import VERBS

    answer = host.dnf("livepatch", "--help")
    assert answer.code == 0
    for verb in ("update", *VERBS):
        assert re.search(rf"^ +{verb}  +\S", answer.out, re.MULTILINE), (verb, answer.out)
