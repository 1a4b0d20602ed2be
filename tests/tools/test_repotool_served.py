# SPDX-License-Identifier: GPL-2.0-or-later
"""A published repository behind web servers and caches, read by the real dnf of three releases.

A client gets the old state, the new one, or an error that it tells; never a mixture, and never nothing
without a word.
"""

import json
import os
import pathlib
import shutil
import tempfile

import pytest

from tests.tools.support import serving, sights
from tests.tools.support.published import NAME, V1, V2, publish
from tests.tools.support.serving import content


class Two:
    """The repository before and after a publish; the second has the first one's metadata in its grace."""

    def __init__(self, old, new):
        self.old, self.new = old, new
        names = {str(path.relative_to(new)) for path in new.rglob("*") if path.is_file()}
        self.fresh = {name for name in names if not (old / name).exists()}

    def is_fresh_rpm(self, path):
        """Is it a package that the old state has not got?"""
        return path.endswith(".rpm") and path in self.fresh

    def at(self, path):
        return content(self.new, path)

    def before(self, path):
        return content(self.old, path)


def is_top(path):
    return path.endswith(("repomd.xml", "repomd.xml.asc"))


FAULTS = {
    "none": (lambda two, path: two.at(path), "new"),
    "an old repomd.xml and new files": (
        lambda two, path: two.before(path) if is_top(path) else two.at(path),
        "old",
    ),
    "a new repomd.xml and no new metadata": (
        lambda two, path: two.at(path) if is_top(path) else two.before(path),
        "refused",
    ),
    "new metadata and no new package": (
        lambda two, path: None if two.is_fresh_rpm(path) else two.at(path),
        "refused",
    ),
    "a stale repomd.xml.asc": (
        lambda two, path: two.before(path) if path.endswith(".asc") else two.at(path),
        "refused",
    ),
    "a stale repomd.xml": (
        lambda two, path: two.before(path) if path.endswith("repomd.xml") else two.at(path),
        "refused",
    ),
    "no repomd.xml.asc": (lambda two, path: None if path.endswith(".asc") else two.at(path), "refused"),
    "cut metadata": (
        lambda two, path: (two.at(path) or b"")[:300] if "primary" in path else two.at(path),
        "refused",
    ),
    "a cut package": (
        lambda two, path: (two.at(path) or b"")[:900] if two.is_fresh_rpm(path) else two.at(path),
        "refused",
    ),
    "a cut repomd.xml": (
        lambda two, path: (two.at(path) or b"")[:200] if path.endswith("repomd.xml") else two.at(path),
        "refused",
    ),
    "a page of a portal for all": (lambda two, path: b"<html>log in</html>", "refused"),
}  # fmt: skip
SHORT = ("an old repomd.xml and new files", "a stale repomd.xml.asc")


def noted(*facts):
    """Add a line to the file that SERVED names, from which the table in docs/evidence is made."""
    if os.environ.get("SERVED"):
        with open(os.environ["SERVED"], "a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


@pytest.fixture(scope="module")
def two(tmp_path_factory, key, _published, second):
    folder = tmp_path_factory.mktemp("two")
    old = shutil.copytree(_published, folder / "old", symlinks=True)
    new = shutil.copytree(_published, folder / "new", symlinks=True)
    publish(new, key, second[0])
    return Two(old, new)


@pytest.fixture
def place():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lp-served-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


NEAR = [name for name, inside in serving.CLIENTS.items() if not inside]
FAR = [pytest.param(name, marks=pytest.mark.slow) for name, inside in serving.CLIENTS.items() if inside]


@pytest.fixture(params=[*NEAR, *FAR])
def dnf(request, place, key):
    def made(url, mirrors=False):
        found = serving.client(request.param, place / "client", url, key, mirrors)
        if found is None:
            pytest.skip(f"build/{serving.CLIENTS[request.param]} is not there: make clients")
        found.title = request.param
        return found

    return made


@pytest.mark.parametrize(
    "fault", [name if name in SHORT else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS]
)
def test_a_bad_cache_gives_the_old_state_the_new_one_or_an_error(two, dnf, fault):
    answer, ending = FAULTS[fault]
    with serving.Cached(lambda path: answer(two, path)) as server:
        client = dnf(server.url)
        done = client.dnf("install", NAME, check=False)
        found = [name for name in client.installed() if name.startswith(NAME)]
        assert found == {"new": [V2], "old": [V1], "refused": []}[ending], done
        assert (done.returncode != 0) == (ending == "refused"), done
        if ending == "refused":
            assert done.stderr.strip(), "it tells nothing"
        # The fault is over: the client gets the new state, whatever it kept of the bad one.
        server.answer = two.at
        client.dnf("install", V2)
        assert V2 in client.installed()
    noted(client.title, fault, ending)


def test_a_client_that_has_the_old_state_keeps_it_when_the_new_one_is_bad(two, dnf):
    with serving.Cached(two.before) as server:
        client = dnf(server.url)
        client.dnf("install", V1)
        server.answer = lambda path: two.at(path) if is_top(path) else two.before(path)
        done = client.dnf("upgrade", check=False)
        assert done.returncode != 0 and V1 in client.installed(), done
        server.answer = two.at
        client.dnf("upgrade")
        assert V2 in client.installed()
    noted(client.title, "an upgrade meets a half-synced mirror", "refused, then new")


def test_a_cache_that_never_forgets_spoils_nothing_for_clients_of_the_mirrorlist(two, dnf):
    """Each generation has addresses of its own: of repomd.xml and its signature no other version exists."""
    kept = {}

    def answer(path):
        if path == "mirrorlist":
            return f"{server.url}/generations/{sights.current(present[0])}/\n".encode()
        if path not in kept:
            kept[path] = content(present[0], path)
        return kept[path]

    present = [two.old]
    with serving.Cached(answer) as server:
        client = dnf(server.url + "/mirrorlist", mirrors=True)
        client.dnf("install", V1)
        present[0] = two.new
        server.asked.clear()
        done = client.dnf("upgrade")
        assert V2 in client.installed(), (server.asked, done)
    noted(client.title, "a cache that never forgets, mirrorlist", "new")
