# SPDX-License-Identifier: GPL-2.0-or-later
"""Failures of the command and the state they leave, the addresses that it writes, and promote."""

import json
import socket
import subprocess
import sys

import pytest

from dnf_plugin_livepatch.repotool.repository import reading
from dnf_plugin_livepatch.repotool.settings import Settings
from dnf_plugin_livepatch.toolkit.refusals import LIVEPATCH_REPO
from tests.tools.support import repositories as support
from tests.tools.support.published import tree
from tests.tools.support.repositories import KERNEL, signing, tool

NONE = "no-repository"


@pytest.mark.parametrize(
    ("argv", "identifier"),
    [
        (["withdraw", "--repo", "{none}", "--reason", "x", "*"], NONE),
        (["prune", "--repo", "{none}"], NONE),
        (["prune", "--repo", "{none}", "--dry-run"], NONE),
        (["promote", "--from", "{none}", "--to", "{none}-2"], NONE),
        (["lint", "{none}"], NONE),
        (["plan", "--repo", "{none}", "--kernel", KERNEL], NONE),
        (["report", "--repo", "{none}", "--json"], NONE),
        (["publish", "--repo", "{none}", "{none}.rpm"], "no-keys"),
        (["publish", "--repo", "{none}", "--key", "{none}", "{none}.rpm"], "settings-fault"),
    ],
)
def test_a_missing_repository_is_not_made(tmp_path, argv, identifier):
    none = tmp_path / "none"
    done = tool(*(word.format(none=none) for word in argv), check=False)
    assert done.returncode == 1 and f"[{identifier}]" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["report", "--repo", "{none}"], "--output DIR or --json is needed"),
        *[(["prune", "--repo", "{none}", "--keep", n], "at least 1") for n in ("0", "-1", "x")],
    ],
)
def test_wrong_usage_has_its_own_status_and_shows_the_usage(tmp_path, argv, word):
    done = tool(*(part.format(none=tmp_path / "none") for part in argv), check=False)
    assert done.returncode == 2 and word in done.stderr and f"usage: livepatch-repo {argv[0]}" in done.stderr


NAMED = {
    "withdraw": (["--reason", "oops"], f"{support.patch_name(KERNEL)}-1-1.*"),
    "promote": (["--to", "{stable}"], support.patch_name(KERNEL)),
    "kernels": (["--support-end", "2027-12-31"], KERNEL),
}


@pytest.mark.parametrize("slip", ["kpatch-patch-5_14_0-427_31_1", "5.14.0-427.31.1*"])
@pytest.mark.parametrize("verb", NAMED)
def test_a_name_that_fits_nothing_stops_the_others_too(repo, key, tmp_path, verb, slip):
    """Whoever withdraws two patches must not read of one only."""
    options, right = NAMED[verb]
    before, stable = tree(repo), tmp_path / "stable"
    where = "--from" if verb == "promote" else "--repo"
    words = [verb, where, repo, *signing(key), *(word.format(stable=stable) for word in options)]
    for names in ([right, slip], [slip, right]):
        done = tool(*words, *names, check=False)
        assert done.returncode == 1 and f"{slip} matches nothing in" in done.stderr
        assert "[no-match]" in done.stderr and done.stdout == ""
    assert tree(repo) == before and not stable.exists()
    assert "nothing to do" not in tool(*words, right, right).stdout


def test_for_an_rpm_that_is_not_there_the_systems_reason_is_printed(tmp_path, key):
    argv = ["publish", "--repo", tmp_path / "r", *signing(key)]
    done = tool(*argv, tmp_path / "x-*.rpm", check=False)
    assert done.returncode == 1 and "x-*.rpm" in done.stderr
    assert "no such file" in done.stderr and "ioctl" not in done.stderr
    assert "is a directory" in tool(*argv, tmp_path, check=False).stderr


@pytest.mark.parametrize("verb", [["lint"], ["verify", "--repo"], ["report", "--json", "--repo"]])
@pytest.mark.parametrize("place", ["no-such", "http://127.0.0.1:9/"])
def test_the_key_that_names_an_unreadable_repository_of_kernels_is_told(repo, key, tmp_path, verb, place):
    config = tmp_path / "s.yml"
    config.write_text(f"kernels_from: ['{place}']\n")
    done = tool(*verb, repo, "--config", config, "--key", key.public, check=False)
    assert done.returncode == 1 and "[kernels-unreadable]" in done.stderr
    assert "'kernels_from'" in done.stderr and place in done.stderr


def test_for_a_file_that_is_no_rpm_only_the_tools_own_message_is_printed(tmp_path, key):
    (tmp_path / "x.rpm").write_text("no")
    done = tool("publish", "--repo", tmp_path / "r", *signing(key), tmp_path / "x.rpm", check=False)
    assert (
        done.returncode == 1 and done.stderr.startswith("livepatch-repo: ") and "WARNING" not in done.stderr
    )
    assert not (tmp_path / "r").exists()


def test_an_address_where_nobody_answers_is_unreachable():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        done = tool("lint", f"http://127.0.0.1:{held.getsockname()[1]}/", "--json", check=False)
    assert done.returncode == 1 and json.loads(done.stdout)["error"]["id"] == "unreachable"


def test_a_fleet_of_no_kernels_is_no_covered_fleet(repo):
    done = tool("plan", "--repo", repo, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "no kernel release is given: name it with --kernel" in done.stderr


def test_a_missing_module_of_python_is_named(repo, tmp_path):
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from dnf_plugin_livepatch.repotool.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", code, "report", "--repo", repo]
    done = support.call([*argv, "--output", tmp_path / "site"], check=False, env=support.ENV)
    assert done.returncode == 1 and "Python's module jinja2 is not installed. [tool-missing]" in done.stderr
    assert "kernels" in json.loads(support.call([*argv, "--json"], env=support.ENV).stdout)


@pytest.mark.parametrize(
    "program, module, argv",
    [
        ("livepatch-repo", "createrepo_c", ["lint", "/nowhere"]),
        ("livepatch-repo", "yaml", ["lint", "--config", "fix.ko", "/nowhere"]),
        ("livepatch-rpm", "jinja2", ["empty", "--kernel", "6.1.0-44-amd64"]),
        ("livepatch-rpm", "elftools", ["inspect", "fix.ko"]),
    ],
)
@pytest.mark.parametrize("json_wanted", [False, True])
def test_neither_tool_ends_in_a_traceback_where_a_library_is_missing(
    tmp_path, program, module, argv, json_wanted
):
    (tmp_path / "fix.ko").write_bytes(b"\x7fELF" + bytes(60))
    script = support.ROOT / "bin" / program
    argv = [*argv, *(["--json"] if json_wanted else [])]
    code = (
        f"import runpy, sys\nsys.modules[{module!r}] = None\nsys.argv = {[program, *argv]!r}\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=support.ENV, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    told = f"Python's module {module} is not installed."
    if json_wanted:
        error = json.loads(done.stdout)["error"]
        assert (error["id"], error["text"]) == ("tool-missing", told) and ".venv" in error["remedy"]
    else:
        assert f"{program}: {told} [tool-missing]" in done.stderr and ".venv" in done.stderr


def test_each_error_has_a_remedy():
    assert all(text and remedy.endswith(".") for text, remedy in LIVEPATCH_REPO.values())


@pytest.mark.parametrize(
    ("base_dir", "named", "folder", "address"),
    [
        ("", "/srv/stable", "/srv/stable", "https://x/y"),
        ("", "/srv/stable", "/srv/stable/source", "https://x/y/source"),
        ("", "/srv/{arch}", "/srv/x86_64", "https://x/y/x86_64"),
        ("", "/srv/el9-{arch}/os", "/srv/el9-x86_64/os", "https://x/y/el9-x86_64/os"),
        ("/srv", "/srv/stable", "/srv/stable/debug", "https://x/y/stable/debug"),
        ("/srv/stable", "/srv/testing", "/srv/testing", ""),
        ("/srv/stable", "/srv/testing", "/srv/stable-2", ""),
    ],
)
def test_addresses_of_repositories(base_dir, named, folder, address):
    settings = Settings(base_url="https://x/y/", base_dir=base_dir).serving(named)
    assert settings.address(folder) == address
    assert settings._replace(base_url="").address(folder) == ""


def test_each_mirrorlist_names_its_own_repository(tmp_path, key, first):
    config = tmp_path / "s.yml"
    config.write_text(
        "base_url: https://x\nbase_dir: stable\nkernels:\n"
        f"  {KERNEL}: {{support_end: 2027-01-01}}\n"
        "  5.14.0-1.el9.s390x: {support_end: 2027-02-01}\n"
    )
    for verb in (["publish", "--repo", tmp_path / "testing", *first],
                 ["promote", "--from", tmp_path / "testing", "--to", tmp_path / "stable"]):  # fmt: skip
        tool(*verb, "--config", config, *signing(key))
    assert not list(tmp_path.glob("testing/**/mirrorlist"))
    for place in ("", "source/", "debug/"):
        (line,) = (tmp_path / "stable" / place / "mirrorlist").read_text().splitlines()
        start = f"https://x/{place}generations/"
        assert line.startswith(start)
        assert (tmp_path / "stable" / place / "generations" / line[len(start) :] / "repodata").is_dir()
        told = reading.read(str(tmp_path / "testing" / place), ()).record.kernels
        assert set(told) == (set() if place else {KERNEL}), "of kernels that its hosts run"


def test_promote_leaves_the_withdrawn_behind_and_takes_the_withdrawal_along(repo, key, second, tmp_path):
    stable, bad = tmp_path / "stable", tmp_path / "bad"
    promote = ["promote", "--from", repo, *signing(key), "--to"]
    tool(*promote, stable)
    tool("publish", "--repo", repo, *signing(key), *second)
    tool("withdraw", "--repo", repo, *signing(key), "--reason", "oops", "*-1-[12].*")
    assert "withdrawn, oops" in tool(*promote, stable).stdout
    view = reading.read(str(stable), ())
    assert [package.nevra.release for package in view.patches] == ["1.el9_4"]
    (note,) = view.record.kernels[KERNEL].patches.values()
    assert note.withdrawn.reason == "oops"
    assert "nothing to do" in tool(*promote, stable).stdout
    done = tool(*promote, bad, "kpatch*", check=False)
    assert done.returncode == 1 and "[no-match]" in done.stderr and not bad.exists()
