# SPDX-License-Identifier: GPL-2.0-or-later
"""Repositories and packages of strangers: no traceback, and none of their control characters."""

import ast
import io
import json
import os
import unicodedata
import xml.dom.minidom

import pytest

from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.repotool import cli, site
from dnf_plugin_livepatch.repotool.repository import metadata, reading, rpms
from dnf_plugin_livepatch.rpmtool import cli as rpm_cli
from dnf_plugin_livepatch.toolkit import output
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.fuzz import hostile_repository
from tests.tools.support.repositories import ROOT

#: ESC, CSI as one character, the bidirectional ones, a surrogate, a noncharacter, line ends, DEL.
CONTROLS = "\x00\x07\x1b\x7f\x85\x9b\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028\ud800\ufffe\r\n\t"
XML_CONTROLS = "\x7f\x85\x9b\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028"
MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=x>"


def harmless(text):
    """Whether a person may see ``text``: it has line feeds and printable characters only."""
    return all(c == "\n" or unicodedata.category(c)[0] not in "C" and c.isprintable() for c in text)


@pytest.fixture
def hostile(tmp_path):
    """A repository whose every text holds control characters and markup."""
    bad = "x" + XML_CONTROLS + MARKUP
    record = {"schema": 1, "kernels": {"6.12.0-1.x86_64": {"patches": {"klp-1-1.x86_64": {
        "issued": "2026-01-01T00:00:00Z",
        "withdrawn": {"since": "2026-01-01T00:00:00Z", "reason": MARKUP}}}}}}  # fmt: skip
    return hostile_repository.make(
        tmp_path / "repo",
        [
            ("klp", "1", "1"),
            ("klp" + bad, "1", "1"),
            ("../../../evil", "1", "1"),
            ("klp" + "a" * 300, "1", "1"),
        ],
        advisory=bad,
        severity="Low" + bad,
        record=json.dumps(record),
    )


VERBS = (
    ["lint", "REPO"],
    ["lint", "REPO", "--json"],
    ["lint", "REPO", "--format", "junit"],
    ["plan", "--repo", "REPO", "--kernel", "6.12.0-1.x86_64"],
    ["plan", "--repo", "REPO", "--kernel", "6.12.0-1.x86_64", "--json"],
    ["report", "--repo", "REPO", "--json"],
    ["publish", "--repo", "REPO", "REPO/repodata/repomd.xml"],
    ["promote", "--from", "REPO", "--to", "REPO/other", "--dry-run"],
    ["withdraw", "--repo", "REPO", "--reason", "r", "*", "--dry-run"],
    ["prune", "--repo", "REPO", "--dry-run"],
)


@pytest.mark.parametrize("argv", VERBS, ids=" ".join)
def test_no_verb_passes_a_strangers_characters_on(argv, hostile, capsys):
    cli.main([word.replace("REPO", str(hostile)) for word in argv])
    told = capsys.readouterr()
    assert told.out or told.err
    assert harmless(told.out) and harmless(told.err)
    if "--json" in argv:
        assert all(map(harmless, texts_of(json.loads(told.out))))


def texts_of(data):
    """Every text in parsed JSON, the names of fields too."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, (dict, list)):
        for item in data:
            yield from texts_of(item)
        for item in data.values() if isinstance(data, dict) else ():
            yield from texts_of(item)


def test_the_report_shows_a_stranger_as_text_and_stays_in_its_folder(hostile, tmp_path, capsys):
    folder = tmp_path / "site"
    assert cli.main(["report", "--repo", str(hostile), "--output", str(folder)]) == 0
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10 and {path.name for path in tmp_path.iterdir()} == {"repo", "site"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert harmless(text), path.name
        if path.suffix in (".html", ".xml"):
            for bad in ("<script>alert", "<img", "javascript:"):
                assert bad not in text, path.name
    xml.dom.minidom.parse(str(folder / "feed.xml"))
    assert harmless(capsys.readouterr().out)


@pytest.mark.parametrize(
    "packages, date",
    [
        ([("klp", "1.²", "1")], "2026-01-01"),
        ([("klp", "9" * 5000, "1")], "2026-01-01"),
        ([("klp" + "a" * 300, "1", "1")], "2026-01-01"),
        ([("klp" + "²" * 300, "1", "1")], "2026-01-01"),
        ([("klp", "1", "1")], "99999999999999"),
        ([("klp", "1", "1")], "9" * 40),
        ([("klp", "1", "1")], "-1"),
        ([("klp", "1", "1")], "2026-13-01 00:00:00"),
        ([("klp", "1", "1")], "0001-01-01 00:00:00"),
    ],
)
def test_odd_versions_names_and_dates_end_nothing(packages, date, tmp_path, capsys):
    made = hostile_repository.make(tmp_path / "repo", packages, date=date)
    for argv in (["lint", str(made)], ["report", "--repo", str(made), "--output", str(tmp_path / "site")]):
        status, error = cli.main(argv), capsys.readouterr().err
        assert (status in (0, 3)) or "[metadata-unreadable]" in error


def test_a_page_has_one_name_however_long_the_packages_name():
    names = [site.slug(c * 1000) for c in "aé"] + [site.slug("a" * 1001)]
    assert len(set(names)) == 3 and all(len(name) <= site.LONGEST_SLUG for name in names)
    assert site.slug("klp-1-1.x86_64") == "klp-1-1.x86_64"


@pytest.mark.parametrize(
    "location", ["a\nPackages/0123456789abcdef/b.rpm", "a\x1bb", "a\u2028b", "../a", "/a", "a\0"]
)
def test_a_location_is_a_printable_path_below_the_repository(location):
    assert metadata.safe(location) == ".no-such-file"


def test_a_path_with_a_line_feed_brings_no_signature_for_another_package(tmp_path):
    victim, evil = tmp_path / "victim.rpm", tmp_path / "a\nb.rpm"
    victim.write_bytes(b"")
    evil.write_bytes(b"")
    states = rpms.signatures([str(evil), str(victim)], ())
    assert states[str(evil)][0] == states[str(victim)][0] == "bad"


@pytest.mark.parametrize("kind", ["shake_128", "", "sm3", "blake2b", "\ud800"])
def test_a_digest_of_no_repository_differs(kind, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    assert metadata.digest(str(tmp_path / "x"), kind) == ""


def test_locations_that_hide_each_other_are_an_error_of_the_repository(tmp_path):
    made = hostile_repository.make(tmp_path / "repo", [("klp", "1", "1")])
    path = made / "repodata" / "repomd.xml"
    text = path.read_text()
    start = text.index("repodata/", text.index('"primary"'))
    path.write_text(text[:start] + "repodata/repomd.xml/x" + text[text.index('"', start) :])
    with pytest.raises(Exception) as caught:
        reading.fetch("file://" + str(made), str(tmp_path / "copy"))
    assert caught.value.id in ("unreachable", "metadata-unreadable")


@pytest.mark.parametrize("verb", ["inspect", "lint"])
def test_a_module_of_a_stranger_shows_no_control_characters(verb, tmp_path, capsys):
    from tests.unit.support.fakehost import module_file

    path = tmp_path / "m.ko"
    bad = XML_CONTROLS.encode() + b"\n\x1b]0;x\x07 "
    path.write_bytes(module_file("m", "ab" * 20).replace(b"vermagic=6", b"vermagic=" + bad + b"6"))
    for more in ([], ["--json"]):
        rpm_cli.main([verb, str(path), *more])
        told = capsys.readouterr()
        assert harmless(told.out) and harmless(told.err)


def test_the_one_way_out_makes_every_character_harmless(monkeypatch):
    assert output.line("a" + CONTROLS) == "a" + "?" * len(CONTROLS)
    assert output.plain("a\n\x1bb\n") == "a\n?b\n"
    assert json.loads(output.as_json({"k\x9b": ["\u202e", ("é", 1, None, True)]})) == {
        "k?": ["?", ["é", 1, None, True]]
    }
    narrow = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", narrow)
    output.show(["é漢", "b"])
    assert narrow.buffer.getvalue() == b"??\nb\n"


def test_nothing_of_the_tools_prints_but_the_one_way_out():
    found = []
    for room in ("rpmtool", "repotool", "toolkit"):
        for path in sorted((ROOT / "dnf_plugin_livepatch" / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                call = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if (
                    call == "print"
                    or call.endswith((".stdout.write", ".stderr.write"))
                    or call == "json.dumps"
                ):
                    found.append((path.name, call))
    # A stranger's text is in neither: the recipe is a file for programs, the marker lists file names.
    assert found == [
        ("recipe.py", "json.dumps"),
        *[("site.py", "json.dumps")] * 2,
        ("output.py", "json.dumps"),
    ]


def test_the_record_is_always_packed_as_hosts_unpack_it(tmp_path):
    text = repository_record.dump(repository_record.Record("2026-11-22T21:00:00Z", {}))
    for how in metadata.COMPRESSIONS:
        try:
            metadata.compression(how)
        except ToolError:  # this createrepo_c lacks it
            continue
        folder = tmp_path / how / "repodata"
        os.makedirs(folder)
        metadata.write(str(folder), [], [], text, [], how, 1)
        (path,) = folder.glob("*livepatch.json*")
        assert path.name.endswith(".gz") and path.read_bytes()[:2] == b"\x1f\x8b"
        assert metadata.read_text(str(path)) == text


@pytest.mark.parametrize(
    "inside", ["<id>A-1</id><a b='1' b='2'/>", "<id>A-1</id><&>", "<id>A-1</id>\0", "<id>A-1"]
)
def test_an_advisory_that_is_no_xml_is_the_repositorys_fault(inside):
    (update,) = metadata.updates_of(f"<updates><update ><id>A-1</id>{inside}</update></updates>")
    with pytest.raises(ToolError) as caught:
        update.record()
    assert caught.value.id == "metadata-unreadable"
