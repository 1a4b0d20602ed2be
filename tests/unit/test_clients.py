# SPDX-License-Identifier: GPL-2.0-or-later
"""The adapter for external clients, with stand-in processes in place of Ksplice, syscare and KernelCare."""

import time

import pytest

from dnf_plugin_livepatch.host.clients import client as clients
from dnf_plugin_livepatch.vendors import profiles
from tests.unit.support.clients import OE, RULES, UEK, UUID, install, rows


@pytest.fixture
def ksplice(tmp_path):
    (tmp_path / "available").write_text(
        "[49jdhygv] CVE-2021-20239: Information leak in BPF.\n[cp1p7rl5] Known exploit detection.\n"
        "[0wxz6ooo] CVE-2020-36158, CVE-2021-1000123: Remote code execution.\n"
    )
    return install(tmp_path, "ksplice", "uptrack.py", ("uptrack-upgrade", "uptrack-show", "uptrack-uname"))


def test_ksplice_is_loaded_by_its_own_client_and_its_state_is_read_back(ksplice):
    assert clients.state(ksplice, UEK).state == "none"
    result = clients.apply(ksplice, UEK)
    assert (result.outcome, result.ok, result.why) == ("done", True, "")
    after = result.after
    assert after.state == "in-force" and after.effective == "5.4.17-2136.330.7.el7uek.x86_64"
    assert [entry.id for entry in after.entries] == ["49jdhygv", "cp1p7rl5", "0wxz6ooo"]
    assert after.cves == ("CVE-2020-36158", "CVE-2021-1000123", "CVE-2021-20239")
    assert after == clients.state(ksplice, UEK)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("CVE-2021-20239: Information leak in BPF.", ("CVE-2021-20239",)),
        ("CVE-2020-36158 , CVE-2021-1000123 and CVE-2021-20239: Code execution.", 3),
        ("CVE-2020-36158 CVE-2021-20239", 2),
        ("Known exploit detection for CVE-2021-20239.", ()),
        ("Known exploit detection for CVE-2021-20239: Information leak.", ()),
        ("Enablement update for the fix of CVE-2021-20239.", ()),
        ("Incomplete mitigation of CVE-2021-20239, CVE-2020-36158", ()),
        ("CVE-2021-20239 exploit detection", ()),
        ("CVE-2021-20239: Known exploit detection.", ()),
        ("CVE-2021-20239: not affected by this.", ()),
        ("CVE-2020-36158: Follow-up of CVE-2021-20239.", ("CVE-2020-36158",)),
    ],
)
def test_only_a_fix_closes_a_cve_and_no_mention_does(ksplice, tmp_path, text, closed):
    (tmp_path / "available").write_text(f"[49jdhygv] {text}\n")
    found = clients.apply(ksplice, UEK).after
    assert found.state == "in-force", "the update is applied all the same"
    assert found.cves == closed or len(found.cves) == closed


def test_nothing_to_load_is_no_failure(ksplice, tmp_path):
    (tmp_path / "available").write_text("")
    result = clients.apply(ksplice, UEK)
    assert (result.outcome, result.ok) == ("nothing", True)


def test_what_could_be_in_force_and_is_not_makes_it_partial(ksplice, tmp_path):
    first, *_ = (tmp_path / "available").read_text().splitlines()
    (tmp_path / "applied").write_text(first + "\n")
    found = clients.state(ksplice, UEK)
    assert found.state == "partial" and found.cves == ("CVE-2021-20239",)
    assert [(entry.id, entry.active) for entry in found.entries] == [
        ("49jdhygv", True),
        ("cp1p7rl5", False),
        ("0wxz6ooo", False),
    ]
    assert clients.apply(ksplice, UEK).after.state == "in-force"


@pytest.mark.parametrize(
    "script, why", [("exit 2", "exit code 2"), ("echo Maybe", "not understood"), ("kill -9 $$", "signal 9")]
)
def test_where_it_does_not_tell_what_waits_its_state_is_unknown(ksplice, tmp_path, script, why):
    (tmp_path / "uptrack-show").write_text(f"#!/bin/sh\n[ $# = 0 ] && echo '[ab] CVE-2021-1' || {script}\n")
    found = clients.state(ksplice, UEK)
    assert (found.state, found.cves) == ("unknown", ()) and why in found.why


def test_where_only_the_newer_client_is_there_its_list_is_the_whole_state(ksplice, tmp_path):
    (tmp_path / "uptrack-show").unlink()
    script = "[ \"$*\" = 'kernel show' ] && echo '[ab] CVE-2021-20239'"
    (tmp_path / "ksplice").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "ksplice").chmod(0o755)
    assert clients.state(ksplice, UEK)[1:3] == ("in-force", "")


@pytest.mark.parametrize(
    "broken, words",
    [
        ("fail", ("exit code 1",)),
        ("garble", ("not understood", "nobody documented")),
        ("signal", ("signal 9",)),
        ("flood", ("more than",)),
    ],
)
def test_a_client_that_misbehaves_is_a_failure_that_says_so(ksplice, tmp_path, broken, words):
    (tmp_path / "broken").write_text(broken)
    result = clients.apply(ksplice, UEK)
    assert (result.outcome, result.ok) == ("failed", False)
    assert all(word in result.why for word in words) and result.why.isprintable()
    assert not result.after.cves


def test_an_exit_code_of_success_alone_is_not_believed(ksplice, tmp_path):
    (tmp_path / "broken").write_text("lie")
    result = clients.apply(ksplice, UEK)
    assert result.outcome == "failed" and "none" in result.why
    (tmp_path / "patches").write_text("")
    syscare = install(tmp_path, "openeuler", "uptrack.py", ("syscare",))
    (tmp_path / "syscare").write_text(
        "#!/bin/sh\n[ $1 = apply ] || echo a1 kernel-6.6.0-72.0.0.76.oe2403sp1/ACC/vmlinux NOT-APPLIED\n"
    )
    result = clients.apply(syscare, OE)
    assert result.outcome == "failed" and "none" in result.why


def test_a_client_that_hangs_is_ended_in_time(ksplice, tmp_path):
    (tmp_path / "broken").write_text("hang")
    quick = ksplice._replace(client=ksplice.client._replace(timeout=1))
    started = time.monotonic()
    state = clients.state(quick, UEK)
    assert state.state == "unknown" and "within 1 second" in state.why
    assert time.monotonic() - started < 50


def test_a_client_that_is_slow_is_waited_for_and_told(ksplice, tmp_path, monkeypatch):
    (tmp_path / "slow-upgrade").write_text(f"#!/bin/sh\nsleep 2.5\necho end >{tmp_path}/log\n")
    (tmp_path / "slow-upgrade").chmod(0o755)
    own = ksplice.client._replace(timeout=1, apply=((f"{tmp_path}/slow-upgrade",),))
    told = []
    monkeypatch.setattr(clients, "PATIENCE", 50)
    result = clients.apply(ksplice._replace(client=own), UEK, progress=told.append)
    assert (tmp_path / "log").read_text() == "end\n" and "did not end" not in result.why
    assert told and all("slow-upgrade has been running for" in text for text in told)
    monkeypatch.setattr(clients, "PATIENCE", 2)
    (tmp_path / "log").unlink()
    result = clients.apply(ksplice._replace(client=own), UEK)
    assert result.outcome == "failed" and "did not end within" in result.why


def test_a_daemon_that_keeps_the_pipe_open_does_not_hold_us_up(ksplice, tmp_path):
    (tmp_path / "broken").write_text("daemon")
    started = time.monotonic()
    assert clients.state(ksplice, UEK).state == "none"
    assert time.monotonic() - started < 50


@pytest.mark.parametrize("name", ["ksplice", "openeuler", "openeuler-single"])
def test_an_absent_client_says_what_to_install(name):
    profile = profiles.find(RULES, name)
    result = clients.apply(profile, UEK)
    assert (result.outcome, result.ok) == ("absent", False)
    assert "is not there" in result.why and "nstall" in result.remedy
    assert clients.state(profile, UEK).state == "absent"


# --- syscare ---


@pytest.fixture
def syscare(tmp_path):
    return install(tmp_path, "openeuler", "syscare.py", ("syscare",))


def test_syscare_applies_the_patches_of_the_running_kernel_and_no_others(syscare, tmp_path):
    mine, other = (
        f"kernel-{OE.release[:-7]}/ACC-1-3/vmlinux",
        "kernel-6.6.0-73.0.0.77.oe2403sp1/ACC-1-1/vmlinux",
    )
    redis = (UUID + "3", "redis-6.2.5-1.oe2203/HP001/redis-server", "NOT-APPLIED")
    rows(tmp_path, (UUID + "1", mine, "NOT-APPLIED"), (UUID + "2", other, "NOT-APPLIED"), redis)
    assert clients.state(syscare, OE).state == "none"
    result = clients.apply(syscare, OE)
    assert result.outcome == "done" and [entry.name for entry in result.after.entries] == [mine]
    assert [line.split()[2] for line in (tmp_path / "patches").read_text().splitlines()] == [
        "ACTIVED",
        "NOT-APPLIED",
        "NOT-APPLIED",
    ]
    assert clients.apply(syscare, OE).outcome == "done"


def test_one_patch_of_several_that_fails_is_a_failure(syscare, tmp_path):
    base = f"kernel-{OE.release[:-7]}/"
    rows(
        tmp_path,
        (UUID + "1", base + "ACC/vmlinux", "ACCEPTED"),
        (UUID + "2", base + "refuse/x", "DEACTIVED"),
    )
    result = clients.apply(syscare, OE)
    assert result.outcome == "failed" and "conflicts" in result.why
    assert result.after.state == "partial"


@pytest.mark.parametrize("status", ["BLOWN", "actived", "A" * 50])
def test_a_state_that_is_not_documented_is_unknown(syscare, tmp_path, status):
    rows(tmp_path, (UUID + "1", f"kernel-{OE.release[:-7]}/ACC/vmlinux", status))
    assert clients.state(syscare, OE).state == "unknown"
    assert clients.apply(syscare, OE).outcome == "failed"


def test_an_identifier_can_never_become_an_option(syscare, tmp_path):
    rows(tmp_path, ("--force", f"kernel-{OE.release[:-7]}/ACC/vmlinux", "NOT-APPLIED"))
    assert clients.state(syscare, OE).state == "unknown"


# --- KernelCare ---


@pytest.mark.parametrize(
    "code, state", [(0, "in-force"), (1, "none"), (2, "outdated"), (3, "unsupported"), (4, "unknown")]
)
def test_kernelcare_is_shown_and_never_driven(tmp_path, code, state):
    rival = install(tmp_path, "kernelcare", "kcarectl.py", ("kcarectl",))
    (tmp_path / "code").write_text(str(code))
    (tmp_path / "cvelist").write_text("CVE-2024-1086\nCVE-2024-26581\nnonsense\n")
    found = clients.state(rival, UEK)
    assert found.state == state
    loaded = state in ("in-force", "outdated")
    assert found.cves == (("CVE-2024-1086", "CVE-2024-26581") if loaded else ())
    if state != "unknown":
        assert found.effective == "5.14.0-503.11.1.el9_5.x86_64"
    result = clients.apply(rival, UEK)
    assert (result.outcome, result.ok) == ("refused", False)
    assert not (tmp_path / "driven").exists()


def test_a_profile_without_a_client_is_refused():
    result = clients.apply(profiles.find(RULES, "kpatch"), UEK)
    assert (result.outcome, result.after.state) == ("refused", "absent")
