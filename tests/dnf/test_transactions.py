# SPDX-License-Identifier: GPL-2.0-or-later
"""Transactions that are no upgrade and change a live patch of the running kernel: followed, and told."""

from __future__ import annotations

import pytest

from tests.dnf.support import programs, stock
from tests.dnf.support.lab import SOURCE, Host, lines, unharmed

P1, P2, NAME = str(stock.P1), str(stock.P2), stock.P1.name
ASKED = "start livepatch-reconcile.service"
IMPATIENT = {"LIVEPATCH_ANSWER_WITHIN": "3"}


def said(answer, nevra: str) -> list[str]:
    """The lines about a live patch, in the order in which they came."""
    head = f"Live patch {nevra} "
    found = (line.replace("livepatch: ", "", 1) for line in answer.text.splitlines())
    return [line[len(head) :] for line in found if line.startswith(head)]


def prepared(host: Host, state: str, *commands: str) -> Host:
    """The host after ``commands`` with the repository in ``state``; nothing was asked of reconcile since."""
    host.repos(base=state)
    for command in commands:
        answer = host.sh(f"dnf -y {command}")
        assert answer.code == 0, answer.text
    host.write("/var/log/stand-in", "")
    return host


#: Commands before; the command; the live patch that it brings.
COMING = [
    ((), f"install {NAME}", P2),
    ((), f"install {NAME}-1-1.el9", P1),
    ((), "install 'kpatch-patch = 5.14.0-10.el9.x86_64'", P2),
    ((), f"localinstall {{rpms}}/{P1}.rpm", P1),
    ((), f"swap bystander {NAME}", P2),
    ((f"install {NAME}",), f"downgrade {NAME}", P1),
    ((f"install {NAME}",), f"reinstall {NAME}", P2),
    ((f"install {NAME}-1-1.el9",), "distro-sync", P2),
    ((f"install {NAME}-1-1.el9",), f"upgrade {NAME}", P2),
    ((f"install {NAME}", f"remove {NAME}"), "history undo last", P2),
    ((f"install {NAME}-1-1.el9", f"upgrade {NAME}"), "history undo last", P1),
    ((f"install {NAME}-1-1.el9", f"upgrade {NAME}", "install other"), "history rollback last-2", P1),
    ((f"install {NAME}-1-1.el9", f"remove {NAME}"), "history redo last-1", P1),
    (("makecache",), f"-C install {NAME}", P2),
    ((), "shell /root/script", P2),
]


@pytest.mark.parametrize(("how", "code"), [("load", 0), ("fail", 5)])
@pytest.mark.parametrize(("before", "command", "comes"), COMING, ids=[row[1] for row in COMING])
def test_a_patch_that_comes_is_waited_for_and_told(host, before, command, comes, how, code):
    prepared(host, "patches", *before)
    host.write("/etc/stand-in", how)
    host.write("/root/script", f"install {NAME}\nrun\nexit\n")
    answer = host.sh("dnf -y " + command.format(rpms=f"{host.lab.states}/patches"))
    unharmed(answer)
    assert answer.code == code, answer.text
    assert host.read("/var/log/stand-in").count(ASKED) == 1
    assert f"Loading live patch {comes}" in answer.text and "Complete!" in answer.text
    assert answer.text.index(f"Loading live patch {comes}") < answer.text.index("Complete!")
    if how == "load":
        assert said(answer, comes) == ["is in force, transition 1.2 s."], answer.text
    else:
        assert lines(answer) == ["livepatch: Stand-in: the transition stalled. Ask the stand-in."]


def test_what_closes_is_told_as_after_an_upgrade(host):
    prepared(host, "patches", f"install {NAME}-1-1.el9")
    answer = host.dnf("install", P2)
    assert "  CVEs closed now: CVE-2024-0030 (Important)" in answer.out.splitlines(), answer.text


#: Commands that name an installed live patch, and whether DNF itself has anything to do.
NAMING = [
    (f"install {P1}", False),
    (f"install {NAME}", False),
    (f"install {P1} other", True),
    ("install 'kpatch-patch = 5.14.0-10.el9.x86_64'", False),
    ("install 'kpatch-patch-*'", False),
    (f"localinstall {{rpms}}/{P1}.rpm", False),
    (f"reinstall {NAME}", True),
    (f"upgrade {NAME}", False),
    (f"downgrade {NAME}", False),
    (f"distro-sync {NAME}", False),
]


@pytest.mark.parametrize(("how", "code"), [("load", 0), ("fail", 5)])
@pytest.mark.parametrize(("command", "busy"), NAMING, ids=[row[0] for row in NAMING])
def test_an_installed_patch_that_is_named_ends_in_force_or_says_why_not(host, command, busy, how, code):
    host.repos(base="first")
    host.bring("first", P1)
    host.write("/etc/stand-in", how)
    answer = host.sh("dnf -y " + command.format(rpms=f"{host.lab.states}/first"))
    unharmed(answer)
    assert answer.code == code and ("Nothing to do" in answer.text) is not busy, answer.text
    assert host.read("/var/log/stand-in").count(ASKED) == 1
    if how == "load":
        assert "is in force, transition 1.2 s." in said(answer, P1), answer.text
    else:
        assert "livepatch: Stand-in: the transition stalled. Ask the stand-in." in lines(answer)


@pytest.mark.parametrize("command", ["install other", "install bystander", f"install {NAME} --downloadonly"])
def test_what_names_no_live_patch_or_is_dry_loads_none(host, command):
    host.repos(base="first")
    host.bring("first", P1)
    assert host.sh(f"dnf -y {command}").code == 0
    assert host.read("/var/log/stand-in") == ""


def test_a_patch_in_force_that_is_named_again_is_left_alone(host):
    prepared(host, "first", f"install {NAME}")
    answer = host.dnf("install", P1)
    assert answer.code == 0 and said(answer, P1) == [] and host.read("/var/log/stand-in") == ""


#: Commands before, and the command that takes the live patch away.
LEAVING = [
    ((), f"remove {NAME}"),
    ((), "history undo last"),
    ((f"mark remove {NAME}",), "autoremove"),
    (("remove bystander",), f"swap {NAME} bystander"),
    ((), "shell /root/script"),
]


@pytest.mark.parametrize(
    ("how", "told", "code"),
    [
        ("load", "is out of force.", 0),
        ("other", "is out of force.", 0),
        ("theirs", "is removed, and module livepatch_10_1_2 stays in force: ", 0),
        ("stays", "", 5),
        ("silent", "is removed, but it is unknown whether it is out of force: ", 5),
    ],
)
@pytest.mark.parametrize(("before", "command"), LEAVING, ids=[row[1] for row in LEAVING])
def test_a_patch_that_leaves_is_waited_for_and_told(host, before, command, how, told, code):
    prepared(host, "patches", f"install {NAME}", *before)
    host.write("/etc/stand-in", how)
    host.write("/root/script", f"remove {NAME}\nrun\n")
    answer = host.sh("dnf -y " + command, env=IMPATIENT)
    unharmed(answer)
    assert P2 in answer.gone and answer.code == code, answer.text
    assert f"Taking live patch {P2} out of force" in answer.text
    found = said(answer, P2)
    assert found[0].startswith("is removed; the next 'dnf upgrade' adds it again.")
    if told:
        assert len(found) == 2 and found[1].startswith(told), answer.text
    else:
        assert "Stand-in: the kernel refused to disable it. Reboot." in answer.text
    again = "  CVEs open again: CVE-2024-0020 (Critical), CVE-2024-0030 (Important)"
    assert (again in answer.text) is (how in ("load", "other")), answer.text
    assert "another live patch is blocked" not in answer.text


@pytest.mark.parametrize("mode", ["install-only", "report"])
@pytest.mark.parametrize("command", [f"remove {NAME}", "history undo last"])
def test_a_patch_that_leaves_where_nothing_is_unloaded_is_told_to_stay_in_force(host, command, mode):
    prepared(host, "patches", f"install {NAME}")
    host.conf(f"mode = {mode}\n")
    answer = host.sh("dnf -y " + command)
    unharmed(answer)
    assert answer.code == 0 and P2 in answer.gone, answer.text
    told = f"is removed, and module livepatch_10_1_2 stays in force: mode = {mode}. A reboot ends it."
    assert any(text.startswith(told) for text in said(answer, P2)), answer.text
    assert host.sh("ls /sys/kernel/livepatch").out.split() == ["livepatch_10_1_2"]
    assert ASKED not in host.read("/var/log/stand-in")


def test_a_patch_that_was_not_in_force_is_not_told_to_stay(host):
    prepared(host, "patches", f"install {NAME}")
    host.conf("mode = install-only\n")
    host.sh("rm -r /sys/kernel/livepatch/*")
    assert "stays in force" not in host.dnf("remove", NAME).text


def test_a_patch_that_was_not_in_force_leaves(host):
    prepared(host, "patches", f"install {NAME}")
    host.sh("rm -r /sys/kernel/livepatch/*")
    assert said(host.dnf("remove", NAME), P2)[1] == "was not in force."


def test_the_reason_is_told_where_the_administrator_blocked_what_is_installed(host):
    prepared(host, "patches")
    host.write("/etc/stand-in", "blocked")
    answer = host.dnf("install", NAME)
    assert answer.code == 5 and lines(answer) == ["livepatch: Stand-in: the administrator blocked it."]


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("patches", f"--downloadonly install {NAME}"),
        ("patches", f"--setopt=tsflags=test install {NAME}"),
        ("patches", f"--assumeno install {NAME}"),
        (
            "patches",
            f"--installroot=/other --releasever=9 --setopt=reposdir=/etc/yum.repos.d install {NAME}",
        ),
        ("failing", f"install {stock.FAILING.name}"),
        ("patches", "install other"),
        ("patches", f"remove {stock.BY1.name}"),
        ("all", f"install {stock.FOR20.name}"),
        ("all", f"install {stock.K20} {stock.FOR20.name}"),
        ("subscription", f"install {stock.P0.name}"),
    ],
)
def test_what_changes_no_live_patch_of_the_running_kernel_is_no_business_of_the_plugin(host, state, command):
    prepared(host, state)
    if "installroot" in command:
        host.sh("mkdir /other && rpm --root /other --initdb")
    answer = host.sh(f"dnf -y {command}")
    unharmed(answer)
    assert lines(answer) == [] and "Loading live patch" not in answer.text, answer.text
    assert host.read("/var/log/stand-in") == ""


@pytest.mark.parametrize("command", [f"remove {NAME}", f"downgrade {NAME}", f"reinstall {NAME}"])
@pytest.mark.parametrize("option", ["--assumeno", "--setopt=tsflags=test", "--downloadonly"])
def test_a_dry_run_follows_nothing(host, command, option):
    prepared(host, "patches", f"install {NAME}")
    answer = host.sh(f"dnf -y {option} {command}")
    assert not answer.gone and lines(answer) == [] and host.read("/var/log/stand-in") == "", answer.text


@pytest.mark.parametrize("conf", ["mode = install-only\n", "mode = report\n"])
def test_where_nothing_is_loaded_that_is_told(host, conf):
    prepared(host, "patches")
    host.conf(conf)
    answer = host.dnf("install", NAME)
    assert answer.code == 0 and [line.split(":")[0] for line in said(answer, P2)] == [
        "is installed and not loaded"
    ]
    assert host.read("/var/log/stand-in") == ""


@pytest.mark.parametrize("verb", ["install", "remove"])
def test_waiting_has_a_bound_and_warn_changes_no_exit_status(host, verb):
    prepared(host, "patches", *([f"install {NAME}"] if verb == "remove" else []))
    host.write("/etc/stand-in", "slow")
    host.conf("on_failure = warn\n")
    answer = host.dnf(verb, NAME, env=IMPATIENT, timeout=150)
    assert answer.code == 0 and "reconcile gave no answer" in answer.text and "Complete!" in answer.text


def test_a_shell_of_two_transactions_tells_each(host):
    prepared(host, "patches")
    host.write("/root/script", f"install {NAME}-1-1.el9\nrun\ninstall other\nrun\nremove {NAME}\nrun\n")
    answer = host.dnf("shell", "/root/script")
    assert answer.code == 0 and host.read("/var/log/stand-in").count(ASKED) == 2, answer.text
    assert said(answer, P1)[0].startswith("is in force") and said(answer, P1)[-1] == "is out of force."


@pytest.mark.parametrize("mark", [f"base.install('{NAME}')", "base.upgrade_all()"])
def test_users_of_the_api_have_it_loaded_too(host, mark):
    prepared(host, "patches")
    answer = host.python(programs.OPEN + mark + "\nbase.resolve()\nif base.transaction:" + programs.FINISH)
    assert answer.code == 0 and P2 in answer.new and not answer.out, answer.text
    assert host.read("/var/log/stand-in").count(ASKED) == 1


@pytest.mark.parametrize("broken", ["changes.py", "run.py"])
def test_an_install_is_done_whatever_is_broken(host, broken):
    prepared(host, "patches")
    host.sh(f"mkdir /shadow && cp -a {SOURCE}/dnf_plugin_livepatch /shadow/ && rm -rf /shadow/*/__pycache__")
    host.write(f"/shadow/dnf_plugin_livepatch/dnf4/{broken}", "raise SystemError('broken')\n")
    answer = host.dnf("install", NAME, env={"PYTHONPATH": "/shadow", "PYTHONPYCACHEPREFIX": ""})
    assert answer.new == {P2} and answer.code == 0 and "Traceback" not in answer.text


IMPORTS = """
import sys
import dnf.cli.main
try:
    dnf.cli.main.user_main(['-y', *sys.argv[1:]], exit_code=True)
finally:
    loaded = sorted(name for name in sys.modules if name.startswith('dnf_plugin_livepatch'))
    print('loaded', *loaded, file=open('/root/loaded', 'w'))
"""
COSTLY = ("dnf4.changes", "dnf4.run", "host.for_planning", "vendors.profiles", "messages.catalogue")


@pytest.mark.parametrize("command", ["install other", "remove bystander", "reinstall bystander"])
def test_a_transaction_without_live_patches_imports_none_of_the_parts_that_cost(host, command):
    prepared(host, "patches")
    host.write("/root/run.py", IMPORTS)
    assert host.sh(f"python3 /root/run.py {command}").code == 0
    assert not {f"dnf_plugin_livepatch.{name}" for name in COSTLY} & set(host.read("/root/loaded").split())
    assert host.sh(f"python3 /root/run.py install {NAME}").code == 0
    assert {f"dnf_plugin_livepatch.{name}" for name in COSTLY} <= set(host.read("/root/loaded").split())
