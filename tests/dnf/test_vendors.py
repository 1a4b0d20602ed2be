# SPDX-License-Identifier: GPL-2.0-or-later
"""Every vendor's repository under the real DNF: the package that fits is added, once, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct

import pytest

from tests.dnf.support import vendors
from tests.dnf.support.lab import PARTS, SOURCE, Host, shared

SHIM = SOURCE + "/dnf_plugin_livepatch/dnf-plugins/livepatch.py"
STANDINS = os.path.join(SOURCE, "tests", "standins")
LIVEPATCH = (
    "python3 -c 'import sys; from dnf_plugin_livepatch.host.cli import main as cli; sys.exit(cli.main())'"
)
CLIENTS = {"openeuler": ("syscare",), "ksplice": ("uptrack-upgrade", "uptrack-show", "uptrack-uname")}


@pytest.fixture(scope="session")
def vendor_lab(tmp_path_factory):
    return shared(tmp_path_factory, "vendor-lab", vendors.ALL, vendors.STATES, vendors.BASE)


class VendorHost:
    """A host that runs a vendor's kernel; every command sees that kernel's release."""

    def __init__(self, host: Host, vendor: vendors.Vendor) -> None:
        self.host = host
        self.vendor = vendor
        self.env = {
            "FAKE_RELEASE": vendor.uname,
            "PATH": f"{PARTS}/vendors:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        host.write("/etc/vendor-modules", "".join(" ".join(row) + "\n" for row in vendor.modules))
        if vendor.build_id:
            note = struct.pack("<3I4s", 4, len(vendor.build_id) // 2, 3, b"GNU") + bytes.fromhex(
                vendor.build_id
            )
            with open(host.path("/sys/kernel/notes"), "wb") as file:
                file.write(note)
        copy = host.path("/usr/sbin/kpatch")
        shutil.copy(os.path.join(PARTS, "vendors", "kpatch-stand-in"), copy)
        self.use("start")
        answer = self.dnf("install", str(vendor.kernel))
        assert answer.code == 0 and str(vendor.kernel) in answer.new, answer.text

    def use(self, state: str) -> None:
        self.host.repos(base=f"{self.vendor.profile}-{state}")

    def dnf(self, *words: str):
        return self.host.dnf(*words, env=self.env)

    def sh(self, command: str):
        return self.host.sh(command, env=self.env)


@pytest.fixture(params=vendors.VENDORS, ids=lambda vendor: vendor.profile)
def vendor_host(request, vendor_lab):
    host = vendor_lab.host()
    yield VendorHost(host, request.param)
    host.drop()


@pytest.fixture
def red_hat(vendor_lab):
    host = vendor_lab.host()
    yield VendorHost(host, vendors.RED_HAT)
    host.drop()


def patches(answer, vendor):
    """The packages that the run added beside the next kernel."""
    return set(answer.new) - {str(vendor.newer)}


def test_upgrade_adds_the_best_patch_of_the_running_kernel_and_no_other(vendor_host):
    vendor = vendor_host.vendor
    vendor_host.use("fix")
    answer = vendor_host.dnf("upgrade")
    assert patches(answer, vendor) == {str(vendor.best)}, answer.text
    assert not answer.gone and "Traceback" not in answer.text
    if vendor.profile not in CLIENTS:
        assert answer.code == 0, answer.text
    again = vendor_host.dnf("upgrade")
    assert not again.new and not again.gone, again.text


def test_security_upgrade_adds_it_too(vendor_host):
    vendor_host.use("fix")
    answer = vendor_host.dnf("upgrade", "--security")
    assert patches(answer, vendor_host.vendor) == {str(vendor_host.vendor.best)}, answer.text


def test_another_running_kernel_gets_nothing_of_it(vendor_host):
    vendor = vendor_host.vendor
    vendor_host.use("fix")
    vendor_host.host.write("/sys/kernel/notes", "")
    vendor_host.env["FAKE_RELEASE"] = vendor.uname.replace(".1", ".2", 1).replace("72.", "71.", 1) + "x"
    answer = vendor_host.dnf("upgrade")
    assert not patches(answer, vendor), answer.text


def test_without_the_plugin_nothing_is_added(vendor_host):
    vendor_host.use("fix")
    answer = vendor_host.dnf("--disableplugin=livepatch", "upgrade")
    assert not patches(answer, vendor_host.vendor)


@pytest.mark.parametrize(
    "vendor", [v for v in vendors.VENDORS if f"{v.profile}-empty" in vendors.STATES], ids=lambda v: v.profile
)
def test_an_empty_package_is_no_fix(vendor_lab, vendor):
    host = vendor_lab.host()
    one = VendorHost(host, vendor)
    one.use("empty")
    answer = one.dnf("upgrade")
    assert not patches(answer, vendor), answer.text
    installed = one.dnf("install", vendor.best.name)
    assert installed.code == 0, installed.text
    one.use("fix")
    answer = one.dnf("upgrade")
    assert str(vendor.best) in answer.new and answer.code == 0, answer.text
    host.drop()


def test_red_hats_own_scriptlet_loads_it_and_it_is_in_force(red_hat):
    red_hat.use("fix")
    answer = red_hat.dnf("upgrade")
    assert answer.code == 0, answer.text
    log = red_hat.host.read("/var/log/kpatch")
    assert f"load /usr/lib/kpatch/{vendors.EL}/kpatch-5_14_0-427_13_1-1-10.ko" in log
    told = red_hat.sh(
        "python3 -c 'from dnf_plugin_livepatch.host.cli import main as cli; cli.main()' status --json"
    )
    assert '"kpatch_5_14_0_427_13_1_1_10"' in told.out, told.text


def test_a_scriptlet_that_loads_nothing_shows_in_the_exit_code(red_hat):
    red_hat.use("fix")
    red_hat.host.write("/usr/sbin/kpatch", "#!/bin/sh\nexit 0\n")
    answer = red_hat.dnf("upgrade")
    assert str(vendors.RED_HAT.best) in answer.new and answer.code == 5, answer.text


COCKPIT_READS = "find /etc/dnf/plugins/kpatch.conf /etc/systemd/system -printf '%p %l %T@\\n' | sort"


def test_what_cockpits_page_reads_stays_as_its_owner_left_it(red_hat):
    """autoupdate in kpatch.conf, whether kpatch.service is enabled, the running kernel's package."""
    host = red_hat.host
    host.write("/etc/dnf/plugins/kpatch.conf", "[main]\n# Cockpit's\nautoupdate = True\n")
    wants = host.path("/etc/systemd/system/multi-user.target.wants/kpatch.service")
    os.symlink("/usr/lib/systemd/system/kpatch.service", wants)
    before = red_hat.sh(COCKPIT_READS).out
    assert "kpatch.conf" in before and "multi-user.target.wants/kpatch.service" in before
    asked = f"rpm -q {vendors.KP} --qf '%{{version}}-%{{release}}'"
    assert red_hat.sh(asked).code == 1
    red_hat.use("fix")
    assert red_hat.dnf("upgrade").code == 0 and red_hat.sh(asked).out == "1-10.el9_4"
    undone = red_hat.dnf("history", "undo", "last")
    assert undone.code == 0 and red_hat.sh(asked).code == 1, undone.text
    assert red_hat.sh(COCKPIT_READS).out == before


def test_what_cockpits_page_does_for_the_current_kernel_only_is_enough(red_hat):
    red_hat.use("fix")
    answer = red_hat.dnf("install", vendors.KP)
    assert answer.code == 0 and answer.new == {str(vendors.RED_HAT.best)} and not answer.gone, answer.text
    rows = json.loads(red_hat.sh(f"{LIVEPATCH} status --json").out)["patches"]
    assert [(row["package"], row["in_force"]) for row in rows] == [(str(vendors.RED_HAT.best), True)]
    again = red_hat.dnf("upgrade")
    assert again.code == 0 and not patches(again, vendors.RED_HAT), again.text


@pytest.mark.parametrize("first", ["base", "corp"])
def test_of_two_vendors_one_fits_and_nothing_is_added_twice(red_hat, first):
    own = "own\npriority=" + ("10" if first == "corp" else "99")
    red_hat.host.repos(base="kpatch-fix", corp=own)
    red_hat.host.conf("repos = corp\n")
    answer = red_hat.dnf("upgrade")
    added = patches(answer, vendors.RED_HAT)
    assert len(added) == 1 and added <= {str(vendors.RED_HAT.best), str(vendors.OWN)}, answer.text
    again = red_hat.dnf("upgrade")
    assert not again.new and not again.gone, again.text


@pytest.mark.parametrize("plugin", ["kpatch", "zz-kpatch"])
@pytest.mark.parametrize("setting", ["autoupdate", "autofilter"])
def test_beside_kpatch_dnf_nothing_is_added_twice(red_hat, plugin, setting):
    """A stand-in for kpatch-dnf is asked before the plugin or after it; both add the next kernel's patch."""
    plugins = "/usr/share/two-plugins"
    with open(os.path.join(STANDINS, "kpatch_dnf.py"), encoding="utf-8") as file:
        red_hat.host.write(f"{plugins}/{plugin}.py", file.read())
    shutil.copy(SHIM, red_hat.host.path(f"{plugins}/livepatch.py"))
    red_hat.host.write("/etc/dnf/plugins/kpatch.conf", f"[main]\n{setting} = True\n")
    red_hat.use("next" if setting == "autoupdate" else "fix")
    option = f"--setopt=pluginpath={plugins}"
    answer = red_hat.dnf(option, "upgrade")
    wanted = {str(vendors.RED_HAT.best)}
    if setting == "autoupdate":
        wanted |= {str(vendors.RED_HAT.newer), str(vendors.NEXT)}
    assert answer.new == wanted and not answer.gone and answer.code == 0, answer.text
    assert "Traceback" not in answer.text
    assert answer.text.count(f"Installing       : {vendors.RED_HAT.best}") == 1
    again = red_hat.dnf(option, "upgrade")
    assert not again.new and not again.gone, again.text


def test_a_repository_that_nobody_named_gets_nothing_in(red_hat):
    red_hat.host.repos(base="kpatch-start", corp="own")
    answer = red_hat.dnf("upgrade")
    assert not answer.new, answer.text


def test_a_foreign_vendors_repository_beside_ours_changes_nothing(red_hat):
    red_hat.host.repos(base="kpatch-fix", other="amazon-fix", third="azure-fix")
    answer = red_hat.dnf("upgrade")
    assert str(vendors.RED_HAT.best) in answer.new
    foreign = {str(v.best) for v in vendors.VENDORS} - {str(vendors.RED_HAT.best)}
    assert not foreign & answer.new, answer.text


def test_the_program_that_a_patch_requires_comes_along(red_hat):
    assert red_hat.dnf("remove", "kpatch").gone == {str(vendors.TOOLS), str(vendors.TOOLS_DNF)}
    red_hat.host.repos(base="kpatch-alone", more="tools")
    red_hat.host.conf("repos = more\n")
    answer = red_hat.dnf("upgrade")
    wanted = {str(vendors.RED_HAT.best), str(vendors.TOOLS), str(vendors.TOOLS_DNF)}
    assert patches(answer, vendors.RED_HAT) == wanted and not answer.gone, answer.text


@pytest.mark.parametrize("repo", ["tools", "tools\ngpgcheck=0"])
def test_it_comes_from_no_repository_that_patches_may_not_come_from(red_hat, repo):
    red_hat.dnf("remove", "kpatch")
    red_hat.host.repos(base="kpatch-alone", more=repo)
    if "gpgcheck" in repo:
        red_hat.host.conf("repos = more\n")
    answer = red_hat.dnf("upgrade")
    assert answer.new == {str(vendors.RED_HAT.newer)} and answer.code == 0, answer.text
    assert f"is not added: it would also change {vendors.TOOLS}" in answer.text


@pytest.mark.parametrize("profile", sorted(CLIENTS))
def test_the_vendors_client_loads_what_the_transaction_brought(vendor_lab, profile):
    vendor = next(v for v in vendors.VENDORS if v.profile == profile)
    host = vendor_lab.host()
    one = VendorHost(host, vendor)
    one.use("fix")
    answer = one.dnf("upgrade")
    assert str(vendor.best) in answer.new, answer.text
    for program in CLIENTS[profile]:
        folder = "/usr/bin/" if profile == "openeuler" or program == "uptrack-uname" else "/usr/sbin/"
        standin = "syscare.py" if profile == "openeuler" else "uptrack.py"
        shutil.copy(os.path.join(STANDINS, standin), host.path(folder + program))
    host.write("/usr/sbin/available", f"[49jdhygv] {vendors.OPEN}: one.\n")
    host.write("/usr/bin/patches", f"a-b-c kernel-{vendor.uname[:-7]}/ACC-1-3/vmlinux NOT-APPLIED\n")
    before = one.sh(f"{LIVEPATCH} status --json")
    assert before.code == 5 and json.loads(before.out)["exposure"]["closed_live"] == [], before.text
    told = one.sh(f"{LIVEPATCH} reconcile --json")
    assert told.code == 0, told.text
    result = json.loads(told.out)
    assert [row["nevra"] for row in result["in_force"]] == [str(vendor.best)], told.text
    after = one.sh(f"{LIVEPATCH} status --json")
    exposure = json.loads(after.out)["exposure"]
    assert [row["cve"] for row in exposure["closed_live"]] == [vendors.OPEN], after.text
    assert [row["cve"] for row in exposure["open"]] == [vendors.CLOSED], after.text
    assert after.code == 0
    host.drop()


@pytest.mark.parametrize("named", [True, False], ids=["named", "no id"])
def test_dnf_says_to_be_closed_what_the_client_says(vendor_lab, named):
    """The advisories know a CVE of the package; a client that names none has closed nothing for sure."""
    vendor = next(v for v in vendors.VENDORS if v.profile == "ksplice")
    host = vendor_lab.host()
    one = VendorHost(host, vendor)
    one.use("fix")
    for program in CLIENTS["ksplice"]:
        folder = "/usr/bin/" if program == "uptrack-uname" else "/usr/sbin/"
        shutil.copy(os.path.join(STANDINS, "uptrack.py"), host.path(folder + program))
    host.write("/usr/sbin/available", f"[49jdhygv] {vendors.OPEN if named else 'A fix'}: one.\n")
    host.write("/etc/vendor-modules", "client uptrack\n")
    answer = one.dnf("upgrade")
    assert answer.code == 0 and f"Live patch {vendor.best} is in force" in answer.out, answer.text
    assert (f"CVEs closed now: {vendors.OPEN}" in answer.out) is named, answer.text
    later = f"until a reboot into kernel {vendor.newer.version}-{vendor.newer.release}: {vendors.OPEN}"
    assert (later in answer.out) is not named, answer.text
    host.drop()


def syscare(host: Host, *rpms) -> None:
    """Give ``host`` the stand-in for syscare; it lists the patches of ``rpms``, none of them applied."""
    shutil.copy(os.path.join(STANDINS, "syscare.py"), host.path("/usr/bin/syscare"))
    rows = ""
    for number, rpm in enumerate(rpms):
        name = rpm.name[len(vendors.PK) + 1 :]
        patch = f"kernel-{vendors.OE[:-7]}/{name}-{rpm.version}-{rpm.release}/vmlinux"
        rows += f"a-b-{number} {patch} NOT-APPLIED\n"
    host.write("/usr/bin/patches", rows)


@pytest.mark.parametrize(
    "vendor, patched",
    [(vendors.OPENEULER_SINGLE, vendors.SINGLES), (vendors.OPENEULER_BOTH, vendors.BOTH)],
    ids=["single", "both"],
)
def test_hot_patches_that_stand_beside_each_other_are_all_added_and_loaded(vendor_lab, vendor, patched):
    """The newest SGL and HP of each name for the running kernel, also beside the cumulative ACC."""
    host = vendor_lab.host()
    one = VendorHost(host, vendor)
    one.use("fix")
    wanted = {str(rpm) for rpm in patched}
    answer = one.dnf("upgrade")
    assert patches(answer, vendor) == wanted and not answer.gone, answer.text
    assert "Traceback" not in answer.text
    again = one.dnf("upgrade")
    assert not again.new and not again.gone, again.text
    syscare(host, *patched)
    told = one.sh(f"{LIVEPATCH} reconcile --json")
    assert told.code == 0, told.text
    assert {row["nevra"] for row in json.loads(told.out)["in_force"]} == wanted, told.text
    status = json.loads(one.sh(f"{LIVEPATCH} status --json").out)
    assert [row["cve"] for row in status["exposure"]["closed_live"]] == list(vendors.THREE), status
    assert status["exposure"]["open"] == [], status
    host.drop()


def test_a_hot_patch_that_syscare_does_not_list_is_open_while_another_is_in_force(vendor_lab):
    host = vendor_lab.host()
    one = VendorHost(host, vendors.OPENEULER_SINGLE)
    one.use("fix")
    listed, other, third = vendors.SINGLES
    assert patches(one.dnf("upgrade"), one.vendor) == {str(rpm) for rpm in vendors.SINGLES}
    syscare(host, listed)
    told = one.sh(f"{LIVEPATCH} reconcile --json")
    result = json.loads(told.out)
    assert told.code == 5 and [row["nevra"] for row in result["in_force"]] == [str(listed)], told.text
    texts = [row["text"] for row in result["problems"] if row["id"] == "client-failed"]
    assert len(texts) == 2 and all(any(str(rpm) in text for text in texts) for rpm in (other, third)), texts
    status = json.loads(one.sh(f"{LIVEPATCH} status --json").out)
    assert [row["cve"] for row in status["exposure"]["closed_live"]] == [vendors.OPEN], status
    assert [row["cve"] for row in status["exposure"]["open"]] == [vendors.CLOSED, vendors.BESIDE], status
    host.drop()


def test_a_newer_single_patch_takes_the_place_of_the_older_one_of_its_name_only(vendor_lab):
    host = vendor_lab.host()
    one = VendorHost(host, vendors.OPENEULER_SINGLE)
    one.use("fix")
    best, *rest = vendors.SINGLES
    older = next(rpm for rpm in one.vendor.others if rpm.name == best.name)
    assert str(older) in one.dnf("install", str(older)).new
    answer = one.dnf("upgrade")
    assert patches(answer, one.vendor) == {str(best), *map(str, rest)}, answer.text
    assert answer.gone == {str(older)}, answer.text
    host.drop()


SWITCHES = {
    "suse": ("/etc/sysconfig/livepatching", 'LIVEPATCH="never"\n', ""),
    "amazon": ("/etc/default/klp", "export LOAD=no # until Monday\n", "/etc/default/klp LOAD no"),
    "openeuler": ("/etc/syscare.off", "off = yes\n", "/etc/syscare.off off yes"),
}


@pytest.mark.parametrize("profile", SWITCHES)
def test_with_the_vendors_switch_off_dnf_promises_nothing(vendor_lab, profile):
    """No live patch is on the host yet. The switch is in a shipped profile, or in the administrator's."""
    path, content, switch = SWITCHES[profile]
    vendor = next(v for v in vendors.VENDORS if v.profile == profile)
    host = vendor_lab.host()
    one = VendorHost(host, vendor)
    one.use("fix")
    if switch:
        with open(os.path.join(SOURCE, "profiles", f"{profile}.conf"), encoding="utf-8") as file:
            text = file.read().replace("[load]\n", f"[load]\nswitch = {switch}\n")
        host.write(f"/etc/livepatch/profiles.d/{profile}.conf", text)
    asked = one.dnf("--assumeno", "upgrade")
    assert re.search(r"^  Will close +: [12]: CVE", asked.out, re.MULTILINE), asked.text
    host.write(path, content)
    host.write("/etc/vendor-modules", "client none\n")
    answer = one.dnf("upgrade")
    assert str(vendor.best) in answer.new and answer.code == 0, answer.text
    (line,) = re.findall(r"^  Will close +: 0, because nothing is loaded: (.*)$", answer.out, re.MULTILINE)
    assert line.endswith(f" in {path}"), answer.text
    assert f"is installed and not loaded: {line}." in answer.text, answer.text
    again = one.dnf("upgrade")
    assert again.code == 0 and not again.new and "not in force" not in again.text, again.text
    host.drop()
