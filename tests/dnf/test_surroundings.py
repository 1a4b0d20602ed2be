# SPDX-License-Identifier: GPL-2.0-or-later
"""Surroundings that are broken, hostile or in the plugin's way: dnf goes on, and a line says so."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.dnf.support import records, stock
from tests.dnf.support.lab import RUNNING, SOURCE, lines, unharmed

STATUS = "python3 -c 'from dnf_plugin_livepatch.host.cli import main as cli; cli.main()' status"
SHIM = SOURCE + "/dnf_plugin_livepatch/dnf-plugins/livepatch.py"
P1, P2, BY2 = str(stock.P1), str(stock.P2), str(stock.BY2)


@pytest.mark.parametrize("text", ["mode = load # for now\n", "nonsense\n", "transition_timeout = soon\n"])
def test_broken_configuration_is_one_line(host, text):
    host.repos(base="patches")
    host.conf(text)
    answer = host.dnf("upgrade")
    assert {BY2, P2} <= answer.new and answer.code == 0, answer.text
    assert len(lines(answer)) == 1 and "livepatch.conf" in lines(answer)[0]
    unharmed(answer)


@pytest.mark.parametrize("text", ["enabled = maybe\n", "mode = laod\n", "x" * 70000])
def test_a_switch_that_is_not_understood_adds_nothing(host, text):
    host.repos(base="patches")
    host.conf(text)
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and answer.code == 0, answer.text
    assert any("livepatch.conf" in line for line in lines(answer))
    unharmed(answer)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff[main]\nenabled = 0\n",
        "enabled = 0\nmode = report\n",
        "[MAIN]\nmode = report\n",
        "[main]\nmode: report\n",
    ],
)
def test_an_off_switch_in_a_damaged_file_is_off(host, text):
    host.repos(base="patches")
    host.write("/etc/dnf/plugins/livepatch.conf", text)
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and answer.code == 0, answer.text
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


RUNTIME = (
    f"#!/bin/sh\nexport PYTHONPATH={SOURCE}\nexec /usr/bin/python3 -c "
    "'import sys; from dnf_plugin_livepatch.host.cli import main; sys.exit(main.main())' \"$@\"\n"
)


@pytest.mark.parametrize(
    "words",
    [
        "dnf -y upgrade",  # as in RUN of a Containerfile: no systemd, and the engine took the right away
        "setpriv --inh-caps=-sys_module --bounding-set=-sys_module dnf -y upgrade",
    ],
)
def test_a_container_without_marks(host, words):
    """What cannot be loaded here is not added, and the build of an image does not fail."""
    host.repos(base="patches")
    host.write("/usr/bin/livepatch", RUNTIME)
    host.sh("chmod 755 /usr/bin/livepatch; rm -rf /run/systemd")
    answer = host.sh(words)
    assert answer.new == {BY2} and answer.code == 0, answer.text
    assert any("no kernel module can be loaded from here" in line for line in lines(answer))
    told = host.sh("livepatch status; livepatch reconcile")
    assert "on the host of this container" in told.out and told.code == 0


@pytest.mark.parametrize(
    ("module", "product"),
    [("ksplice_1a2b3c", "Ksplice"), ("kcare", "KernelCare"), ("kpatch", "kpatch's own")],
)
def test_what_reconcile_would_always_refuse_is_not_added(host, module, product):
    host.repos(base="patches")
    host.write(f"/sys/module/{module}/initstate", "live\n")
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and answer.code == 0
    assert any(f"not added: {product}" in line and "this kernel already" in line for line in lines(answer))


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
    host.sh(
        "mkdir -p /other/etc && cp -a /etc/yum.repos.d /etc/dnf /other/etc/"
        " && rpm --root /other --initdb && cp -a /var/lib/rpm /other/var/lib/"
    )
    answer = host.dnf("--installroot=/other", "--releasever=9", "upgrade")
    assert answer.code == 0, answer.text
    found = host.sh("rpm --root /other -qa | grep -c kpatch")
    assert found.out.strip() == "0" and lines(answer) == []


@pytest.mark.parametrize(
    "room",
    [
        "vendors/profiles",
        "exposure/compute",
        "dnf4/packages",
        "dnf4/solver",
        "dnf4/run",
        "dnf4/voice",
        "planning/facts",
        "planning/inputs",
        "planning/interface",
        "dnf4/command",
        "planning/survey",
        "host/kernel/running",
        "host/for_planning",
        "host/report/status",
        "host/packages/inventory",
        "planning/planner",
    ],
)
@pytest.mark.parametrize("how", ["raise SystemError('broken')\n", "def (\n"])
def test_a_broken_room_costs_a_line_and_nothing_else(host, room, how):
    host.repos(base="update")
    host.sh(f"mkdir /shadow && cp -a {SOURCE}/dnf_plugin_livepatch /shadow/ && rm -rf /shadow/*/__pycache__")
    host.write(f"/shadow/dnf_plugin_livepatch/{room}.py", how)
    answer = host.dnf("upgrade", env={"PYTHONPATH": "/shadow", "PYTHONPYCACHEPREFIX": ""})
    assert answer.code == 0 and answer.new == {BY2}, answer.text
    assert "Traceback" not in answer.text


def test_a_command_that_does_not_upgrade_imports_no_planner(host):
    host.repos(base="update")
    answer = host.dnf("install", "other", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert answer.code == 0 and "dnf_plugin_livepatch.dnf4.plugin" in answer.err
    dear = ("planning.interface", "exposure", "vendors", "formats", "dnf4.run", "host.look")
    assert [name for name in dear if f"dnf_plugin_livepatch.{name}" in answer.err] == []


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
    def known() -> list[str]:
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


def test_a_repository_that_does_not_answer_is_no_proof_that_nothing_is_open(host):
    def known() -> tuple[str, str]:
        kernel = json.loads(host.read("/var/lib/livepatch/exposure.json"))["kernels"][0]
        return kernel["quality"], kernel["reason"]

    host.conf("repos = base, updates\n")
    down = "\n[updates]\nname=updates\nbaseurl=file:///nowhere\nskip_if_unavailable=1"
    host.repos(base="start" + down)
    answer = host.dnf("livepatch", "update", "--check")
    assert known() == ("unknown", "left out when the repositories were read: updates")
    host.repos(base="start", updates="kernel")
    host.dnf("livepatch", "update", "--check")
    assert known() == ("exact", "")
    host.repos(base="kernel" + down)
    answer = host.dnf("upgrade", "--assumeno")
    assert "At next reboot: 2" in answer.text
    assert "Not complete  : left out when the repositories were read: updates" in answer.text
    quality, reason = known()
    assert quality == "lower-bound"
    assert reason.startswith("left out when the repositories were read: updates; what was known on")
    host.repos(base="start", updates="kernel")
    host.dnf("livepatch", "update", "--check")
    assert known() == ("exact", ""), "the repository answers again"


@pytest.mark.parametrize("state", ["update", "kernel"])
@pytest.mark.parametrize(
    "command", [("upgrade", "--exclude=kernel-core"), ("livepatch", "update", "--check")]
)
def test_a_strange_repository_that_does_not_answer_keeps_nothing_from_being_known(host, state, command):
    def known() -> tuple[str, set[str]]:
        kernel = json.loads(host.read("/var/lib/livepatch/exposure.json"))["kernels"][0]
        return kernel["quality"], {row["cve"] for row in kernel["debt"]}

    host.repos(base="start", copr=f"{state}\ngpgcheck=1")
    host.dnf(*command)
    _, before = known()
    down = "\n[copr]\nname=copr\nbaseurl=file:///nowhere\nskip_if_unavailable=1"
    for _ in range(2):
        host.repos(base="patches" + down)
        host.dnf(*command)
        quality, now = known()
        assert quality == "exact" and now >= before | {"CVE-2024-0020"}


BLOCK = """
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.files import guard_file as guard
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


def test_a_blocked_patch_that_is_installed_is_neither_downgraded_nor_missing(host):
    host.repos(base="first")
    host.dnf("upgrade")
    host.repos(base="patches")
    assert P2 in host.dnf("upgrade").new
    host.python(BLOCK.format(P2))
    answer = host.dnf("distro-sync")
    assert answer.code == 0 and not answer.new and not answer.gone, answer.text
    again = host.dnf("reinstall", stock.P2.name)
    assert again.code == 0 and "Reinstalling" in again.text, again.text


@pytest.mark.parametrize(
    "room", ["dnf4/quiet_runs", "dnf4/asked", "dnf4/run", "planning/planner", "planning/withheld"]
)
def test_a_blocked_patch_stays_out_when_another_look_fails(lab, host, room):
    """DNF itself upgrades an installed live patch, so that nothing but the plugin's exclude keeps it out."""
    host.repos(base="first")
    assert P1 in host.dnf("upgrade").new
    host.python(BLOCK.format(P2))
    host.repos(base=records.told(lab, "patches", {}))
    host.sh(f"mkdir /shadow && cp -a {SOURCE}/dnf_plugin_livepatch /shadow/ && rm -rf /shadow/*/__pycache__")
    if room == "planning/withheld":
        host.sh(f"echo 'def kept_out(*_): raise SystemError' >>/shadow/dnf_plugin_livepatch/{room}.py")
    else:
        host.write(f"/shadow/dnf_plugin_livepatch/{room}.py", "raise SystemError('broken')\n")
    answer = host.dnf("upgrade", env={"PYTHONPATH": "/shadow", "PYTHONPYCACHEPREFIX": ""})
    assert answer.code == 0 and answer.new == {BY2}, answer.text


# A stand-in for the command of dnf-plugins-core: its second half, which changes the goal.
OFFLINE = """
import dnf, dnf.cli
class Offline(dnf.Plugin):
    name = 'offline'
    def __init__(self, base, cli):
        super().__init__(base, cli)
        cli.register_command(OfflineCommand)
class OfflineCommand(dnf.cli.Command):
    aliases = ('offline-upgrade',)
    summary = 'stand-in'
    @staticmethod
    def set_argparser(parser):
        parser.add_argument('tid', nargs=1, choices=['download', 'upgrade'])
    def configure(self):
        demands = self.cli.demands
        demands.available_repos = demands.resolving = demands.sack_activation = demands.root_user = True
    def run(self):
        self.base.install('{}')
"""


def test_what_was_downloaded_for_an_offline_upgrade_is_installed(host):
    """A package that is blocked between the download and the reboot must not fail all the others."""
    host.repos(base="patches")
    host.python(BLOCK.format(P1))
    host.write("/usr/share/two-plugins/offline.py", OFFLINE.format(P1))
    shutil.copy(SHIM, host.path("/usr/share/two-plugins/livepatch.py"))
    word = ("--setopt=pluginpath=/usr/share/two-plugins", "offline-upgrade")
    assert P1 not in host.dnf(*word, "download").new
    answer = host.dnf(*word, "upgrade")
    assert answer.code == 0 and answer.new == {P1}, answer.text


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
