# SPDX-License-Identifier: GPL-2.0-or-later
"""The livepatch command: verbs, exit codes, JSON only on stdout, help, completion, hostile texts."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dnf_plugin_livepatch import __version__
from dnf_plugin_livepatch.base.model import InstalledPatch, Nevra
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import guard_file, journal, mailbox
from dnf_plugin_livepatch.host.kernel import running as kernels
from dnf_plugin_livepatch.host.packages import evr, installed, inventory
from dnf_plugin_livepatch.vendors import profiles
from tests.unit.support.clients import install
from tests.unit.support.fakehost import RELEASE, run
from tests.unit.support.reporting import Telling

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READERS = ("status", "cves", "list", "history", "reboot-check", "uname", "metrics", "check", "facts", "motd")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path), monkeypatch)


def script(root: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/python3", os.path.join(TOP, "bin", "livepatch"), *words],
        env={**os.environ, "PYTHONPATH": TOP, "LIVEPATCH_ROOT": root, **more},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("verb", READERS)
def test_json_is_the_only_thing_on_stdout(
    host: Telling, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"))
    host.load(host.patch("1", "CVE-2026-1000"))
    cli.main([verb, "--json"])
    out = capsys.readouterr()
    assert json.loads(out.out)["schema"] == 1 and out.err == ""


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0 and "livepatch " + verb in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"livepatch {__version__}\n"


def test_without_a_verb_the_verbs_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    told = capsys.readouterr()
    assert told.out == "" and all(f"\n    {verb}" in told.err for verb in cli.VERBS)


@pytest.mark.parametrize("words", [["nonsense"], ["status", "--nonsense"], ["unload"], ["block"]])
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    out = capsys.readouterr()
    assert out.out == "" and "usage" in out.err


def test_exit_codes_of_status(host: Telling) -> None:
    host.know((1000, "Important"))
    assert cli.main(["status"]) == 0
    patch = host.patch("1", "CVE-2026-1000")
    assert cli.main(["status"]) == 5
    host.load(patch)
    assert cli.main(["status"]) == 0


def test_reconcile_loads_and_leaves_the_inventory(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    host.know((1000, "Important"))
    host.patch("1", "CVE-2026-1000")
    host.host.config = host.host.config._replace(transition_timeout=5)
    assert cli.main(["reconcile"]) == 0
    assert "in force: lp-1-1.x86_64, closes 1 CVE" in capsys.readouterr().out
    assert os.path.exists(host.paths.inventory)
    assert cli.main(["status"]) == 0
    assert "Closed live    : 1" in capsys.readouterr().out
    assert cli.main(["reconcile", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_a_refused_module_is_5_with_its_reason(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    host.patch("1", "CVE-2026-1000", behave="refuse:Invalid module format")
    assert cli.main(["reconcile"]) == 5
    assert "error: " in capsys.readouterr().out


def test_unload_block_unblock(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    patch = host.patch("1", "CVE-2026-1000")
    assert cli.main(["reconcile"]) == 0
    assert cli.main(["unload", "lp_1"]) == 0 and host.host.running() == []
    assert cli.main(["status"]) == 0, "as asked for is no failure"
    assert cli.main(["unload", "lp_1"]) == 1
    assert cli.main(["unblock", str(patch.nevra)]) == 0 and host.host.running() == ["lp_1"]
    assert cli.main(["block", str(patch.nevra), "--reason", "I do not trust it"]) == 0
    assert (
        guard_file.blocked(host.paths) == {str(patch.nevra): "I do not trust it"} and not host.host.running()
    )
    events = [entry.event for entry in journal.read(host.paths)]
    assert events == ["load", "unload", "unblock", "load", "block", "unload"]
    capsys.readouterr()
    assert cli.main(["block", "../../etc", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"][0]["id"] == "no-such-package"
    assert cli.main(["unblock", "never-1-1.noarch"]) == 1


def test_a_patch_may_be_called_by_any_of_its_names(host: Telling) -> None:
    patch = host.patch("1", "CVE-2026-1000")
    for name in ("lp_1", patch.nevra.name, str(patch.nevra)):
        assert cli.main(["reconcile"]) == 0 and host.host.running() == ["lp_1"]
        assert cli.main(["unload", name]) == 0 and host.host.running() == []
        assert cli.main(["unblock", name]) == 0
        assert cli.main(["block", name]) == 0 and list(guard_file.blocked(host.paths)) == [str(patch.nevra)]
        assert cli.main(["unblock", name]) == 0 and not guard_file.blocked(host.paths)
    assert cli.main(["block", "nosuch"]) == 1 and not guard_file.blocked(host.paths)


@pytest.mark.parametrize(
    "name",
    [
        "kpatch-patch-5_14_0-427_13_1",
        "kpatch-patch-5_14_0-427_13_1-1-3.el9_4",
        "kpatch-patch-5_14_0-427_13_1-1-3.el9_4.x86-64",
        "kernel-livepatch-5.10.102-99.473",
        "a-b-c.\u001b[31m",
    ],
)
def test_what_could_match_no_package_is_not_blocked(
    host: Telling, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["block", name]) == 1 and guard_file.blocked(host.paths) == {}
    out = capsys.readouterr()
    assert out.out == "" and "name-version-release.arch" in out.err and "livepatch list" in out.err
    assert "\033" not in out.err


@pytest.mark.parametrize("arch", ["x86_64", "aarch64", "ppc64le", "s390x", "noarch"])
def test_a_package_that_is_not_here_yet_is_blocked_by_its_full_name(host: Telling, arch: str) -> None:
    full = f"kpatch-patch-5_14_0-427_13_1-1-3.el9_4.{arch}"
    for asked in (full, "0:" + full, full.replace("-1-3.", "-0:1-3."), f"/tmp/{full}.rpm"):
        assert cli.main(["block", asked]) == 0
        assert list(guard_file.blocked(host.paths)) == [full], "as DNF writes it, else it hides nothing"
        assert cli.main(["unblock", asked]) == 0 and not guard_file.blocked(host.paths)


def test_a_block_by_less_than_a_full_name_can_be_lifted(host: Telling) -> None:
    guard_file.block(host.paths, "kpatch-patch-5_14_0-427_13_1", "from a release that took it")
    assert cli.main(["unblock", "kpatch-patch-5_14_0-427_13_1"]) == 0 and not guard_file.blocked(host.paths)


def test_history(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    host.patch("1", "CVE-2026-1000")
    cli.main(["reconcile"])
    capsys.readouterr()
    assert cli.main(["history"]) == 0
    assert "load" in capsys.readouterr().out
    assert cli.main(["history", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"][0]["event"] == "load"


def test_plain_cves_are_those_a_scanner_shall_still_report(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"), (2000, "Low"))
    host.load(host.patch("1", "CVE-2026-1000"))
    assert cli.main(["cves", "--plain"]) == 0
    assert capsys.readouterr().out == "CVE-2026-2000\n"


def test_plain_cves_fail_when_nothing_is_known(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cves", "--plain"]) == 1
    out = capsys.readouterr()
    assert out.out == "" and "no dnf run" in out.err


def test_plain_cves_of_a_lower_bound_are_those_known_never_none(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    some = {"quality": "lower-bound", "reason": "earlier ones may be missing"}
    host.know((1000, "Important"), (2000, "Low"), **some)
    patch = host.patch("1", "CVE-2026-1000")
    host.load(patch)
    assert cli.main(["cves", "--plain"]) == 0
    assert capsys.readouterr().out == "CVE-2026-2000\n"
    host.know((1000, "Important"), **some)
    assert cli.main(["cves", "--plain"]) == 1
    out = capsys.readouterr()
    assert out.out == "" and ": earlier ones may be missing. Nothing was changed.\n" in out.err
    assert cli.main(["cves"]) == 0 and "Not complete (lower-bound)" in capsys.readouterr().out


def test_a_list_of_cves_is_written_as_a_whole_or_not_at_all(
    host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "scanner" / "open-cves"

    def written(*words: str) -> tuple[int, str]:
        code = cli.main(["cves", *words, "--output", str(target)])
        assert capsys.readouterr().out == "" and os.listdir(target.parent) == ["open-cves"]
        return code, target.read_text()

    host.know((1000, "Important"), (2000, "Low"))
    assert written("--plain") == (0, "CVE-2026-1000\nCVE-2026-2000\n")
    assert target.stat().st_mode & 0o777 == 0o644
    assert json.loads(written("--json")[1])["exposure"]["quality"] == "exact"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "\033" not in written()[1], "a file has no colours"
    before = written("--plain")[1]
    host.remove_cache()
    assert written("--plain") == (1, before), "what is not known replaces nothing"
    host.know((1000, "Important"), (2000, "Low"))
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    assert cli.main(["cves", "--plain", "--output", str(target)]) == 1 and target.read_text() == before
    assert "No space left" in capsys.readouterr().err


LONG = ("all", "kernel-name", "nodename", "kernel-release", "kernel-version", "machine", "processor")
LONG += ("hardware-platform", "operating-system")


@pytest.mark.parametrize(
    "options",
    [
        *["-r", "-s", "-n", "-m", "-v", "-p", "-i", "-o", "-a", "-sr", "-rs", "", "-m --kernel-name"],
        *["--" + name for name in LONG],
    ],
)
def test_uname_is_uname_while_nothing_is_closed(
    options: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIVEPATCH_ROOT", raising=False)
    words = options.split()
    expected = subprocess.run(["uname", *words], capture_output=True, text=True, check=True).stdout
    assert cli.main(["uname", *words]) == 0
    assert capsys.readouterr().out == expected


def test_uname_tells_the_release_whose_fixes_are_in_force(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"))
    host.load(host.patch("1", "CVE-2026-1000"))
    cli.main(["uname", "-r"])
    assert capsys.readouterr().out == "6.12.2-1.x86_64\n"


def test_uname_tells_what_the_hosts_own_says_of_the_processor(
    host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distributions patch that in."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uname").write_text("#!/bin/sh\necho mips$1\n")
    (tmp_path / "bin" / "uname").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    cli.main(["uname", "-p"])
    cli.main(["uname", "-a"])
    assert capsys.readouterr().out.split("\n")[0] == "mips-p"
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["uname", "-p"]) == 0 and capsys.readouterr().out == "unknown\n"


def test_uname_claims_no_release_from_advisories_that_are_not_complete(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"), quality="lower-bound", reason="kernel 6.12.9-1 has no advisory")
    host.load(host.patch("1", "CVE-2026-1000"))
    cli.main(["uname", "-r"])
    assert capsys.readouterr().out == RELEASE + "\n"


def test_uname_agrees_with_the_vendors_own_client(
    host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "client").mkdir()
    programs = ("uptrack-upgrade", "uptrack-show", "uptrack-uname")
    ksplice = install(tmp_path / "client", "ksplice", "uptrack.py", programs)
    monkeypatch.setattr(profiles, "load", lambda _: ((ksplice,), ()))
    nevra = Nevra("uptrack-updates-x", "0", "20241022", "0", "noarch")
    found = (InstalledPatch(nevra, "ksplice", RELEASE, "patch", "ksplice", ()),)
    database = host.paths.at("/var/lib/rpm")
    known = installed.Installed(found, True, "", (), database)
    monkeypatch.setattr(installed, "read", lambda *_: known)
    cli.main(["uname", "-r"])
    assert capsys.readouterr().out == RELEASE + "\n", "nothing is in force yet"
    (tmp_path / "client" / "applied").write_text("[49jdhygv] CVE-2021-20239: Information leak in BPF.\n")
    cli.main(["uname", "-r"])
    assert capsys.readouterr().out == "5.4.17-2136.330.7.el7uek.x86_64\n"


def test_nothing_in_a_state_file_reaches_the_terminal_raw(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = host.patch("1", "CVE-2026-1000")
    guard_file.block(host.paths, str(patch.nevra), "x")
    with open(host.paths.guard, encoding="utf-8") as file:
        text = file.read()
    with open(host.paths.guard, "w", encoding="utf-8") as file:
        file.write(text.replace('"x"', '"\\u001b]0;owned\\u0007"'))
    for verb in READERS:
        cli.main([verb])
    out = capsys.readouterr()
    assert "\033" not in out.out + out.err and "\007" not in out.out + out.err


def test_a_name_means_the_build_that_is_out_for_unblock_and_the_installed_one_for_block(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    v1, v2 = host.host.patch("1"), host.host.patch("2")
    host.host.install(v1)
    cli.main(["reconcile"])
    host.host.install(v2)
    guard_file.block(host.paths, str(v2.nevra), "it crashed here")
    capsys.readouterr()
    assert cli.main(["unblock", v2.nevra.name]) == 0
    assert str(v2.nevra) in capsys.readouterr().out and guard_file.blocked(host.paths) == {}
    assert cli.main(["block", v2.nevra.name]) == 0
    assert str(v2.nevra) in guard_file.blocked(host.paths) and host.host.running() == ["lp_1"]


def test_a_name_means_the_installed_build_while_the_one_before_is_in_force(host: Telling) -> None:
    v1, v3 = host.host.patch("1"), host.host.patch("3", behave="refuse:Invalid module format")
    host.host.install(v1)
    cli.main(["reconcile"])
    host.host.install(v3)
    assert cli.main(["reconcile"]) == 5 and host.host.running() == ["lp_1"]
    assert cli.main(["block", "lp", "--reason", "broken"]) == 0
    assert guard_file.blocked(host.paths) == {str(v3.nevra): "broken"} and host.host.running() == ["lp_1"]
    assert cli.main(["unblock", "lp-3-1"]) == 5, "tried again, and refused again"
    assert guard_file.blocked(host.paths) == {} and host.host.running() == ["lp_1"]
    assert cli.main(["block", "lp_1"]) == 5, "a module is that of its package; nothing is in force now"
    assert list(guard_file.blocked(host.paths)) == [str(v1.nevra)] and host.host.running() == []


@pytest.mark.parametrize("verb", ["block", "unblock", "unload"])
def test_a_name_that_fits_several_lists_them_and_does_nothing(
    host: Telling, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [host.host.patch(version, replace=False) for version in ("1", "2")]
    host.host.install(*both)
    for patch in both:
        host.load(patch)
    if verb == "unblock":
        for patch in both:
            guard_file.block(host.paths, str(patch.nevra), "for a test")
    blocked, running = guard_file.blocked(host.paths), host.host.running()
    capsys.readouterr()
    assert cli.main([verb, "lp"]) == 1
    err = capsys.readouterr().err
    assert str(both[0].nevra) in err and str(both[1].nevra) in err and "full name" in err
    assert guard_file.blocked(host.paths) == blocked and host.host.running() == running


def test_doctor(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    host.host.put("/usr/bin/x", "")
    assert cli.main(["doctor"]) == 0
    capsys.readouterr()
    patch = host.patch("1", "CVE-2026-1000")
    with open(patch.modules[0].path, "ab") as file:
        file.write(b"not what rpm installed")
    assert cli.main(["doctor", "--json"]) == 1
    found = {item["id"]: item["severity"] for item in json.loads(capsys.readouterr().out)["problems"]}
    assert found["module-changed"] == "error"
    guard_file.keep_unloaded(host.paths, str(patch.nevra), "")
    cli.main(["doctor"])
    assert f"unblock {patch.nevra}" in capsys.readouterr().out, "it is out of the kernel for a reason"
    os.rmdir(host.paths.klp)
    cli.main(["doctor"])
    assert "no live patching" in capsys.readouterr().out


# --- as a program ---


def test_as_a_program_by_a_user_who_may_write_nothing(tmp_path: Path, host: Telling) -> None:
    host.know((1000, "Important"))
    inventory.refresh(host.paths, kernels.running(host.paths))
    done = script(str(tmp_path), "status")
    assert done.returncode == 0 and "CVE-2026-1000" in done.stdout and done.stderr == ""


def test_a_fresh_inventory_spares_rpm_and_dnf(tmp_path: Path, host: Telling) -> None:
    host.know((1000, "Important"))
    inventory.refresh(host.paths, kernels.running(host.paths))
    code = (
        "import sys; from dnf_plugin_livepatch.host.cli.main import main; main(['status']);"
        "print([name for name in 'rpm dnf hawkey dataclasses subprocess'.split() if name in sys.modules])"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": TOP, "LIVEPATCH_ROOT": str(tmp_path)},
    )
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path, host: Telling) -> None:
    host.know(*((number, "Low") for number in range(1000, 4000)))
    command = f"{sys.executable} {TOP}/bin/livepatch cves | head -1"
    done = subprocess.run(
        command,
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": TOP, "LIVEPATCH_ROOT": str(tmp_path)},
    )
    assert done.stdout.startswith("CVE") and done.stderr == ""


def test_an_output_that_cannot_be_written_is_told_with_its_remedy(tmp_path: Path, host: Telling) -> None:
    done = script(str(tmp_path), "metrics", "--output", "/proc/no/such/file")
    assert done.returncode == 1 and done.stderr.count("\n") == 2 and done.stderr.startswith("livepatch: ")


def test_completion_knows_every_verb_and_option() -> None:
    for words, expected in (
        ("livepatch ", set(cli.VERBS)),
        ("livepatch st", {"status"}),
        ("livepatch status --", {"--functions", "--json", "--help"}),
        ("livepatch unload --t", {"--this-boot"}),
        ("livepatch cves --", {"--plain", "--output", "--json", "--help"}),
    ):
        typed = words + ("''" if words.endswith(" ") else "")
        code = (
            f"source {TOP}/completion/livepatch; COMP_WORDS=({typed});"
            "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _livepatch; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=120)
        assert set(done.stdout.split()) == expected and done.stderr == "", words


@pytest.mark.parametrize(
    "one, other, sign",
    [("1-1", "1-1", 0), ("1-9.el9", "1-10.el9", -1), ("1:1-1", "2-1", 1), ("6.1-1", "6.1~rc1-1", 1)],
)
def test_evr_compare(one: str, other: str, sign: int) -> None:
    assert (evr.compare(one, other), evr.compare(other, one)) == (sign, -sign)


def test_a_second_block_says_so(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "lp-1-1.x86_64", "kpatch-patch-5_14_0-1-2.noarch":
        assert cli.main(["block", name, "--reason", "it hangs"]) == 0
        assert f"{name} is blocked: it hangs\n" in capsys.readouterr().out
        assert cli.main(["block", name, "--reason", "it oopses"]) == 0
        assert f"{name} is blocked: it oopses (it was blocked already)\n" in capsys.readouterr().out
        assert guard_file.blocked(host.paths)[name] == "it oopses"


@pytest.mark.parametrize("name", ["nonesuch", "lp_2", "CVE-2026-1000"])
def test_a_module_that_the_kernel_has_not_needs_no_other_program(
    host: Telling, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    host.patch("1", "CVE-2026-1000")
    assert cli.main(["reconcile"]) == 0
    assert cli.main(["unload", name]) == 1
    assert f"the kernel has no live patch {name}" in capsys.readouterr().err


def test_a_block_holds_though_a_run_does_not_end(
    host: Telling, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A load that hangs is the moment in which a block matters most: the next boot has to know it."""
    host.patch("1")
    assert run(host.host).ok
    with open(host.paths.lock, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.setattr(mailbox, "bound", lambda config: 0.2)
        assert cli.main(["block", "lp", "--reason", "it hangs"]) == 1
    out = capsys.readouterr()
    assert "lp-1-1.x86_64 is blocked: it hangs" in out.out and "nothing was loaded or unloaded" in out.err
    assert guard_file.blocked(host.paths) == {"lp-1-1.x86_64": "it hangs"}
    host.host.reboot()
    assert run(host.host).ok and host.host.running() == []
