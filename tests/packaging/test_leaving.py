# SPDX-License-Identifier: GPL-2.0-or-later
"""What a removal of the packages leaves behind, and what an update from the first release takes along."""

import contextlib
import glob
import os
import pty
import re
import subprocess

import pytest

from dnf_plugin_livepatch.base.paths import Paths
from tests.packaging.support import tree
from tests.packaging.support.rpms import NAMES, build, files, read_header, scripts


@pytest.fixture(scope="module")
def built():
    """Name -> path of the packages for hosts."""
    paths = [path for path in build() if not path.endswith(".src.rpm")]
    return {name: path for path in paths for name in NAMES if os.path.basename(path).startswith(name + "-1")}


@pytest.fixture(scope="module")
def runtime(built):
    return read_header(built["livepatch-runtime"])


class Removal:
    """The scriptlets of livepatch-runtime, with /sys, /run, /var and the modules moved below ``folder``."""

    def __init__(self, header, folder):
        self.folder, self.texts = folder, scripts(header)

    def run(self, kind, count, terminal=False):
        """What the scriptlet ``kind`` prints; systemctl is out of reach."""
        text = re.sub(r"(?<![\w/])/(sys|run|var|usr/lib/modules)/", rf"{self.folder}/\1/", self.texts[kind])
        text = text.replace("/usr/lib/systemd", f"{self.folder}/none").replace(
            "systemctl", "no-such-program"
        )
        command = ["sh", "-e", "-c", text, kind, str(count)]
        if not terminal:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
        ours, theirs = pty.openpty()
        subprocess.run(command, stdout=theirs, stderr=theirs, check=True)
        os.close(theirs)
        found = b""
        with contextlib.suppress(OSError):  # a terminal that nobody has open any more ends with EIO
            while data := os.read(ours, 4096):
                found += data
        os.close(ours)
        return found.decode()


@pytest.fixture
def removal(runtime, tmp_path):
    for folder in ("sys/kernel/livepatch/kpatch_a_1", "run/systemd/system", "var/lib/livepatch"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "sys/kernel/livepatch/kpatch_a_1/enabled").write_text("1\n")
    return Removal(runtime, tmp_path)


def test_removal_says_on_a_terminal_what_stays(removal):
    """DNF has no terminal for scriptlets, and its history marks the transactions whose scriptlets print."""
    text = removal.run("preun", 0, terminal=True)
    assert "kpatch_a_1 stays in force until the next boot" in text
    assert "the history and the blocks stay in" in text
    assert removal.run("preun", 0) == "" and removal.run("postun", 0) == ""
    assert removal.run("preun", 1, terminal=True) == "", "an update removes nothing"


def test_removal_keeps_history_and_blocks_and_nothing_else(removal, runtime):
    """rpm itself deletes the files that the package lists, between the two scriptlets."""
    state = removal.folder / "var/lib/livepatch"
    kept = ("guard.json", "journal.jsonl", "journal-private.jsonl")
    listed = [path for path in files(runtime) if path.startswith("/var/lib/livepatch/")]
    for path in listed:
        (removal.folder / path[1:]).write_text("x")
    copies = {}
    for kernel, also in (("6.1", "kernel"), ("5.14", "")):
        copies[kernel] = removal.folder / "usr/lib/modules" / kernel / "livepatch-kept"
        copies[kernel].mkdir(parents=True)
        (copies[kernel] / "a.ko").write_text("x")
        if also:
            (copies[kernel].parent / also).mkdir()
    (removal.folder / "run/livepatch").mkdir()
    for count in (1, 0):
        removal.run("preun", count)
        if count == 0:
            for path in listed:
                (removal.folder / path[1:]).unlink(missing_ok=True)
        removal.run("postun", count)
        if count == 1:
            assert len(list(state.iterdir())) == len(listed) and copies["6.1"].exists(), "an update"
    assert {path.name for path in state.iterdir()} == {*kept, "journal.jsonl.1", "journal-private.jsonl.1"}
    assert not copies["6.1"].exists() and copies["6.1"].parent.exists()
    assert not copies["5.14"].parent.exists(), "the folder of a kernel that is gone"
    assert not (removal.folder / "run/livepatch").exists()


def test_the_package_owns_each_file_of_the_state(runtime):
    """What rpm does not know of would stay behind."""
    paths = Paths("/")
    names = [name for name in dir(type(paths)) if isinstance(getattr(type(paths), name), property)]
    state = {getattr(paths, name) for name in names if name != "state_dir"}
    state = {path for path in state if isinstance(path, str) and path.startswith(paths.state_dir + "/")}
    assert paths.guard in state and state <= set(files(runtime))


def test_a_removal_that_was_cut_short_loses_no_block(removal):
    """The power went between the two scriptlets, and the package is installed again."""
    state = removal.folder / "var/lib/livepatch"
    (state / "guard.json").write_text("the blocks")
    removal.run("preun", 0)
    assert not (state / "guard.json").exists()
    (state / "guard.json").write_text("")
    removal.run("post", 1)
    assert (state / "guard.json").read_text() == "the blocks"
    (state / "guard.json.kept").write_text("old")
    removal.run("post", 2)
    assert (state / "guard.json").read_text() == "the blocks"


#: A package of release 1.0.0 as far as its files go, whose plugin had livepatch.conf.
OLD = """\
Name: {name}
Version: 1.0.0
Release: 0
Summary: x
License: x
BuildArch: noarch
{more}
%description
%install
mkdir -p %{{buildroot}}/etc/dnf/plugins %{{buildroot}}/var/lib/livepatch %{{buildroot}}/usr/share/{name}
cp {conf} %{{buildroot}}/etc/dnf/plugins/livepatch.conf
touch %{{buildroot}}/var/lib/livepatch/guard.json %{{buildroot}}/usr/share/{name}/x
{without}
%files
%dir /usr/share/{name}
/usr/share/{name}/x
{files}
"""


@pytest.mark.parametrize("edited", [True, False])
def test_an_update_from_the_first_release_keeps_the_configuration_and_the_blocks(built, tmp_path, edited):
    """There livepatch.conf belonged to the plugin; now the runtime has it, which obeys it too."""
    conf = tmp_path / "livepatch.conf"
    conf.write_text("[main]\nenabled = 1\n# as released\n")
    old = []
    for name, without, more in (
        (NAMES[2], "rm -r %{buildroot}/var", "%config(noreplace) /etc/dnf/plugins/livepatch.conf"),
        (NAMES[0], "rm -r %{buildroot}/etc", "%ghost /var/lib/livepatch/guard.json"),
    ):
        spec = tmp_path / f"{name}.spec"
        spec.write_text(OLD.format(name=name, conf=conf, without=without, files=more, more=""))
        done = tree.run("rpmbuild", "-bb", "--define", f"_topdir {tmp_path}", str(spec))
        assert done.returncode == 0, done.stdout
        old += glob.glob(f"{tmp_path}/RPMS/noarch/{name}-*.rpm")
    root = tmp_path / "root"
    root.mkdir()
    flags = [
        "rpm",
        "--root",
        str(root),
        "--dbpath",
        "/var/lib/rpm",
        "--nodeps",
        "--noscripts",
        "--notriggers",
    ]
    assert tree.run(*flags, "-i", *old).returncode == 0
    mine = root / "etc/dnf/plugins/livepatch.conf"
    if edited:
        mine.write_text("[main]\nmode = install-only\n")
    guard = root / "var/lib/livepatch/guard.json"
    guard.parent.mkdir(parents=True, exist_ok=True)
    guard.write_text("blocks")
    done = tree.run(*flags, "-U", *(built[name] for name in NAMES))
    assert done.returncode == 0, done.stdout
    assert guard.read_text() == "blocks"
    if edited:
        assert mine.read_text() == "[main]\nmode = install-only\n"
    owner = tree.run(*flags[:5], "-qf", "--qf", "%{NAME}", "/etc/dnf/plugins/livepatch.conf").stdout
    assert owner == NAMES[0]
    assert tree.run(*flags, "-e", NAMES[2]).returncode == 0
    assert mine.exists(), "without the plugin the runtime still obeys the file"
