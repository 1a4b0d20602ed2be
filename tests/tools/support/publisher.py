# SPDX-License-Identifier: GPL-2.0-or-later
"""Every verb of livepatch-repo on a repository with a history, each in a process of its own."""

import contextlib
import io
import os
import pathlib
import shutil
import sys
import tempfile
from typing import NamedTuple

from dnf_plugin_livepatch.repotool import cli
from tests.tools.support import repositories as support
from tests.tools.support import sights
from tests.tools.support.published import V1, V2
from tests.tools.support.repositories import KERNEL, signing, tool
from tests.tools.support.spoils import STRANGER
from vm import gnupg

OTHER = "5.14.0-503.11.1.el9_4.x86_64"
CHANGING = ("publish", "promote", "withdraw", "prune", "sign", "kernels")
READING = ("report", "verify", "lint", "plan")
VERBS = (*CHANGING, *READING)


class World:
    """The repositories that every mishap begins with, and what clients see after each verb in peace."""

    def __init__(self, key, base: pathlib.Path) -> None:
        self.key, self.base = key, base
        base.chmod(0o755)
        public = shutil.copy(key.public, base / "key.asc")
        homes = shutil.copytree(
            key.home, base / "gpg", ignore=lambda _, names: [n for n in names if n[:2] == "S."]
        )
        #: The same key in the hands of another user.
        self.theirs = support.Keys(homes, key.name, pathlib.Path(public))
        for path in (homes, *homes.rglob("*")):
            os.chown(path, STRANGER, -1)
        cves = [f"CVE-2024-{number}" for number in (1086, 26642, 26643, 26644)]
        self.rpms = []
        for number in range(1, 4):
            told = [support.manifest(module=f"kp_{number}", cves=cves[:number])]
            self.rpms += support.build(base / "rpms", number=str(number), manifests=told)
        self.rpms += support.build(base / "rpms", OTHER, manifests=[support.manifest(OTHER, module="kp_o")])
        kernel = support.build_kernel(base / "rpms")
        support.sign(key, *self.rpms, kernel)
        for hours in (0, 1):
            base.joinpath(f"grace{hours}.yml").write_text(
                f"grace: {hours}h\nbase_url: https://example.com/r\n"
            )
        self.start, self.testing = base / "start", base / "testing"
        settled = [*signing(key), "--config", base / "grace1.yml"]
        for group in ([self.rpms[0], kernel], [self.rpms[1]]):
            tool("publish", "--repo", self.start, *settled, *group)
        tool("publish", "--repo", self.testing, *signing(key), self.rpms[2])
        self.old = sights.seen(self.start, key)
        assert not self.old["fault"] and {V1, V2} < set(self.old["packages"])
        self.new = {verb: self.old for verb in READING}
        for verb in CHANGING:
            root = self.copy(f"peace-{verb}")
            told = self.run(verb, root)
            assert told.status == 0, told
            self.new[verb] = sights.seen(root, key)
            assert self.new[verb] != self.old and not self.new[verb]["fault"]
            shutil.rmtree(root)

    def copy(self, name: str) -> pathlib.Path:
        """A repository to spoil."""
        return shutil.copytree(self.start, self.base / name, symlinks=True)

    def close(self) -> None:
        """Remove everything."""
        gnupg.stop(str(self.theirs.home))
        shutil.rmtree(self.base)

    def argv(self, verb: str, root, grace: int = 1, wait: float = 60, theirs: bool = False) -> list[str]:
        """The words of the command line for ``verb``."""
        told = {
            "publish": ["--repo", root, self.rpms[2]],
            "promote": ["--from", self.testing, "--to", root],
            "withdraw": ["--repo", root, "--reason", "oops", V2],
            "prune": ["--repo", root, "--keep", "1"],
            "sign": ["--repo", root, "--compress", "xz"],
            "kernels": ["--repo", root, "--support-end", "2040-12-31", KERNEL],
            "report": ["--repo", root, "--output", f"{root}.site"],
            "verify": ["--repo", root],
            "lint": [root],
            "plan": ["--repo", root, "--kernel", KERNEL],
        }[verb]
        config = ["--config", self.base / f"grace{grace}.yml"]
        key = self.theirs if theirs else self.key
        more = signing(key) if verb in CHANGING else ["--key", key.public]
        waits = ["--wait", wait] if verb in CHANGING else []
        return [str(word) for word in (verb, *told, *more, *config, *waits)]

    def run(self, verb: str, root, around=contextlib.nullcontext, **more) -> "Told":
        """Run ``verb`` in a process of its own, within ``around()``."""
        argv = self.argv(verb, root, **more)
        with tempfile.TemporaryDirectory(prefix="lp-told-") as folder:
            paths = [os.path.join(folder, name) for name in ("out", "err")]

            def work():
                files = [os.open(path, os.O_CREAT | os.O_WRONLY) for path in paths]
                os.dup2(files[0], 1)
                os.dup2(files[1], 2)
                sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(n, "wb", 0)) for n in (1, 2))
                with around():
                    try:
                        return cli.main(argv)
                    except SystemExit as left:
                        return left.code

            died, status = sights.in_child(work)
            texts = [pathlib.Path(path).read_text() for path in paths]
        return Told(status if status is not None else died, *texts)


class Told(NamedTuple):
    """The end of a run: its exit status and what it printed."""

    status: int
    out: str
    err: str
