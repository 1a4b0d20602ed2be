# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders for work in progress: gone when the process ends, and removed by the next when it was killed."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from dnf_plugin_livepatch.rpmtool.package import make
from dnf_plugin_livepatch.rpmtool.work import Work
from dnf_plugin_livepatch.toolkit import scratch
from tests.tools.support.repositories import ROOT

CHILD = """
import sys
from dnf_plugin_livepatch.toolkit import scratch
held = scratch.Scratch("lp-", sys.argv[1])
open(held.path + "/large", "w").close()
print(held.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process with a scratch folder: (process, path)."""
    argv = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child, child.stdout.readline().strip()
        child.kill()


def test_the_folder_of_a_living_process_stays(other, tmp_path):
    _, path = other
    with scratch.folder("lp-", str(tmp_path)) as mine:
        assert os.path.isdir(mine) and os.path.exists(path + "/large")
    assert not os.path.exists(mine) and os.path.exists(path + "/large")


def test_the_folder_of_a_killed_process_is_removed_by_the_next(other, tmp_path):
    child, path = other
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert os.path.exists(path + "/large")
    with scratch.folder("lp-", str(tmp_path)):
        assert not os.path.exists(path)


def test_folders_that_are_kept_foreign_or_no_folders_stay(tmp_path):
    kept = scratch.Scratch("lp-", str(tmp_path))
    kept.keep()
    (tmp_path / "lp-mine").mkdir()
    (tmp_path / "lp-file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".owner").write_text("")
    (tmp_path / "lp-link").symlink_to(tmp_path / "other")
    with scratch.folder("lp-", str(tmp_path)):
        pass
    names = sorted(os.listdir(tmp_path))
    assert names == sorted([os.path.basename(kept.path), "lp-file", "lp-link", "lp-mine", "other"])
    assert os.listdir(kept.path) == [] and os.path.exists(tmp_path / "other" / ".owner")


def test_a_killed_build_leaves_nothing_for_long(tmp_path):
    code = "import os\nfrom dnf_plugin_livepatch.rpmtool.work import Work\n"
    code += f"Work({str(tmp_path)!r}, quiet=True)\n"
    subprocess.run([sys.executable, "-c", code + "os.kill(os.getpid(), 9)"], cwd=ROOT, check=False)
    assert len(os.listdir(tmp_path)) == 1
    with Work(str(tmp_path), quiet=True) as work:
        assert os.listdir(tmp_path) == [os.path.basename(work.path)]
    assert os.listdir(tmp_path) == []


def test_a_publish_that_is_killed_leaves_nothing_for_long(tmp_path):
    made, output = tmp_path / "a.rpm", tmp_path / "out"
    made.write_bytes(b"x")
    code = (
        "import os, shutil\nfrom dnf_plugin_livepatch.rpmtool.package import make\n"
        f"os.replace = lambda *_: os.kill(os.getpid(), 9)\nmake.publish([{str(made)!r}], {str(output)!r})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert len(os.listdir(output)) == 1 and not (output / "a.rpm").exists()
    assert make.publish([str(made)], str(output)) == [str(output / "a.rpm")]
    assert os.listdir(output) == ["a.rpm"]


def test_a_log_and_its_copy_beside_the_packages_are_their_owners_alone(tmp_path):
    old = os.umask(0)
    try:
        with Work(str(tmp_path), quiet=True) as work:
            work.runner.run(["printf", "a\\033[31mb\\302\\233c\\342\\200\\256d\\tx\\n"])
            kept = work.keep_log(str(tmp_path / "a-1-1.rpm"))
            assert os.stat(work.runner.log).st_mode & 0o777 == 0o600
    finally:
        os.umask(old)
    assert os.stat(kept).st_mode & 0o777 == 0o600
    assert "a?[31mb?c?d     x\n" in open(kept, encoding="utf-8").read()


def test_a_child_that_may_be_another_users_has_a_folder_of_its_own():
    mine = scratch.of_process("lp-parent-")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, scratch.of_process("lp-parent-").encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 4096).decode()
    os.close(reader)
    os.close(writer)
    assert theirs != mine == scratch.of_process("lp-parent-")
    shutil.rmtree(theirs)
