# SPDX-License-Identifier: GPL-2.0-or-later
"""Users of DNF without its command line: dnf-automatic, the API, Ansible's module."""

from __future__ import annotations

import json
import os
import re

import ansible
import pytest

from tests.dnf.support import programs, stock
from tests.dnf.support.variants import variant

P1, P2, BY2 = str(stock.P1), str(stock.P2), str(stock.BY2)

API = (
    programs.OPEN
    + """{mark}
found = base.resolve(allow_erasing=True)
print('resolve', found, sorted(str(p) for p in base.transaction.install_set))
if found:"""
    + programs.FINISH
)

AUTOMATIC = """[commands]
upgrade_type = {kind}
download_updates = yes
apply_updates = yes
random_sleep = 0
[emitters]
emit_via = stdio
"""


def bugfix(text: str) -> str:
    first, last = text.split("<id>PATCH-2</id>")
    head, _, end = first.rpartition('type="security"')
    return f'{head}type="bugfix"{end}<id>PATCH-2</id>{last}'


#: Limits an upgrade as Ansible's module does where DNF has no way of its own.
OPAQUE = """
base._update_security_filters = [base.sack.query().filter(advisory_type__eq=kind) for kind in {kinds}]
base.upgrade_all()
"""


@pytest.mark.parametrize(
    ("mark", "state", "patch"),
    [
        ("base.upgrade_all()", "patches", P2),
        ("base.upgrade_all()", "first", P1),
        ("base.upgrade('bystander')", "patches", P2),
        ("base.upgrade('bystander')", "unneeded", ""),
        ("base.install('other')", "patches", ""),
        ("base.remove('bystander')", "patches", ""),
        ("base.add_security_filters('eq', types=['security'])\nbase.upgrade_all()", "first", P1),
        ("base.add_security_filters('eq', types=['security'])\nbase.upgrade_all()", "unneeded", ""),
        (
            "base._update_security_filters = [base.sack.query().filterm(advisory_type='security')]\n"
            "base.upgrade_all()",
            "patches",
            P2,
        ),
        ("base.add_security_filters('eq', cves=['CVE-2024-0030'])\nbase.upgrade_all()", "first", ""),
        ("base.add_security_filters('eq', types=['bugfix'])\nbase.upgrade_all()", "patches", ""),
        (OPAQUE.format(kinds=["bugfix"]), "patches", ""),
        (OPAQUE.format(kinds=["bugfix"]), "mended", P2),
        (OPAQUE.format(kinds=["enhancement", "newpackage"]), "patches", ""),
        (OPAQUE.format(kinds=["security"]), "patches", P2),
        (OPAQUE.format(kinds=["security", "bugfix"]), "patches", P2),
        (
            "base._update_security_filters = [base.sack.query().filterm(empty=True)]\nbase.upgrade_all()",
            "patches",
            "",
        ),
        (
            "base._update_security_filters = [base.sack.query().filterm(name='bystander')]\n"
            "base.upgrade_all()",
            "patches",
            "",
        ),
    ],
)
def test_api(lab, host, mark, state, patch):
    if state == "mended":  # the newest patch has an advisory of another type
        state = variant(lab, "patches", advisories=bugfix)
    host.repos(base=state)
    answer = host.python(API.format(mark=mark))
    assert answer.code == 0, answer.text
    assert [name for name in answer.new if name.startswith("kpatch")] == ([patch] if patch else [])
    assert re.fullmatch(r"resolve .*\n", answer.out), "stdout is the caller's"
    if patch:
        assert "resolve True" in answer.out, "Ansible stops at a False"


def test_api_with_nothing_to_do_still_says_so(host):
    answer = host.python(API.format(mark="base.upgrade_all()"))
    assert "resolve False []" in answer.out


ANSIBLE = """
import dnf, json
def module(name, security):
    base = dnf.Base()
    base.conf.debuglevel = 0
    base.conf.assumeyes = True
    base.conf.read('/etc/dnf/dnf.conf')
    base.init_plugins()
    base.pre_configure_plugins()
    base.setup_loggers()
    base.read_all_repos()
    base.configure_plugins()
    base.fill_sack(load_system_repo='auto')
    if security:
        base.add_security_filters('eq', types=['security'])
    base.upgrade_all() if name == '*' else base.upgrade(name)
    if not base.resolve(allow_erasing=False):
        return {'changed': False, 'msg': 'Nothing to do'}
    base.download_packages(base.transaction.install_set)
    for package in base.transaction.install_set:
        assert base.package_signature_check(package)[0] == 0
    results = sorted('Installed: %s' % package for package in base.transaction.install_set)
    base.do_transaction()
    return {'changed': True, 'results': results}
print(json.dumps(module('*', SECURITY)))
"""


@pytest.mark.parametrize("security", ["True", "False"])
def test_ansible_sees_a_patch_that_is_the_only_thing_to_do(host, security):
    host.repos(base="first")
    answer = host.python(ANSIBLE.replace("SECURITY", security))
    assert json.loads(answer.out) == {"changed": True, "results": [f"Installed: {P1}"]}
    assert answer.new == {P1}
    assert "start livepatch-reconcile.service" in host.read("/var/log/stand-in")
    again = host.python(ANSIBLE.replace("SECURITY", security))
    assert json.loads(again.out)["changed"] is False


@pytest.mark.parametrize("kind", ["default", "security"])
@pytest.mark.parametrize(("state", "patch"), [("first", P1), ("patches", P2), ("unneeded", P1)])
def test_dnf_automatic(host, kind, state, patch):
    host.repos(base=state)
    host.write("/etc/dnf/automatic.conf", AUTOMATIC.format(kind=kind))
    answer = host.python(
        "import sys\nfrom dnf.automatic.main import main\nsys.exit(main(['/etc/dnf/automatic.conf']))\n"
    )
    assert answer.code == 0, answer.text
    wanted = set() if (state, kind) == ("unneeded", "security") else {patch}
    assert {name for name in answer.new if name.startswith("kpatch")} == wanted, answer.text
    if wanted:
        assert "start livepatch-reconcile.service" in host.read("/var/log/stand-in")


def test_dnf_shell_is_left_alone(host):
    host.repos(base="patches")
    host.write("/root/shell", "upgrade\nrun\nexit\n")
    answer = host.dnf("shell", "/root/shell")
    assert answer.new == {BY2}


def test_offline_and_history_are_left_alone(host):
    host.repos(base="update")
    assert host.dnf("upgrade").new == {BY2}
    assert host.dnf("history", "store", "last", "-o", "/root/t.json").code == 0
    host.dnf("history", "undo", "last")
    host.repos(base="patches")
    answer = host.dnf("history", "replay", "/root/t.json", "--ignore-installed")
    assert answer.code == 0 and answer.new == {BY2}, answer.text


SITE = os.path.dirname(os.path.dirname(ansible.__file__))
#: Runs Ansible's own module; ``{before}`` may take from DNF what an older one lacks.
MODULE = """
import runpy, sys
sys.path.append({site!r})
import dnf
{before}
import ansible.module_utils.basic as basic
basic._ANSIBLE_PROFILE = 'legacy'
runpy.run_module('ansible.modules.dnf', run_name='__main__')
"""


@pytest.mark.parametrize("before", ["", "del dnf.Base.add_security_filters"], ids=["now", "EL 8"])
@pytest.mark.parametrize(
    ("kinds", "state", "patch"),
    [
        (("bugfix",), "patches", ""),
        (("bugfix",), "mended", P2),
        (("security",), "patches", P2),
        (("security", "bugfix"), "patches", P2),
        ((), "patches", P2),
    ],
)
def test_ansibles_own_module(lab, host, before, kinds, state, patch):
    if state == "mended":
        state = variant(lab, "patches", advisories=bugfix)
    if before and kinds == ("bugfix",):
        patch = ""  # the query is for upgrades of installed packages
    host.repos(base=state)
    words = {"name": "*", "state": "latest", **dict.fromkeys(kinds, True)}
    host.write("/root/args.json", json.dumps({"ANSIBLE_MODULE_ARGS": words}))
    host.write("/root/run.py", MODULE.format(site=SITE, before=before))
    answer = host.sh("python3 /root/run.py </root/args.json")
    assert json.loads(answer.out).get("failed", False) is False, answer.text
    assert [name for name in answer.new if name.startswith("kpatch")] == ([patch] if patch else [])
