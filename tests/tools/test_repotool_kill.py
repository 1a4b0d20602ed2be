# SPDX-License-Identifier: GPL-2.0-or-later
"""The publisher killed at every file-system operation, raced, and out of space: clients see old or new."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.repotool import publish, settings, transaction
from dnf_plugin_livepatch.repotool.repository import client, metadata, reading
from dnf_plugin_livepatch.repotool.repository import signing as signatures
from dnf_plugin_livepatch.repotool.repository.store import Store
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.tools.support import repositories as support
from tests.tools.support.published import job_for
from tests.tools.support.repositories import KERNEL, signing, tool

NAME = support.patch_name(KERNEL)
MOST = 400
_CHANGES = {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod"}
TOOL = support.ROOT / "bin" / "livepatch-repo"
ENV = support.ENV


def in_child(work):
    """Run ``work`` in a forked child; returns the exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(number, root):
    """Kill this process before its ``number``-th change, or fsync, below ``root``.

    Python announces every change by an audit event; the events of shutil.rmtree have relative names. The
    writes of createrepo_c and gpg lie between two such points, inside the unfinished folder.
    """
    count = 0

    def step():
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event, args):
        paths = [os.fsdecode(value) for value in args if isinstance(value, (str, bytes, os.PathLike))]
        ours = any(root in path or not path.startswith("/") for path in paths)
        writes = (
            event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        program = event == "subprocess.Popen" and root in str(args)
        exchange = event == "ctypes.dlsym" and "renameat2" in str(args[-1])
        if program or exchange or (ours and (writes or event in _CHANGES)):
            step()

    os.fsync = lambda descriptor: step()  # a killed process, unlike a power cut, loses nothing written
    sys.addaudithook(hook)


def what_clients_see(root, key, dnf=True):
    """The packages that clients read. Every file and signature is checked; ``dnf``: by dnf itself too."""
    repodata = os.path.join(root, "repodata")
    assert signatures.check(repodata, [str(key.public)]) == "good"
    files = metadata.files_of(repodata, metadata.repomd_of(repodata))
    assert {file.state for file in files} == {"ok"}
    loaded = metadata.load(repodata)
    for package in loaded.packages.values():
        assert metadata.digest(os.path.join(root, package.location_href)) == package.pkgId
    nevras = [metadata.nevra_of(package) for package in loaded.packages.values()]
    told = {}
    for update in loaded.advisories:
        view = metadata.advisory_view(update)
        told.update({item.nevra: view.cves for item in view.packages})
    assert (
        not dnf
        or in_child(lambda: client.check(str(root), [str(key.public)], nevras, told, loaded.record)) == 0
    )
    return sorted(map(str, nevras))


def enumerate_kills(make, work, key, old, new):
    """Kill ``work`` before its 1st, 2nd, ... change until it gets through; returns each sight."""
    seen = []
    for number in range(1, MOST):
        root = make(number)

        def doomed(root=root, number=number):
            killed_at(number, str(root))
            work(root)

        status = in_child(doomed)
        if status == 0:
            assert number > 10, "the hook counts nothing"
            assert seen[0] == old and seen[-1] == new
            assert sum(a != b for a, b in zip(seen, seen[1:])) == 1, "it went back and forth"
            return seen
        assert status == -signal.SIGKILL
        now = what_clients_see(root, key, dnf=number % 4 == 0)
        assert now in (old, new)
        seen.append(now)
        # The next publisher cleans up whatever the dead one left, and gets through.
        if number % 7 == 0:
            assert in_child(lambda root=root: work(root)) == 0
            assert what_clients_see(root, key) == new
            assert not [name for name in os.listdir(root / "generations") if name.endswith(".unfinished")]
            assert not list(root.rglob("*.partial"))
        shutil.rmtree(root)
    raise AssertionError(f"more than {MOST} changes")


@pytest.mark.slow
def test_killed_anywhere_a_publish_leaves_old_or_new(repo, key, second, tmp_path, record_property):
    old = what_clients_see(repo, key)

    def make(number):
        return shutil.copytree(repo, tmp_path / f"r{number}", symlinks=True)

    def work(root):
        publish.publish(str(root), [str(second[0])], job_for(key), settings.AdvisoryFile())

    seen = enumerate_kills(make, work, key, old, sorted([*old, f"{NAME}-1-2.el9_4.x86_64"]))
    assert len(seen) > 40
    record_property("told", f"a publish killed before each of {len(seen)} changes: old or new each time")


@pytest.mark.slow
def test_killed_anywhere_the_take_over_of_a_plain_folder_leaves_old_or_new(
    key, first, second, tmp_path, record_property
):
    plain = tmp_path / "plain"
    (plain / "rpms").mkdir(parents=True)
    shutil.copy(first[0], plain / "rpms")
    support.call(["createrepo_c", "-q", plain])
    signatures.sign(str(plain / "repodata"), key.name, str(key.home))

    def seen_as(root):
        repodata = os.path.join(root, "repodata")
        files = metadata.files_of(repodata, metadata.repomd_of(repodata))
        assert {file.state for file in files} == {"ok"}
        assert signatures.check(repodata, [str(key.public)]) == "good"
        return sorted(
            str(metadata.nevra_of(package)) for package in metadata.load(repodata).packages.values()
        )

    old, results = seen_as(plain), []
    for number in range(1, MOST):
        root = shutil.copytree(plain, tmp_path / f"r{number}", symlinks=True)

        def doomed(root=root, number=number):
            killed_at(number, str(root))
            publish.publish(str(root), [str(second[0])], job_for(key), settings.AdvisoryFile())

        status = in_child(doomed)
        results.append(seen_as(root))
        if status == 0:
            break
        assert status == -signal.SIGKILL
        shutil.rmtree(root)
    assert results[0] == old and results[-1] == sorted([*old, f"{NAME}-1-2.el9_4.x86_64"])
    assert all(found in (old, results[-1]) for found in results)
    told = f"the take-over of a plain folder killed before each of {len(results) - 1} changes: old or new"
    record_property("told", told + " each time")


def test_two_publishers_at_once_both_get_through(repo, key, second, tmp_path):
    (tmp_path / "b").mkdir()
    third = support.build(
        tmp_path / "b",
        number="3",
        manifests=[support.manifest(module="kp_3", cves=["CVE-2024-1086", "CVE-2024-26642"])],
    )
    support.sign(key, *third)
    started = [
        subprocess.Popen(
            [sys.executable, TOOL, "publish", "--repo", repo, *signing(key), "--wait", "600", path],
            env=ENV,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for path in (second[0], third[0])
    ]
    told = [child.communicate(timeout=1200)[0].decode() for child in started]
    assert [child.returncode for child in started] == [0, 0], told
    seen = what_clients_see(repo, key)
    assert {f"{NAME}-1-{number}.el9_4.x86_64" for number in (1, 2, 3)} <= set(seen)
    note = repository_record.parse(metadata.load(str(repo / "repodata")).record).kernels[KERNEL]
    assert len(note.patches) == 3


def test_a_publisher_does_not_wait_for_ever(repo, key, second):
    with open(repo / ".livepatch-repo.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        start = time.monotonic()
        done = tool("publish", "--repo", repo, *signing(key), "--wait", "0.5", *second, check=False)
    assert done.returncode == 1 and "[locked]" in done.stderr and time.monotonic() - start < 120


@pytest.mark.parametrize("room", (20, 60, 140, 400))
def test_a_full_disk_leaves_the_old_state(repo, key, second, tmp_path, room):
    """On a file system of its own with ``room`` KiB left; from some size on the publish gets through."""
    script = (
        "set -e\nmount -t tmpfs -o size=4m tmpfs $1\ncp -a $2/. $1/\n"
        "free=$(df --output=avail -k $1 | tail -1)\n"
        "head -c $(( (free - $3) * 1024 )) /dev/zero > $1/filler\n"
        'repo=$1; shift 3\nset +e\n"$@" > $TMPDIR/out 2>&1\necho $? > $TMPDIR/code\nset -e\n'
        "rm $repo/filler\ncp -a $repo/. $TMPDIR/after/\n"
    )
    (tmp_path / "mnt").mkdir()
    (tmp_path / "after").mkdir()
    old = what_clients_see(repo, key)
    work = [sys.executable, TOOL, "publish", "--repo", tmp_path / "mnt", *signing(key), second[0]]
    support.call(
        ["unshare", "-m", "sh", "-c", script, "sh", tmp_path / "mnt", repo, room, *work],
        env={**ENV, "TMPDIR": str(tmp_path)},
    )
    code, told = int((tmp_path / "code").read_text()), (tmp_path / "out").read_text()
    seen = what_clients_see(tmp_path / "after", key)
    assert "Traceback" not in told
    if code:
        assert code == 1 and seen == old, told
        left = os.listdir(tmp_path / "after" / "generations")
        assert len(left) == 1, left
    else:
        assert seen == sorted([*old, f"{NAME}-1-2.el9_4.x86_64"])
    assert code == 1 if room < 60 else True
    assert code == 0 if room > 300 else True


def test_an_unwritable_folder_is_named(tmp_path, key, second):
    with pytest.raises(ToolError) as caught:
        publish.publish("/proc/livepatch", [str(second[0])], job_for(key), settings.AdvisoryFile())
    assert caught.value.id == "disk" and "/proc" in caught.value.text


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("read", ["state", "view"])
def test_a_reader_beside_a_publisher_sees_one_state(repo, key, second, monkeypatch, read, swept):
    """The other publisher switches after repomd.xml was read, and may remove what the reader is reading."""
    started = []
    real = metadata.repomd_of

    def slow(repodata):
        found = real(repodata)
        if not started:
            started.append(repodata)
            job = job_for(key, grace=0 if swept else 3600)
            publish.publish(str(repo), [str(second[0])], job, settings.AdvisoryFile())
        return found

    monkeypatch.setattr(metadata, "repomd_of", slow)
    if read == "state":
        state = transaction.load(Store(str(repo)))
        packages = {str(metadata.nevra_of(package)) for package in state.packages.values()}
        told = {str(p.nevra) for u in state.advisories for p in metadata.advisory_view(u.record()).packages}
        record = state.record
    else:
        view = reading.read(str(repo), [str(key.public)], partly=True)
        packages = {str(package.nevra) for package in view.packages}
        told = {str(item.nevra) for update in view.advisories for item in update.packages}
        record = view.record
        assert view.signature == "good" and not view.unread
    patches = {nevra for nevra in packages if nevra.startswith(NAME)}
    assert started and patches == told == set(record.kernels[KERNEL].patches)
    assert len(patches) == (2 if swept else 1)
