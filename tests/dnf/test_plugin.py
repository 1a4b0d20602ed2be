# SPDX-License-Identifier: GPL-2.0-or-later
"""One by one: trust, loading, failures, hostile input, and what the user reads."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import stock
from lab import RUNNING, SOURCE, Answer

STATUS = "python3 -c 'from dnf_plugin_livepatch.runtime import cli; cli.main()' status"
SHIM = SOURCE + "/dnf_plugin_livepatch/dnf-plugins/livepatch.py"
P1, P2, BY2 = str(stock.P1), str(stock.P2), str(stock.BY2)


def lines(answer: Answer, prefix: str = "livepatch: ") -> "list[str]":
    return [line for line in answer.text.splitlines() if line.startswith(prefix)]


def unharmed(answer: Answer) -> None:
    assert "Traceback" not in answer.text and "could not finish" not in answer.text, answer.text


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


def impatient(host) -> "dict[str, str]":
    """The environment of a plugin that waits for two seconds at most."""
    host.conf("transition_timeout = 1s\n")
    host.sh(f"mkdir -p /shadow && cp -a {SOURCE}/dnf_plugin_livepatch /shadow/"
            " && sed -i 's/^    return 3.0 .*/    return 2.0/'"
            " /shadow/dnf_plugin_livepatch/runtime/request.py")
    return {"PYTHONPATH": "/shadow"}


@pytest.mark.parametrize("how", ["fail", "silent"])
def test_not_in_force_is_exit_5_and_nothing_else_is_lost(host, how):
    host.repos(base="all")
    host.write("/etc/stand-in", how)
    answer = host.dnf("upgrade", env=impatient(host))
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


def test_waiting_is_bounded(host):
    host.repos(base="patches")
    host.write("/etc/stand-in", "slow")
    answer = host.dnf("upgrade", env=impatient(host), timeout=50)
    assert answer.code == 5 and P2 in answer.new and "Complete!" in answer.out


def test_interrupted_waiting_leaves_a_finished_transaction(host):
    host.repos(base="patches")
    host.write("/etc/stand-in", "slow")
    answer = host.sh(
        "python3 - <<'END'\n"
        "import signal, subprocess, time\n"
        "dnf = subprocess.Popen(['dnf', '-y', 'upgrade'])\n"
        "while not open('/var/log/stand-in', 'a+').tell(): time.sleep(0.1)\n"
        "time.sleep(0.5)\n"
        "dnf.send_signal(signal.SIGINT)\n"
        "raise SystemExit(dnf.wait())\n"
        "END"
    )
    assert answer.code == 0, answer.text
    assert P2 in answer.new and "Complete!" in answer.out
    assert "Interrupted while waiting. The packages are installed" in answer.err


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
    assert host.dnf("install", stock.P1.name).code == 0
    answer = host.dnf("upgrade")
    assert "Nothing to do." in answer.out and answer.code == 0
    assert lines(answer) and f"{P1} is installed but not in force" in lines(answer)[0]


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


def test_downgrade_and_undo_are_left_alone(host):
    host.repos(base="patches")
    host.dnf("upgrade")
    answer = host.dnf("history", "undo", "last")
    assert P2 in answer.gone and answer.code == 0
    unharmed(answer)


# --- trust ---


def test_a_foreign_repository_gets_nothing_until_named(host):
    host.repos(base="kernel", copr="only-patch")
    answer = host.dnf("upgrade", "--exclude=kernel-core")
    assert not {P1, P2} & answer.new
    assert len(lines(answer)) == 1
    assert "repository copr is not one that kernels come from" in lines(answer)[0]
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
        "from dnf_plugin_livepatch.paths import Paths\n"
        "from dnf_plugin_livepatch.runtime import guard\n"
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
        ("lying", "calls itself a live patch but is not added"),
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


# --- broken surroundings ---


@pytest.mark.parametrize(
    "text",
    ["when = sometimes\n", "mode = load # for now\n", "nonsense\n", "enabled = maybe\n", "x" * 70000],
)
def test_broken_configuration_is_one_line(host, text):
    host.repos(base="patches")
    host.conf(text)
    answer = host.dnf("upgrade")
    assert {BY2, P2} <= answer.new and answer.code == 0, answer.text
    assert len(lines(answer)) == 1 and "livepatch.conf" in lines(answer)[0]
    unharmed(answer)


def test_switched_off_in_a_broken_file_is_off(host):
    host.repos(base="patches")
    host.conf("enabled = 0\nnonsense\n")
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and lines(answer) == [] and answer.code == 0


def test_missing_sysfs(host):
    host.repos(base="patches")
    host.sh("rmdir /sys/kernel/livepatch")
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and answer.code == 0
    assert "no live patching" in lines(answer)[0]


def test_container(host):
    host.repos(base="patches")
    host.sh("mkdir -p /run/systemd && echo docker > /run/systemd/container")
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and answer.code == 0


def test_unknown_kernel(host):
    host.repos(base="patches")
    answer = host.dnf("upgrade", env={"FAKE_RELEASE": "6.6.6-home"})
    assert answer.new == {BY2} and lines(answer) == []
    told = host.sh(f"{STATUS} --json", env={"FAKE_RELEASE": "6.6.6-home"}).out
    assert "no installed package owns the running kernel" in told


def test_another_kernel_of_the_repository_runs(host):
    host.repos(base="all")
    host.dnf("upgrade")
    answer = host.dnf("upgrade", env={"FAKE_RELEASE": "5.14.0-40.el9.x86_64"})
    assert answer.new == frozenset() and RUNNING not in "".join(lines(answer))


def test_installroot(host):
    host.repos(base="patches")
    host.sh("mkdir -p /other/etc && cp -a /etc/yum.repos.d /etc/dnf /other/etc/"
            " && rpm --root /other --initdb && cp -a /var/lib/rpm /other/var/lib/")
    answer = host.dnf("--installroot=/other", "--releasever=9", "upgrade")
    assert answer.code == 0, answer.text
    found = host.sh("rpm --root /other -qa | grep -c kpatch")
    assert found.out.strip() == "0" and lines(answer) == []


@pytest.mark.parametrize("room", ["profiles", "exposure", "dnf4/goal", "dnf4/advisories", "dnf4/command",
                                  "runtime/kernel", "runtime/status", "runtime/inventory", "dnf4/session"])
@pytest.mark.parametrize("how", ["raise SystemError('broken')\n", "def (\n"])
def test_a_broken_room_costs_a_line_and_nothing_else(host, room, how):
    host.repos(base="update")
    host.sh(f"mkdir /shadow && cp -a {SOURCE}/dnf_plugin_livepatch /shadow/ && rm -rf /shadow/*/__pycache__")
    host.write(f"/shadow/dnf_plugin_livepatch/{room}.py", how)
    answer = host.dnf("upgrade", env={"PYTHONPATH": "/shadow", "PYTHONPYCACHEPREFIX": ""})
    assert answer.code == 0 and answer.new == {BY2}, answer.text
    assert "Traceback" not in answer.text


def test_a_second_livepatch_command_does_not_end_dnf(host):
    host.repos(base="patches")
    host.write(
        "/usr/share/two-plugins/livepatch.py",
        "import dnf\nfrom dnf.cli import commands\n"
        "@dnf.plugin.register_command\nclass Theirs(commands.Command):\n    aliases = ('livepatch',)\n"
        "    summary = 'theirs'\n    def run(self):\n        print('theirs')\n"
        "from dnf_plugin_livepatch.dnf4.plugin import LivepatchPlugin\n",
    )
    setting = "--setopt=pluginpath=/usr/share/two-plugins"
    assert "theirs" in host.dnf(setting, "livepatch").out
    answer = host.dnf(setting, "upgrade")
    assert {P2, BY2} <= answer.new and answer.code == 0


SECOND = """
import dnf
class Second(dnf.Plugin):
    name = 'second'
    busy = False
    def resolved(self):
        with open('/var/log/second', 'a') as log:
            log.write('resolved\\n')
        if GUARD and self.busy:
            return
        self.busy = True
        query = self.base.sack.query().available().filterm(name='other')
        selector = dnf.selector.Selector(self.base.sack)
        selector.set(pkg=query)
        if len(self.base.goal.list_installs()) < 9 and 'other' not in {
            p.name for p in self.base.transaction.install_set
        }:
            self.base.goal.install(select=selector, optional=True)
            self.base.resolve(self.cli.demands.allow_erasing)
        self.busy = False
"""


@pytest.mark.parametrize("first", ["aaa", "zzz"])
@pytest.mark.parametrize("guard", ["True", "False"])
def test_two_plugins_that_resolve_again_do_not_loop(host, first, guard):
    host.repos(base="all")
    plugins = "/usr/share/two-plugins"
    host.write(f"{plugins}/{first}.py", SECOND.replace("GUARD", guard))
    shutil.copy(SHIM, host.path(f"{plugins}/livepatch.py"))
    answer = host.dnf(f"--setopt=pluginpath={plugins}", "upgrade")
    assert {P2, BY2, str(stock.FOR40), str(stock.OTHER)} <= answer.new and answer.code == 0
    assert host.read("/var/log/second").count("\n") <= 6
    assert answer.out.count("running kernel") == 1, "nothing is said twice"


WITNESS = """
import dnf, sys
class Witness(dnf.Plugin):
    name = 'zzz'
    def pre_transaction(self):
        self.before = set(sys.modules)
    def transaction(self):
        with open('/var/log/late', 'w') as log:
            log.write('\\n'.join(['seen', *sorted(set(sys.modules) - self.before)]))
"""


def test_loading_imports_nothing_that_the_transaction_may_have_replaced(host):
    host.repos(base="patches")
    host.write("/usr/share/two-plugins/zzz.py", WITNESS)
    shutil.copy(SHIM, host.path("/usr/share/two-plugins/livepatch.py"))
    answer = host.dnf("--setopt=pluginpath=/usr/share/two-plugins", "upgrade")
    assert f"Live patch {P2} is in force" in answer.out
    assert host.read("/var/log/late").split() == ["seen"]


def test_a_run_without_all_repositories_does_not_replace_what_is_known(host):
    def known() -> "list[str]":
        kernels = json.loads(host.read("/var/lib/livepatch/exposure.json"))["kernels"]
        return [item["id"] for item in kernels[0]["repositories"]]

    check = ("livepatch", "update", "--check")
    host.repos(base="all", other="only-patch")
    host.dnf(*check)
    assert known() == ["base", "other"]
    host.dnf(*check, "--repo=other")
    host.dnf(*check, "--disablerepo=base")
    assert known() == ["base", "other"]
    host.repos(base="all\nenabled=0", other="only-patch")
    host.dnf(*check)
    assert known() == ["other"], "disabled for good"


BLOCK = """
from dnf_plugin_livepatch.paths import Paths
from dnf_plugin_livepatch.runtime import guard
guard.block(Paths(), '{}', 'it oopsed')
"""


def test_undo_and_an_exact_name_reach_a_blocked_patch(host):
    host.repos(base="first")
    host.dnf("upgrade")
    host.repos(base="patches")
    assert P2 in host.dnf("upgrade").new
    host.python(BLOCK.format(P1))
    answer = host.dnf("history", "undo", "last")
    assert P1 in answer.new and answer.code == 0, answer.text
    host.python(BLOCK.format(P2))
    assert P2 not in host.dnf("install", stock.P2.name).new
    assert P2 in host.dnf("install", P2).new


THIRD = """
import dnf
class Third(dnf.Plugin):
    name = 'third'
    count = 0
    def resolved(self):
        self.count += 1
        if self.count == 2:
            raise dnf.exceptions.Error('not with me')
    def pre_transaction(self):
        assert isinstance(self.base.goal, dnf.goal.Goal) and self.base.goal.group_members is not None
"""


def test_another_plugin_that_refuses_what_was_added(host):
    host.repos(base="patches")
    host.write("/usr/share/two-plugins/third.py", THIRD)
    shutil.copy(SHIM, host.path("/usr/share/two-plugins/livepatch.py"))
    answer = host.dnf("--setopt=pluginpath=/usr/share/two-plugins", "upgrade")
    assert answer.code == 0 and answer.new == {BY2}, answer.text
    assert len(lines(answer)) == 1 and "not with me" in lines(answer)[0]
    unharmed(answer)


# --- the repositories' advisories ---

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<updates>'
UPDATE = (
    '<update from="x" status="final" type="{type}" version="1"><id>{id}</id><title>t</title>'
    '<issued date="2026-01-01"/><references>{refs}</references><pkglist><collection short="x">'
    '<package name="kernel-core" version="5.14.0" release="20.el9" epoch="0" arch="x86_64"/>'
    "</collection></pkglist></update>"
)


@pytest.mark.parametrize(
    "text",
    [
        "not xml at all",
        HEAD + UPDATE.format(type="security", id="A", refs="") + "<update><id>",
        HEAD + UPDATE.format(type="security", id="A", refs='<reference type="cve"/>') + "</updates>",
        HEAD + UPDATE.format(type="wrong", id="", refs='<reference id="CVE-x"/>') + "</updates>",
        HEAD
        + "".join(
            UPDATE.format(type="security", id=f"A-{n}", refs=f'<reference type="cve" id="CVE-2024-{n:05}"/>')
            for n in range(5000)
        )
        + "</updates>",
    ],
    ids=["no xml", "cut short", "reference without id", "nonsense", "huge"],
)
def test_broken_or_huge_updateinfo(lab, host, text):
    folder = lab.folder + f"/info-{abs(hash(text))}"
    shutil.copytree(f"{lab.states}/patches", folder)
    with open(folder + "/updateinfo.xml", "w", encoding="utf-8") as file:
        file.write(text)
    host.repos(base="start")
    host.sh(f"modifyrepo_c {folder}/updateinfo.xml {folder}/repodata")
    host.repos(base=f"../{folder.rsplit('/', 1)[1]}")
    native = host.dnf("--disableplugin=livepatch", "upgrade", "--assumeno")
    answer = host.dnf("upgrade")
    unharmed(answer)
    if "bystander" in native.out:
        assert {BY2, P2} <= answer.new and answer.code == 0
    else:
        assert answer.new == frozenset()
