# SPDX-License-Identifier: GPL-2.0-or-later
"""lint over the vendors' own metadata, which cannot be shipped here: only with $LIVEPATCH_VENDOR_DATA."""

import collections
import json
import os
import pathlib
import re
import shutil

import createrepo_c as cr

from dnf_plugin_livepatch.repotool.lint.catalogue import CATALOGUE
from dnf_plugin_livepatch.repotool.repository import reading
from tests.tools.support import repositories as support

ZSTD = hasattr(cr, "ZSTD_COMPRESSION")
METADATA = re.compile(r"(.*?)(updateinfo|primary|repomd)[^/]*\.xml(?:\.gz|\.bz2|\.xz|\.zst)?\Z")


def repositories(folder):
    """The files below ``folder`` (or its ``raw``) that are metadata, those of one repository together."""
    top = pathlib.Path(folder)
    top = top / "raw" if (top / "raw").is_dir() else top
    found = collections.defaultdict(dict)
    for path in sorted(top.rglob("*")):
        match = METADATA.match(str(path.relative_to(top)))
        if match and path.is_file():
            part, kind = match.groups()
            # One folder may hold several updateinfo files: each is a repository of its own.
            group = part if part.endswith("repodata__") else str(path)
            found[group][kind] = path
    return dict(found)


def assemble(files, folder):
    """A repository of the given metadata files by type, with empty files for the types that it lacks."""
    repodata = folder / "repodata"
    if "repomd" in files:
        repodata.mkdir(parents=True)
        shutil.copy(files["repomd"], repodata / "repomd.xml")
        return
    folder.mkdir()
    support.call(["createrepo_c", "-q", folder])
    old, new = cr.Repomd(str(repodata / "repomd.xml")), cr.Repomd()
    for one in old.records:
        if one.type not in files:
            new.set_record(one)
    for kind, path in files.items():
        goal = repodata / (kind + ".xml" + path.name.rpartition(".xml")[2])
        shutil.copy(path, goal)
        record = cr.RepomdRecord(kind, str(goal))
        record.fill(cr.SHA256)
        record.rename_file()
        new.set_record(record)
    (repodata / "repomd.xml").write_text(new.xml_dump())


if os.environ.get("LIVEPATCH_VENDOR_DATA"):

    def test_the_vendors_own_metadata_is_judged_and_crashes_nothing(tmp_path, record_property):
        counts, packages, advisories, unread = collections.Counter(), 0, 0, []
        found = repositories(os.environ["LIVEPATCH_VENDOR_DATA"])
        for number, (name, files) in enumerate(found.items()):
            folder = tmp_path / str(number)
            assemble(files, folder)
            done = support.tool("lint", folder, "--json", check=False)
            data = json.loads(done.stdout)
            if done.returncode == 1 and not ZSTD and any(path.suffix == ".zst" for path in files.values()):
                unread.append(data["error"]["id"])
                continue
            assert done.returncode in (0, 3) and "Traceback" not in done.stderr, (name, done.stderr)
            assert all(item["text"] and item["remedy"] for item in data["findings"]), name
            counts.update(item["check"] for item in data["findings"])
            packages += data["packages"]
            advisories += len(reading.read(str(folder), ()).advisories)
        assert found and advisories and set(counts) <= set(CATALOGUE)
        assert set(unread) <= {"metadata-unreadable"}
        told = f"{len(found) - len(unread)} repositories, {packages} packages, {advisories} advisories"
        told += f", {sum(counts.values())} findings of lint: "
        told += ", ".join(f"{count} {check}" for check, count in counts.most_common())
        missed = f"; {len(unread)} in zstd, which this createrepo_c does not read" if unread else ""
        record_property("told", f"$LIVEPATCH_VENDOR_DATA, {told}{missed}")


def test_the_files_of_one_repository_are_taken_together(tmp_path):
    for name in (
        "a__repodata__primary.xml.gz",
        "a__repodata__updateinfo.xml.gz",
        "1-updateinfo.xml",
        "x.xsd",
    ):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).touch()
    found = repositories(tmp_path)
    assert sorted(map(sorted, found.values())) == [["primary", "updateinfo"], ["updateinfo"]]
