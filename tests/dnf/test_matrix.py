# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands x states of the repositories x settings, each against the same run without the plugin.

The two runs may differ in the live patch alone, and `expected` names it independently of the product.
"""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.dnf.support import stock
from tests.dnf.support.lab import Answer, Lab

PLAIN = ("upgrade", "update", "up")
FILTERED = (
    "upgrade-minimal",
    "upgrade --security",
    "upgrade-minimal --security",
    "upgrade --cve=CVE-2024-0030",
    "upgrade --advisory=PATCH-1",
    "upgrade --sec-severity=Critical",
    "upgrade --bugfix",
)
NAMED = ("upgrade bystander", "upgrade --security bystander")
ASIDE = (
    "install other",
    "remove bystander",
    "reinstall bystander",
    "distro-sync",
    "downgrade bystander",
    "autoremove",
    "check-update",
    "list --upgrades",
    "updateinfo list",
    "upgrade --setopt=tsflags=test",
    "history list",
    "repository-packages base upgrade",
    "makecache",
)
STATES = [name for name in stock.STATES if name not in ("only-patch", "failing")]

#: The live patch that a repository of this state has to add to a host without any.
OFFERS = {
    "first": stock.P1,
    "patches": stock.P2,
    "all": stock.P2,
    "uninformed": stock.P2,
    "unneeded": stock.P1,
    "older": stock.P2,
    "hostile": stock.HOSTILE,
    **dict.fromkeys(("before", "module", "tools", "silent", "usurper"), stock.P2),
}
NEXT = {str(stock.K40): stock.FOR40, str(stock.K20): stock.FOR20}
SETTINGS = ("when=always", "when=named", "mode=report", "mode=install-only", "kernels=running", "enabled=0")


def expected(command: str, state: str, native: frozenset[str], setting: str = "") -> set[str]:
    """The live patches that the plugin has to add, by the documentation."""
    if command in ASIDE or setting in ("mode=report", "enabled=0"):
        return set()
    patch = OFFERS.get(state)
    secures = state not in ("unneeded",)  # that one closes nothing that is known to be open
    advised = state in ("first", "patches", "all", "older")
    result = set()
    following = [NEXT[name] for name in native if name in NEXT] if state == "all" else []
    if setting == "kernels=running":
        following = []
    if patch is not None:
        take = True
        if "--cve" in command:
            take = advised and patch is stock.P2
        elif "--advisory" in command or "--sec-severity" in command:
            take = advised
        elif "--bugfix" in command:
            take = False
        elif command in FILTERED or "--security" in command:
            take = secures
        if command.endswith("bystander"):
            take = take and {"when=always": True, "when=named": False}.get(setting, secures)
        if take:
            result.add(str(patch))
    if not any(word in command for word in ("--cve", "--advisory", "--sec-severity", "--bugfix")):
        result |= {str(patch) for patch in following}
    return result


def rows(answer: Answer) -> set[str]:
    """The rows of DNF's transaction table."""
    text = answer.out.partition("Transaction Summary")[0]
    found = re.findall(r"^ (\S+) +(?:x86_64|noarch) +(\S+) +(\S+) +\S+ \S+ *$", text, re.M)
    return {" ".join(row) for row in found}


def without(lab: Lab, command: str, state: str) -> Answer:
    """The same command without the plugin, run once for all tests."""
    path = os.path.join(lab.folder, "native-" + re.sub(r"\W", "_", f"{state} {command}") + ".json")
    if not os.path.exists(path):
        host = lab.host()
        host.repos(base=state)
        answer = host.dnf("--disableplugin=livepatch", *command.split())
        host.drop()
        with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
            json.dump([*answer[:3], sorted(answer.new), sorted(answer.gone)], file)
        os.rename(f"{path}.{os.getpid()}", path)
    with open(path, encoding="utf-8") as file:
        code, out, err, new, gone = json.load(file)
    return Answer(code, out, err, frozenset(new), frozenset(gone))


def compare(lab: Lab, host, command: str, state: str, setting: str = "") -> None:
    native = without(lab, command, state)
    host.repos(base=state)
    if setting:
        host.conf(setting.replace("=", " = ") + "\n")
    answer = host.dnf(*command.split())
    want = expected(command, state, native.new, setting)
    assert answer.new - native.new == want, answer.text
    assert native.new <= answer.new, "the plugin took something away"
    assert answer.gone == native.gone
    new_rows = {row.split()[0] for row in rows(answer) - rows(native)}
    assert new_rows == {name.rsplit("-", 2)[0] for name in want}
    assert rows(native) <= rows(answer)
    hostile = str(stock.HOSTILE) in want
    assert answer.code == (5 if hostile else native.code), answer.text
    assert "Traceback" not in answer.text and "plugin could not finish" not in answer.text


@pytest.mark.parametrize("state", STATES)
def test_bare_upgrade(lab, host, state):
    compare(lab, host, "upgrade", state)


@pytest.mark.slow
@pytest.mark.parametrize("command", [*PLAIN[1:], *FILTERED, *NAMED])
@pytest.mark.parametrize("state", ["start", "first", "patches", "all", "uninformed", "unneeded", "needy"])
def test_every_upgrade(lab, host, command, state):
    compare(lab, host, command, state)


@pytest.mark.parametrize("command", ASIDE)
def test_other_commands_are_left_alone(lab, host, command):
    compare(lab, host, command, "all")


@pytest.mark.parametrize("option", ["--assumeno", "--downloadonly"])
def test_shown_and_fetched_without_being_installed(lab, host, option):
    host.repos(base="all")
    native = without(lab, f"upgrade {option}", "all")
    answer = host.dnf("upgrade", option)
    assert not answer.new | answer.gone and answer.code == native.code
    added = {row.split()[0] for row in rows(answer) - rows(native)}
    assert added == {stock.P2.name, stock.FOR40.name}
    cached = host.sh("find /var/cache/dnf -name 'kpatch-*.rpm' | wc -l").out.strip()
    assert cached == "0", "packages of a file:// repository are used where they are"
    assert host.read("/var/log/stand-in") == "", "nothing may be loaded"


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("command", ["upgrade", "upgrade bystander", "upgrade --security"])
def test_settings(lab, host, command, setting):
    compare(lab, host, command, "all", setting)


@pytest.mark.parametrize("setting", ["when=always", "when=named", "when=security"])
def test_when_with_a_patch_that_closes_nothing(lab, host, setting):
    compare(lab, host, "upgrade bystander", "unneeded", setting)
