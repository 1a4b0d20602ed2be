# SPDX-License-Identifier: GPL-2.0-or-later
"""Reconcile and status with patches that a vendor's own client loads; stand-ins are the clients."""

import os

import pytest

from dnf_plugin_livepatch.base.model import InForce, InstalledPatch, Nevra
from dnf_plugin_livepatch.host.clients import patches
from dnf_plugin_livepatch.host.packages import installed
from dnf_plugin_livepatch.host.report import status
from dnf_plugin_livepatch.vendors import profiles
from tests.unit.support.clients import OE, UEK, UUID, install, rows
from tests.unit.support.fakehost import RELEASE, Host, ids, run


def package(profile, name, version, release="0", kind="patch"):
    nevra = Nevra(name, "0", version, release, "noarch")
    return InstalledPatch(nevra, profile, UEK.release, kind, profile, ())


NEW = package("ksplice", f"uptrack-updates-{UEK.release}", "20241022")
OLD = package("ksplice", f"uptrack-updates-{UEK.release}", "20240922")


@pytest.fixture
def ksplice(tmp_path):
    (tmp_path / "available").write_text("[49jdhygv] CVE-2021-20239: Information leak in BPF.\n")
    programs = ("uptrack-upgrade", "uptrack-remove", "uptrack-show", "uptrack-uname")
    return install(tmp_path, "ksplice", "uptrack.py", programs)


def test_what_is_installed_is_loaded_once_and_then_left_alone(ksplice):
    assert [row.in_force for row in patches.rows([ksplice], (NEW, OLD), UEK, {})] == [False]
    first = patches.converge([ksplice], (NEW, OLD), UEK, 1)
    assert first.desired == (str(NEW.nevra),) and first.problems == ()
    assert [(a.verb, a.module, a.outcome) for a in first.actions] == [("load", "ksplice", "done")]
    assert [(f.module, f.nevra, f.cves) for f in first.in_force] == [
        ("ksplice", str(NEW.nevra), ("CVE-2021-20239",))
    ]
    (row,) = patches.rows([ksplice], (NEW, OLD), UEK, {})
    assert row == patches.Row("ksplice", "ksplice", str(NEW.nevra), True, ("CVE-2021-20239",), "")


def test_a_second_run_changes_nothing(ksplice, tmp_path):
    patches.converge([ksplice], (NEW,), UEK, 1)
    (tmp_path / "available").write_text((tmp_path / "applied").read_text())
    again = patches.converge([ksplice], (NEW,), UEK, 1)
    assert again.actions == () and again.problems == () and again.in_force[0].nevra == str(NEW.nevra)


def test_what_the_client_took_out_is_loaded_again(ksplice, tmp_path, monkeypatch):
    host = Host(str(tmp_path / "host")).create().attach(monkeypatch)
    patch = NEW._replace(kernel_release=RELEASE)
    found = installed.Installed((patch,), True, "", (), host.paths.at("/var/lib/rpm"))
    monkeypatch.setattr(installed, "read", lambda *_: found)
    monkeypatch.setattr(profiles, "load", lambda _: ((ksplice,), ()))
    line = (tmp_path / "available").read_text()
    for _ in range(3):
        (tmp_path / "available").write_text(line)
        assert run(host).in_force[0].nevra == str(NEW.nevra)
    os.rename(tmp_path / "applied", tmp_path / "available")  # as uptrack-remove by hand
    assert status.gather(host.paths, host.config).state == "failed"
    result = run(host)
    assert [(action.verb, action.outcome) for action in result.actions] == [("load", "done")]
    assert ids(result) == [] and status.gather(host.paths, host.config).state != "failed"


def test_of_a_rival_no_old_answer_is_given(tmp_path, monkeypatch):
    host = Host(str(tmp_path / "host")).create().attach(monkeypatch)
    told = [patches.Outside(in_force=(InForce("kernelcare", "", ("CVE-2020-1472",)),)), patches.Outside()]
    monkeypatch.setattr(patches, "converge", lambda *_: told.pop(0))
    assert [patch.module for patch in run(host).in_force] == ["kernelcare"]
    assert run(host).in_force == () and not told


@pytest.mark.parametrize("broken", ["fail", "garble", "lie"])
def test_a_client_that_does_not_do_it_is_an_error_and_closes_nothing(ksplice, tmp_path, broken):
    (tmp_path / "broken").write_text(broken)
    found = patches.converge([ksplice], (NEW,), UEK, 1)
    assert found.in_force == () and [p.id for p in found.problems] == ["client-failed"]
    assert found.problems[0].severity == "error" and found.desired
    (row,) = patches.rows([ksplice], (NEW,), UEK, {str(NEW.nevra): ("CVE-2000-0001",)})
    assert not row.in_force and row.reason


def test_an_absent_client_is_an_error_with_its_remedy(ksplice, tmp_path):
    for program in ("uptrack-upgrade", "uptrack-show"):
        (tmp_path / program).unlink()
    found = patches.converge([ksplice], (NEW,), UEK, 1)
    assert [p.id for p in found.problems] == ["client-absent"] and "uptrack" in found.problems[0].remedy


def test_a_blocked_or_empty_package_is_not_handed_to_the_client(ksplice, tmp_path):
    empty = package("ksplice", "uptrack-updates-x", "1", kind="empty")
    assert patches.converge([ksplice], (NEW, OLD), UEK, 1, {str(NEW.nevra)}) == patches.Outside()
    assert patches.converge([ksplice], (empty,), UEK, 1) == patches.Outside()
    assert (tmp_path / "available").exists()


@pytest.fixture
def half(ksplice, tmp_path):
    """The updates of an older package are in force; those of the newer one, which adds one, never were."""
    old = (tmp_path / "available").read_text()
    (tmp_path / "applied").write_text(old)
    (tmp_path / "available").write_text(old + "[0wxz6ooo] CVE-2020-36158: Code execution.\n")
    return ksplice


def test_updates_of_an_older_package_do_not_put_the_newer_one_in_force(half):
    cover = {str(NEW.nevra): ("CVE-2020-36158", "CVE-2021-20239")}
    new, rest = patches.rows([half], (NEW, OLD), UEK, cover)
    assert new[2:4] == (str(NEW.nevra), False) and new.reason == "partial"
    assert rest == patches.Row("ksplice", "ksplice", "", True, ("CVE-2021-20239",), "")
    found = patches.converge([half], (NEW, OLD), UEK, 1)
    assert found.problems == () and [item.nevra for item in found.in_force] == [str(NEW.nevra)]
    (row,) = patches.rows([half], (NEW, OLD), UEK, cover)
    assert row.in_force and row.cves == ("CVE-2020-36158", "CVE-2021-20239")


def test_where_the_newer_package_cannot_be_applied_only_the_older_updates_close(half, tmp_path):
    (tmp_path / "broken").write_text("fail")
    found = patches.converge([half], (NEW, OLD), UEK, 1)
    assert found.in_force == (InForce("ksplice", "", ("CVE-2021-20239",)),)
    assert [(p.id, str(NEW.nevra) in p.text) for p in found.problems] == [("client-failed", True)]


def test_a_client_that_names_no_patches_closes_what_it_tells_and_no_advisorys_cves(ksplice, tmp_path):
    (tmp_path / "applied").write_text("[cp1p7rl5] Known exploit detection.\n")
    (tmp_path / "available").unlink()
    told = NEW._replace(cves=("CVE-2000-0002",))
    (row,) = patches.rows([ksplice], (told,), UEK, {str(NEW.nevra): ("CVE-2000-0001",)})
    assert row.in_force and row.cves == ()


BASE = f"kernel-{OE.release[:-7]}/"
SINGLES = tuple(
    package("openeuler-single", f"patch-{BASE[:-1]}-{name}", "1", "1") for name in ("SGL_1", "SGL_2", "HP1")
)


@pytest.fixture
def single(tmp_path):
    return install(tmp_path, "openeuler-single", "syscare.py", ("syscare",))


def test_single_patches_are_all_in_force_with_the_cves_of_their_advisories(single, tmp_path):
    rows(
        tmp_path,
        (UUID + "1", BASE + "SGL_1-1-1/vmlinux", "ACCEPTED"),
        (UUID + "2", BASE + "SGL_2-1-1/vmlinux", "NOT-APPLIED"),
        (UUID + "3", BASE + "HP1-1-1/vmlinux", "ACCEPTED"),
    )
    found = patches.converge([single], SINGLES, OE, 1)
    assert [f.nevra for f in found.in_force] == [str(patch.nevra) for patch in SINGLES]
    assert {f.module for f in found.in_force} == {"openeuler_single"} and found.problems == ()
    cover = {str(SINGLES[0].nevra): ("CVE-2024-0001",)}
    told = [row.cves for row in patches.rows([single], SINGLES, OE, cover)]
    assert told == [("CVE-2024-0001",), (), ()]


def test_a_package_that_its_client_does_not_list_is_open_whatever_else_is_in_force(single, tmp_path):
    rows(tmp_path, (UUID + "1", BASE + "SGL_1-1-1/vmlinux", "ACTIVED"))
    mine, other = (str(patch.nevra) for patch in SINGLES[:2])
    told = patches.rows([single], SINGLES[:2], OE, {other: ("CVE-2024-0002",)})
    assert [(row.package, row.in_force, row.reason) for row in told] == [
        (mine, True, ""),
        (other, False, "syscare lists no patch of it"),
    ]
    found = patches.converge([single], SINGLES[:2], OE, 1)
    assert [item.nevra for item in found.in_force] == [mine] and found.desired == (mine, other)
    assert [p.id for p in found.problems] == ["client-failed"] and other in found.problems[0].text
    assert "lists no patch of it" in found.problems[0].text


def test_of_single_patches_only_the_refused_one_is_open(single, tmp_path):
    rows(
        tmp_path,
        (UUID + "1", BASE + "SGL_1-1-1/vmlinux", "NOT-APPLIED"),
        (UUID + "2", BASE + "SGL_2-1-1/refuse", "NOT-APPLIED"),
    )
    mine, other = (str(patch.nevra) for patch in SINGLES[:2])
    found = patches.converge([single], SINGLES[:2], OE, 1)
    assert [item.nevra for item in found.in_force] == [mine]
    assert [p.id for p in found.problems] == ["client-failed"] and other in found.problems[0].text
    told = {row.package: (row.in_force, row.reason) for row in patches.rows([single], SINGLES[:2], OE, {})}
    assert told == {mine: (True, ""), other: (False, "syscare lists it as not in force")}


@pytest.mark.parametrize("name", ["SGL_1-1-1", "ACC-1-1", "ACC-1-30"])
def test_a_cumulative_package_is_open_while_another_patch_is_in_force(tmp_path, name):
    rule = install(tmp_path, "openeuler", "syscare.py", ("syscare",))
    rows(tmp_path, (UUID + "1", f"{BASE}{name}/vmlinux", "ACTIVED"))
    newest = package("openeuler", f"patch-{BASE[:-1]}-ACC", "1", "3")
    (row,) = patches.rows([rule], (newest,), OE, {str(newest.nevra): ("CVE-2024-0001",)})
    assert not row.in_force and "lists no patch of it" in row.reason
    found = patches.converge([rule], (newest,), OE, 1)
    assert found.in_force == () and [p.id for p in found.problems] == ["client-failed"]
    rows(tmp_path, (UUID + "1", f"{BASE}ACC-1-3/vmlinux", "ACTIVED"))
    assert patches.rows([rule], (newest,), OE, {})[0].in_force


def test_a_rival_is_told_and_never_driven(tmp_path):
    rival = install(tmp_path, "kernelcare", "kcarectl.py", ("kcarectl",))
    (tmp_path / "code").write_text("0")
    (tmp_path / "cvelist").write_text("CVE-2024-1086\n")
    found = patches.converge([rival], (), UEK, 1)
    assert found.in_force == (InForce("kernelcare", "", ("CVE-2024-1086",)),)
    assert found.actions == () and not (tmp_path / "driven").exists()
    assert patches.rows([rival], (), UEK, {})[0].package == ""
    (tmp_path / "code").write_text("3")
    assert patches.converge([rival], (), UEK, 1).in_force == ()
    assert patches.rows([rival], (), UEK, {}) == ()


@pytest.mark.parametrize("left", ["gone", "blocked", "unknown"])
def test_what_was_loaded_for_a_package_goes_with_it(ksplice, left):
    first = patches.converge([ksplice], (NEW,), UEK, 1)
    assert first.ours == (("ksplice", str(NEW.nevra)),)
    again = patches.converge([ksplice], (NEW,), UEK, 1, (), dict(first.ours))
    assert again.ours == first.ours
    installed, stays_out = ((NEW,), {str(NEW.nevra)}) if left == "blocked" else ((), set())
    after = patches.converge(
        [ksplice], installed, UEK, 1, stays_out, dict(first.ours), lambda nevra: left == "gone"
    )
    if left == "unknown":
        assert after.actions == () and after.ours == first.ours
        assert patches.client.state(ksplice, UEK).state == "in-force"
    else:
        assert [(a.verb, a.nevra, a.outcome) for a in after.actions] == [("unload", str(NEW.nevra), "done")]
        assert after.ours == () and patches.client.state(ksplice, UEK).state == "none"


def test_what_the_client_had_loaded_before_stays(ksplice, tmp_path):
    (tmp_path / "applied").write_text("[49jdhygv] CVE-2021-20239: Information leak in BPF.\n")
    first = patches.converge([ksplice], (NEW,), UEK, 1)
    assert first.in_force and first.ours == ()
    after = patches.converge([ksplice], (), UEK, 1, (), {}, lambda nevra: True)
    assert after.actions == () and patches.client.state(ksplice, UEK).state == "in-force"


def test_a_client_that_does_not_take_it_out_is_told(ksplice, tmp_path):
    first = patches.converge([ksplice], (NEW,), UEK, 1)
    (tmp_path / "broken").write_text("fail")
    after = patches.converge([ksplice], (), UEK, 1, (), dict(first.ours), lambda nevra: True)
    assert [p.id for p in after.problems] == ["client-left"] and after.ours == first.ours


@pytest.fixture
def hot(tmp_path):
    """openEuler's two profiles, which share one client, and a patch of each: cumulative and single."""
    names = ("openeuler", "openeuler-single")
    both = [install(tmp_path, name, "syscare.py", ("syscare",)) for name in names]
    base = OE.release[:-7]
    names = ("ACC-1-1", "SGL_CVE_2024_1-1-1")
    rows(
        tmp_path,
        *((UUID + str(n), f"kernel-{base}/{name}/vmlinux", "NOT-APPLIED") for n, name in enumerate(names)),
    )
    packages = (
        package("openeuler", f"patch-kernel-{base}-ACC", "1", "1"),
        package("openeuler-single", f"patch-kernel-{base}-SGL_CVE_2024_1", "1", "1"),
    )
    return both, packages


@pytest.mark.parametrize("bad", [0, 1])
def test_a_blocked_patch_is_not_loaded_with_another_of_the_same_client(hot, tmp_path, bad):
    both, packages = hot
    good, out = str(packages[1 - bad].nevra), str(packages[bad].nevra)
    for _ in range(2):
        found = patches.converge(both, packages, OE, 1, {out})
        assert found.problems == () and found.desired == (good,)
        assert [item.nevra for item in found.in_force] == [good]
    states = [line.split()[2] for line in (tmp_path / "patches").read_text().splitlines()]
    assert states[bad] == "NOT-APPLIED" and states[1 - bad] == "ACTIVED"
    told = {row.package: (row.in_force, row.reason) for row in patches.rows(both, packages, OE, {})}
    assert told == {good: (True, ""), out: (False, "syscare lists it as not in force")}
    patches.converge(both, packages, OE, 1)
    assert "NOT-APPLIED" not in (tmp_path / "patches").read_text()


def test_nothing_is_loaded_where_the_blocked_patch_cannot_be_told(hot, tmp_path):
    both, packages = hot
    (tmp_path / "patches").write_text((tmp_path / "patches").read_text().replace("/ACC-1-1/", "/acc/"))
    found = patches.converge(both, packages, OE, 1, {str(packages[0].nevra)})
    assert [item.id for item in found.problems] == ["client-failed"] and found.in_force == ()
    assert str(packages[0].nevra) in found.problems[0].text
    assert "ACTIVED" not in (tmp_path / "patches").read_text()


def test_a_client_that_loads_all_or_nothing_is_not_run_while_a_package_must_stay_out(ksplice, tmp_path):
    twin = ksplice._replace(name="ksplice-too")
    other = package("ksplice-too", "uptrack-updates-too", "1")
    for here, out in (((NEW, OLD), OLD), ((NEW, other), other)):
        found = patches.converge([ksplice, twin], here, UEK, 1, {str(out.nevra)})
        assert [item.id for item in found.problems] == ["client-failed"] and found.in_force == ()
        assert str(out.nevra) in found.problems[0].text and (tmp_path / "available").exists()
    assert patches.converge([ksplice, twin], (NEW,), UEK, 1, {str(OLD.nevra)}).problems == ()
