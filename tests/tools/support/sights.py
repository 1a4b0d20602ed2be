# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository as a client has it: by dnf's own library, with every file that the metadata names."""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile

import createrepo_c as cr
import dnf
import hawkey

from vm import gnupg

_DEAD = 99


def in_child(work):
    """Run ``work`` in a forked child: (the exit status, negative for a signal; what ``work`` returned)."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = _DEAD
        try:
            os.close(ours)
            told = json.dumps(work()).encode()
            while told:
                told = told[os.write(theirs, told) :]
            code = 0
        finally:
            os._exit(code)
    os.close(theirs)
    told = b""
    while block := os.read(ours, 1 << 16):
        told += block
    os.close(ours)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, json.loads(told) if told else None


def seen(root, key):
    """The content of the repository for clients, as dnf reads it with repo_gpgcheck=1.

    ``packages`` and ``advisories`` by name, ``withdrawn`` and the ``facts`` of kernels by the record, the
    ``compression``; ``fault`` is "" or why a client gets nothing, or a package less than the metadata lists.
    """
    return in_child(lambda: _seen(os.path.abspath(root), key))[1] or {"fault": "the client died"}


def _seen(root, key):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with tempfile.TemporaryDirectory(prefix="lp-client-") as cache, dnf.Base() as base:
        conf = base.conf
        for option in ("cachedir", "persistdir", "logdir", "installroot"):
            os.mkdir(os.path.join(cache, option))
            setattr(conf, option, os.path.join(cache, option))
        conf.pluginpath, conf.reposdir, conf.varsdir = [], [], []
        conf.substitutions["releasever"] = "9"
        repo = base.repos.add_new_repo("seen", conf, baseurl=["file://" + root])
        repo.repo_gpgcheck, repo.skip_if_unavailable = True, False
        repo.gpgkey = [f"file://{key.public}"]
        repo.add_metadata_type_to_download("livepatch")
        ring = os.path.join(repo._repo.getCachedir(), "pubring")
        os.makedirs(ring, mode=0o700)
        pathlib.Path(ring, "gpg.conf").write_text("no-autostart\n")
        try:
            repo.load()
            sack = hawkey.Sack(cachedir=conf.cachedir, arch="x86_64", make_cache_dir=True)
            sack.load_repo(repo._repo, load_updateinfo=True)
            record = json.loads(repo.get_metadata_content("livepatch") or "{}")
        except (dnf.exceptions.Error, hawkey.Exception, ValueError) as error:
            return {"fault": str(error)}
        finally:
            gnupg.stop(ring)
        packages = list(hawkey.Query(sack, flags=hawkey.IGNORE_EXCLUDES))
        told = [package for package in packages if not _whole(root, package)]
        kernels = record.get("kernels", {})
        notes = kernels.values()
        return {
            "facts": sorted(f"{r} {n.get('support_end')} {n.get('unfixable')}" for r, n in kernels.items()),
            "compression": repo._repo.getMetadataPath("primary").rpartition(".")[2],
            "packages": sorted(map(str, packages)),
            "advisories": sorted({a.id for p in packages for a in p.get_advisories(hawkey.EQ)}),
            "withdrawn": sorted(
                n for note in notes for n, p in note["patches"].items() if p.get("withdrawn")
            ),
            "fault": f"{told[0]} is missing or cut" if told else "",
        }


def _whole(root, package):
    """Whether the file is there with the bytes that the metadata promises."""
    path = os.path.join(root, package.location)
    try:
        return hashlib.sha256(pathlib.Path(path).read_bytes()).digest() == package.chksum[1]
    except OSError:
        return False


def listed(repodata):
    """The locations and sizes of the packages that a folder of metadata lists."""
    store = cr.Metadata()
    store.locate_and_load_xml(os.path.dirname(repodata))
    return {store.get(key).location_href: store.get(key).size_package for key in store.keys()}


def current(root):
    """The name of the generation that clients read."""
    return os.path.basename(os.path.dirname(os.path.realpath(os.path.join(root, "repodata"))))


def mirrored(root):
    """The generation that the mirrorlist names, "" for none."""
    with contextlib.suppress(OSError):
        return pathlib.Path(root, "mirrorlist").read_text().rstrip("/\n").rpartition("/")[2]
    return ""


def lost(root, kept):
    """The packages that one of the generations ``kept`` lists and the repository has not got whole."""
    found = set()
    for name in kept:
        base = pathlib.Path(root, "generations", name)
        for location, size in listed(base / "repodata").items():
            path = base / location
            if not path.is_file() or path.stat().st_size != size:
                found.add(f"{name}: {location}")
    return sorted(found)
