# SPDX-License-Identifier: GPL-2.0-or-later
"""Single cases: trust, loading, failures, hostile input, and the lines that the user reads."""

from __future__ import annotations

import re

import pytest

from tests.dnf.support import stock
from tests.dnf.support.lab import SOURCE, lines, unharmed
from tests.dnf.support.programs import API

P1, P2, BY2 = str(stock.P1), str(stock.P2), str(stock.BY2)


def test_the_closing_lines_name_patch_time_and_cves(host):
    host.repos(base="all")
    answer = host.dnf("upgrade")
    assert answer.code == 0
    assert f"Live patch {P2} is in force, transition 1.2 s." in answer.out
    assert re.search(r"CVEs closed now: CVE-2024-0020 \(Critical\), CVE-2024-0030", answer.out)
    assert answer.out.index("is in force") < answer.out.index("Upgraded:"), "dnf's own summary follows"
    assert "start livepatch-reconcile.service" in host.read("/var/log/stand-in")
    assert answer.err == ""


def test_what_stays_open_is_said(host):
    host.repos(base="first")
    host.sh("true")
    state = "patches"  # has the advisory of kernel 30, which P1 does not close
    host.repos(base=state)
    answer = host.dnf("upgrade", f"--exclude={stock.P2.name}-1-2*")
    assert P1 in answer.new
    assert "CVEs still open: CVE-2024-0030 (Important)" in answer.out


def test_quiet_is_quiet(host):
    host.repos(base="all")
    answer = host.dnf("upgrade", "-q")
    assert P2 in answer.new
    assert "Live patch" not in answer.text and "running kernel" not in answer.text


#: The environment of a plugin that waits for two seconds at most.
IMPATIENT = {"LIVEPATCH_ANSWER_WITHIN": "2"}


@pytest.mark.parametrize("how", ["fail", "silent"])
def test_not_in_force_is_exit_5_and_nothing_else_is_lost(host, how):
    host.repos(base="all")
    host.write("/etc/stand-in", how)
    answer = host.dnf("upgrade", env=IMPATIENT)
    assert "(at most 2 s)" in answer.out, "the environment had no effect"
    assert answer.code == 5
    assert {P2, BY2} <= answer.new
    assert "Upgraded:" in answer.out and "Complete!" in answer.out
    assert len(lines(answer)) == 1


def test_on_failure_warn(host):
    host.repos(base="all")
    host.conf("on_failure = warn\n")
    host.write("/etc/stand-in", "fail")
    answer = host.dnf("upgrade")
    assert answer.code == 0 and len(lines(answer)) == 1


def test_an_error_that_is_not_the_patchs_changes_no_exit_status(host):
    host.repos(base="patches")
    host.write("/etc/stand-in", "aside")
    answer = host.dnf("upgrade")
    assert f"Live patch {P2} is in force" in answer.out and answer.code == 0, answer.text
    assert lines(answer) == ["livepatch: Stand-in: a profile."]


def test_a_patch_that_is_partly_in_force_is_not_in_force(host):
    host.repos(base="patches")
    host.write("/etc/stand-in", "partly")
    answer = host.dnf("upgrade")
    assert answer.code == 5 and len(lines(answer)) == 1, answer.text
    assert f"{P2} is installed but not in force" in lines(answer)[0]
    assert f"Live patch {P2} is in force" not in answer.text


TERMINAL = "python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' "


@pytest.mark.parametrize("command", ["upgrade", "livepatch update"])
def test_on_a_terminal_the_seconds_waited_are_shown_and_wiped(host, command):
    host.repos(base="patches")
    host.write("/etc/stand-in", "a while")
    answer = host.sh(TERMINAL + f"dnf -y {command}")
    assert answer.code == 0 and P2 in answer.new, answer.text
    wipe = r"[\r\n]\x1b\[K"  # what captures the output makes one of the other
    assert re.search(wipe + "waiting for the live patch to be in force, 1 s", answer.out), answer.text
    assert re.search(rf"in force, \d s{wipe}Live patch \S+ is in force", answer.out), answer.text


@pytest.mark.parametrize(
    "run", ["dnf -y upgrade", TERMINAL + "dnf -y -q upgrade", TERMINAL + "python3 /root/api"]
)
def test_elsewhere_nothing_is_shown_of_the_waiting(host, run):
    host.repos(base="patches")
    host.write("/etc/stand-in", "a while")
    host.write("/root/api", API)
    answer = host.sh(run)
    assert P2 in answer.new and "start livepatch-reconcile.service" in host.read("/var/log/stand-in")
    assert "waiting for the live patch" not in answer.text


def test_waiting_is_bounded(host):
    host.repos(base="patches")
    host.write("/etc/stand-in", "slow")
    answer = host.dnf("upgrade", env=IMPATIENT, timeout=150)
    assert answer.code == 5 and P2 in answer.new and "Complete!" in answer.out


def test_interrupted_waiting_leaves_a_finished_transaction(host):
    host.repos(base="patches")
    host.write("/etc/stand-in", "slow")
    answer = host.sh(
        "python3 - <<'END'\n"
        "import signal, subprocess, time\n"
        # A job in the background ignores the signal, and so do its children.
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "dnf = subprocess.Popen(['dnf', '-y', 'upgrade'])\n"
        "while not open('/var/log/stand-in', 'a+').tell(): time.sleep(0.1)\n"
        "time.sleep(0.5)\n"
        "dnf.send_signal(signal.SIGINT)\n"
        "raise SystemExit(dnf.wait())\n"
        "END"
    )
    assert answer.code == 0, answer.text
    assert P2 in answer.new and "Complete!" in answer.out
    assert "The wait was interrupted. The packages are installed" in answer.err


def test_install_only_does_not_load(host):
    host.repos(base="patches")
    host.conf("mode = install-only\n")
    answer = host.dnf("upgrade")
    assert P2 in answer.new and answer.code == 0
    assert host.read("/var/log/stand-in") == ""
    assert "mode = install-only" in answer.out


def test_report_says_what_it_would_do(host):
    host.repos(base="patches")
    host.conf("mode = report\n")
    answer = host.dnf("upgrade")
    assert P2 not in answer.new
    assert f"Live patch {P2} is offered by repository base" in answer.out


def test_an_installed_patch_that_is_not_in_force_is_said_with_nothing_to_do(host):
    host.repos(base="first")
    host.bring("first", P1)
    answer = host.dnf("upgrade")
    assert "Nothing to do." in answer.out and answer.code == 0
    assert lines(answer) and f"{P1} is installed but not in force" in lines(answer)[0]


@pytest.mark.parametrize(("how", "code"), [("load", 0), ("fail", 5)])
def test_an_installed_patch_that_is_not_in_force_is_loaded_with_other_updates(host, how, code):
    """Exit 5 belongs to a run that tried to load; one that only reports leaves DNF's status alone."""
    host.repos(base="first")
    host.bring("first", P1)
    host.write("/etc/stand-in", how)
    assert host.dnf("upgrade").code == 0 and host.read("/var/log/stand-in") == ""
    host.repos(base="patches")
    answer = host.dnf("upgrade", f"--exclude={stock.P2.name}-1-2*")
    assert answer.new == {BY2} and answer.code == code, answer.text
    assert "start livepatch-reconcile.service" in host.read("/var/log/stand-in")
    assert (f"Live patch {P1} is in force" in answer.out) == (how == "load")


@pytest.mark.parametrize("mode", ["install-only", "report"])
def test_a_run_that_may_not_load_reports_at_most(host, mode):
    host.repos(base="first")
    host.bring("first", P1)
    host.conf(f"mode = {mode}\n")
    host.repos(base="patches")
    answer = host.dnf("upgrade", f"--exclude={stock.P2.name}-1-2*")
    assert answer.new == {BY2} and answer.code == 0 and host.read("/var/log/stand-in") == "", answer.text


def test_a_loaded_patch_is_upgraded_and_told_apart(host):
    host.repos(base="first")
    assert host.dnf("upgrade").code == 0
    host.repos(base="patches")
    answer = host.dnf("upgrade")
    assert P2 in answer.new and P1 in answer.gone and answer.code == 0
    assert "CVEs closed now: CVE-2024-0030 (Important)" in answer.out
    assert "Nothing to do." in host.dnf("upgrade").out
    assert lines(host.dnf("upgrade")) == []


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ("rm -r /sys/kernel/livepatch/*", "is installed but not in force"),
        ("echo 0 > /sys/kernel/livepatch/livepatch_10_1_1/enabled", "is installed but not in force"),
        ("echo 'when = sometimes' >> /etc/dnf/plugins/livepatch.conf", "livepatch.conf"),
    ],
)
def test_what_was_remembered_is_forgotten_when_anything_changes(host, change, sign):
    host.conf("")
    host.repos(base="first")
    host.dnf("upgrade")
    assert lines(host.dnf("upgrade")) == [] and host.read("/run/livepatch/dnf-quiet")
    assert lines(host.dnf("upgrade")) == []
    host.sh(change)
    assert [line for line in lines(host.dnf("upgrade")) if sign in line]
    host.repos(base="patches")
    assert P2 in host.dnf("upgrade").new


@pytest.mark.parametrize(("hours", "anew"), [(5, False), (7, True)])
def test_advisories_are_read_again_after_six_hours_though_no_repository_changed(host, hours, anew):
    exposure = "/var/lib/livepatch/exposure.json"
    host.repos(base="first")
    host.dnf("upgrade")
    host.dnf("upgrade")
    assert host.read("/run/livepatch/dnf-quiet"), "there is something remembered"
    host.sh(f"touch -d '-{hours} hours' {exposure}")
    host.dnf("upgrade")
    fresh = host.sh(f"find {exposure} -mmin -60").out.strip()
    assert fresh == (exposure if anew else "")


def test_that_there_is_no_patch_is_said_once_until_something_changes(host):
    host.repos(base="kernel")
    run = ("upgrade", "--exclude=kernel-core")
    host.dnf(*run)
    assert "No repository offers a live patch" in host.dnf(*run).out
    assert lines(host.dnf(*run)) == []
    host.conf("kernels = running\n")
    assert "No repository offers a live patch" in host.dnf(*run).out


def test_newer_kernel_installed_and_not_booted(host):
    host.repos(base="kernel")
    assert str(stock.K40) in host.dnf("upgrade").new
    host.repos(base="all")
    answer = host.dnf("upgrade")
    assert answer.new == {P2, str(stock.FOR40)}, "the next boot is protected, too"


def test_only_the_newest_installed_kernel_is_looked_after(host):
    host.repos(base="kernel")
    assert host.dnf("install", str(stock.K20), str(stock.K30)).code == 0
    host.repos(base="all")
    answer = host.dnf("upgrade", "--exclude=kernel-core")
    assert answer.new == {P2, BY2}, answer.text
    host.conf("kernels = running\n")
    assert not host.dnf("upgrade", "--exclude=kernel-core").new


def test_an_undo_brings_back_the_time_before_the_patch(host):
    host.repos(base="patches")
    host.dnf("upgrade")
    answer = host.dnf("history", "undo", "last")
    assert P2 in answer.gone and answer.code == 0
    unharmed(answer)


# --- a patch that goes ---

COMES_BACK = "is removed; the next 'dnf upgrade' adds it again."


@pytest.mark.parametrize("command", [f"remove {stock.P1.name}", "history undo last", "autoremove"])
def test_a_removed_patch_says_how_to_keep_it_away(host, command):
    host.repos(base="first")
    host.dnf("upgrade")
    if command == "autoremove":
        host.dnf("mark", "remove", stock.P1.name)
    answer = host.dnf(*command.split())
    assert answer.gone == {P1} and answer.code == 0, answer.text
    assert lines(answer) == [
        f"livepatch: Live patch {P1} {COMES_BACK} To keep it away, run 'livepatch block {P1}' or name it in "
        "excludepkgs= of dnf.conf."
    ]
    assert P1 in host.dnf("upgrade").new
    host.dnf("remove", stock.P1.name)
    verb = "python3 -c 'import sys; from dnf_plugin_livepatch.host.cli.main import main; sys.exit(main())'"
    assert host.sh(f"{verb} block {P1}").code == 0
    assert not host.dnf("upgrade").new


def test_of_what_no_upgrade_brings_back_that_is_not_promised(host):
    host.repos(base="first")
    host.dnf("upgrade")
    assert COMES_BACK not in host.dnf("remove", "bystander").text
    assert COMES_BACK not in host.dnf("remove", "--assumeno", stock.P1.name).text
    host.conf("mode = report\n")
    answer = host.dnf("remove", stock.P1.name)
    assert answer.gone == {P1} and COMES_BACK not in answer.text, answer.text
    (line,) = lines(answer)
    assert "stays in force: mode = report" in line


def test_a_replaced_patch_is_not_said_to_come_back(host):
    host.repos(base="first")
    host.dnf("upgrade")
    host.repos(base="patches")
    answer = host.dnf("upgrade")
    assert P1 in answer.gone and COMES_BACK not in answer.text
    assert COMES_BACK not in host.dnf("downgrade", stock.P1.name).text


def test_a_removal_is_done_whatever_is_broken(host):
    host.repos(base="first")
    host.dnf("upgrade")
    host.sh(f"mkdir /shadow && cp -a {SOURCE}/dnf_plugin_livepatch /shadow/ && rm -rf /shadow/*/__pycache__")
    host.write("/shadow/dnf_plugin_livepatch/dnf4/changes.py", "raise SystemError('broken')\n")
    answer = host.dnf("remove", stock.P1.name, env={"PYTHONPATH": "/shadow", "PYTHONPYCACHEPREFIX": ""})
    assert answer.gone == {P1} and answer.code == 0 and "Traceback" not in answer.text


# --- trust ---


def test_a_foreign_repository_gets_nothing_until_named(host):
    host.repos(base="kernel", copr="only-patch")
    answer = host.dnf("upgrade", "--exclude=kernel-core")
    assert not {P1, P2} & answer.new
    assert len(lines(answer)) == 1
    assert "repository copr is not trusted with kernel code" in lines(answer)[0]
    host.conf("repos = copr\n")
    assert P2 in host.dnf("upgrade").new


@pytest.mark.parametrize("foreign", ["aaa", "zzz"])
@pytest.mark.parametrize("more", ["", "\ngpgcheck=0\ncost=1"])
def test_a_foreign_copy_does_not_hide_the_trusted_one(host, foreign, more):
    host.repos(**{foreign: "only-patch" + more, "base": "patches"})
    answer = host.dnf("upgrade")
    assert P2 in answer.new and lines(answer) == [], answer.text


def test_no_gpgcheck_no_patch(host):
    host.repos(base="patches\ngpgcheck=0")
    answer = host.dnf("upgrade")
    assert answer.new == {BY2}
    assert len(lines(answer)) == 1 and "gpgcheck is off for repository base" in lines(answer)[0]


def test_unknown_origin_takes_the_repositories_that_offer_the_kernel(host):
    host.repos(base="patches", copr="only-patch")
    host.sh("rm -rf /var/lib/dnf")
    assert P2 in host.dnf("upgrade").new


@pytest.mark.parametrize("named", ["base", "copr"])
def test_with_repos_named_an_unknown_origin_adds_none(host, named):
    other = {"base": "copr", "copr": "base"}[named]
    host.repos(**{named: "patches", other: "update"})
    host.sh("rm -rf /var/lib/dnf")
    host.conf(f"repos = {other}\n")
    answer = host.dnf("upgrade")
    assert P2 not in answer.new and f"repository {named} is not trusted with kernel code" in answer.text
    host.conf(f"repos = {named}\n")
    assert P2 in host.dnf("upgrade").new


def test_another_build_of_the_kernel_does_not_make_a_repository_trusted(host):
    host.repos(base="update", copr="usurper")
    host.sh("rm -rf /var/lib/dnf")
    answer = host.dnf("upgrade")
    assert BY2 in answer.new and not {P1, P2} & answer.new
    assert len(lines(answer)) == 1 and "add copr to repos = in livepatch.conf" in lines(answer)[0]


def test_excluded_is_one_line(host):
    host.repos(base="patches")
    answer = host.dnf("upgrade", "--exclude=kpatch-patch*")
    assert answer.new == {BY2}
    assert len(lines(answer)) == 1 and "configuration excludes it" in lines(answer)[0]


def test_blocked_is_kept_out_of_dnfs_own_upgrade(host):
    host.repos(base="first")
    host.dnf("upgrade")
    host.repos(base="patches")
    host.python(
        "from dnf_plugin_livepatch.base.paths import Paths\n"
        "from dnf_plugin_livepatch.host.files import guard_file as guard\n"
        f"guard.block(Paths(), '{P2}', 'it oopsed')\n"
    )
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and P1 not in answer.gone, answer.text
    assert "blocked" in host.dnf("livepatch", "list", "--available").out


# --- a patch that is no good ---


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("needy", "nothing provides no-such-thing"),
        ("dragging", "would also change helper-1-1"),
        ("lying", "claims to be a live patch but is not added"),
        ("subscription", "No repository offers a live patch"),
        ("kernel", "No repository offers a live patch"),
    ],
)
def test_one_warning_line(host, state, text):
    host.repos(base=state)
    answer = host.dnf("upgrade")
    assert answer.code == 0
    assert len(lines(answer)) == 1 and text in lines(answer)[0]


def test_the_next_older_one_is_taken(host):
    host.repos(base="older")
    answer = host.dnf("upgrade")
    assert P2 in answer.new
    assert len(lines(answer)) == 1 and "because the newer" in lines(answer)[0]


def test_no_kernel_is_ever_pulled_in(host):
    host.repos(base="all")
    answer = host.dnf("upgrade", "--exclude=kernel-core")
    assert P2 in answer.new
    assert not [name for name in answer.new if name.startswith("kernel-core")]
    assert str(stock.FOR40) not in answer.new


def test_a_patch_whose_package_fails(host):
    host.repos(base="failing")
    answer = host.dnf("upgrade")
    assert answer.code == 1 and answer.new == {BY2}, "dnf's own verdict on a failed package"
    unharmed(answer)


def test_a_hostile_manifest_is_not_in_force_and_harms_nobody(host):
    host.repos(base="hostile")
    answer = host.dnf("upgrade")
    assert answer.code == 5 and BY2 in answer.new
    unharmed(answer)
    again = host.dnf("upgrade")
    unharmed(again)
