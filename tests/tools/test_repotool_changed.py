# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key of the publisher's files, changed after a publish: applied, refused or told."""

import json

import pytest

from dnf_plugin_livepatch.base.model import Manifest, Nevra
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.repotool import advisories, entries, notes, settings
from dnf_plugin_livepatch.repotool.repository import signing as signatures
from dnf_plugin_livepatch.repotool.repository.view import Advisory, Package
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.tools.support import published
from tests.tools.support.published import NAME, V1, V2, loaded, tree
from tests.tools.support.repositories import KERNEL, signing, tool

NOW, DAY = "2026-11-22T21:00:00Z", 86400
STEPS = ((0, 5), (DAY, 25), (3 * DAY, 100))
LINK = {"type": "self", "id": "EX-1", "href": "https://example.com/1"}

#: By key of the settings: what was published with, what comes next, and a part of what is said then.
SETTINGS = {
    "from": ("A <a@example.com>", "B <b@example.com>", "~ advisory"),
    "rights": ("A", "B", "[advisory-rights-kept]"),
    "rollout": (
        [{"after": 0, "percent": 5}, {"after": "1d", "percent": 100}],
        [{"after": 0, "percent": 5}, {"after": "9d", "percent": 100}],
        f"~ record {V1}: another rollout, offered to 5% now, 100% from",
    ),
    "kernels": (
        {KERNEL: {"support_end": "2027-06-01"}},
        {KERNEL: {"support_end": "2027-07-01"}},
        f"~ record {KERNEL}: support ends 2027-07-01",
    ),
    "compression": ("gz", "xz", "~ signed again"),
    "base_url": ("https://example.com/a", "https://example.com/b", "~ put right: mirrorlist"),
    "base_dir": ("..", ".", "~ put right: mirrorlist"),
    # The id that was published stays. A second advisory with the new prefix would be the fault.
    "advisory_prefix": ("EXA", "EXB", "nothing to do"),
}
#: They say how a verb works, and are in nothing that is published.
WORKING = {"gpg_home", "keys", "grace", "keep", "title", "kernels_from", "waive"}
#: Likewise for the entries of an advisory file.
ENTRY = {
    "id": ("EX-1", "EX-2", "[advisory-taken]"),
    "packages": ([NAME], ["kpatch-patch-6*"], "[advisory-fault]"),
    "title": ("One", "Two", "~ advisory"),
    "severity": ("Low", "Critical", "~ advisory"),
    "type": ("security", "bugfix", "[advisory-changed]"),
    "summary": ("One.", "Two.", "~ advisory"),
    "description": ("One.", "Two.", "~ advisory"),
    "solution": ("One.", "Two.", "~ advisory"),
    "issued": ("2026-11-20", "2026-11-21", "[advisory-changed]"),
    "rights": ("One", "Two", "~ advisory"),
    "cves": (["CVE-2024-1111"], ["CVE-2024-2222"], "~ advisory"),
    "references": ([LINK], [{**LINK, "href": "https://example.com/2"}], "~ advisory"),
}
FILE = {
    "kernels": SETTINGS["kernels"],
    "rollout": (SETTINGS["rollout"][0], [], f"~ record {V1}: another rollout, offered to all hosts now"),
}


def written(path, data):
    path.write_text(json.dumps(data))
    return path


def once_and_again(tmp_path, key, rpm, option, first, second):
    """Publish with ``first`` in the file of ``option``, then with ``second`` twice; the last two answers."""
    repo = tmp_path / "repo"
    words = ["publish", "--repo", repo, *signing(key), option]
    tool(*words, written(tmp_path / "first", first), rpm)
    file = written(tmp_path / "second", second)
    found = [tool(*words, file, rpm, check=False) for _ in range(2)]
    return repo, [done.stdout + done.stderr for done in found]


def steady(told, again, wanted):
    """Whether the second time changes nothing more: what was refused or told is so again."""
    assert wanted in told
    assert again == told if "[" in wanted else "nothing to do" in again


@pytest.mark.parametrize("name", SETTINGS)
def test_a_changed_setting_is_applied_or_told(name, tmp_path, key, first):
    old, new, wanted = SETTINGS[name]
    more = {"base_url": "https://example.com"} if name == "base_dir" else {}
    repo, told = once_and_again(
        tmp_path, key, first[0], "--config", {**more, name: old}, {**more, name: new}
    )
    steady(*told, wanted)
    assert len(published.advisories(repo)) == 1
    text = published.loaded(repo).updates or [update.fromstr for update in published.loaded(repo).advisories]
    assert name != "from" or text == [new]


@pytest.mark.parametrize("name", ENTRY)
def test_a_changed_entry_of_the_advisory_file_is_applied_or_refused(name, tmp_path, key, first):
    old, new, wanted = ENTRY[name]
    entries_of = [{"schema": 1, "advisories": [{name: value}]} for value in (old, new)]
    repo, told = once_and_again(tmp_path, key, first[0], "--advisory", *entries_of)
    steady(*told, wanted)
    (advisory,) = published.advisories(repo).values()
    assert (advisory.version == "2") == (wanted == "~ advisory")


@pytest.mark.parametrize("name", FILE)
def test_another_part_of_the_advisory_file_is_applied(name, tmp_path, key, first):
    old, new, wanted = FILE[name]
    files = [{"schema": 1, name: value} for value in (old, new)]
    _repo, told = once_and_again(tmp_path, key, first[0], "--advisory", *files)
    steady(*told, wanted)


def test_the_tables_have_every_key_of_the_files():
    assert {*SETTINGS, *WORKING, "sign_with"} == {*settings._KEYS}
    assert {*ENTRY} == {*settings._ENTRY}
    assert {*FILE, "schema", "advisories"} == {*settings._ADVISORY_FILE}


def test_another_signing_key_signs_again(tmp_path, repo, key, stranger, first):
    words = ["publish", "--repo", repo, "--sign-with", stranger.name, "--gpg-home", stranger.home]
    words += ["--key", stranger.public, "--key", key.public]
    before = tree(repo)
    assert "~ signed again" in tool(*words, "--dry-run", first[0]).stdout and tree(repo) == before
    told = tool(*words, first[0]).stdout
    assert "~ signed again" in told and "~ advisory" not in told
    assert signatures.check(str(repo / "repodata"), [str(stranger.public)]) == "good"
    assert "nothing to do" in tool(*words, first[0]).stdout


# ---- rollouts


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "old, begun, new, now, wanted",
    [
        # Counted from the same beginning, whether that makes it slower or faster.
        (STEPS, NOW, ((0, 5), (9 * DAY, 100)), "2026-11-23T00:00:00Z", 5),
        (STEPS, NOW, ((0, 5), (DAY, 100)), "2026-11-24T00:00:00Z", 100),
        (STEPS, NOW, ((2 * DAY, 50),), "2026-11-24T00:00:00Z", 0),
        (((DAY, 50),), NOW, ((2 * DAY, 50),), "2026-11-24T00:00:00Z", 0),
    ],
)
def test_a_rollout_changes_from_its_own_beginning(old, begun, new, now, wanted, asked):
    note = repository_record.PatchNote(NOW, notes.rollout(old, begun))
    changed = note._replace(rollout=notes._continued(note, new, now, asked))
    assert repository_record.share(changed, now) == wanted
    assert notes._continued(changed, new, now, True) == changed.rollout


@pytest.mark.parametrize("begun", ["2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_rollout_that_began_at_no_time_begins_now(begun):
    note = repository_record.PatchNote(NOW, (repository_record.Step(begun, 5),))
    assert notes._continued(note, STEPS, NOW) == notes.rollout(STEPS, NOW)


def test_the_settings_take_no_patch_back_that_all_hosts_are_offered(tmp_path, repo, key, first):
    config = written(tmp_path / "s", {"rollout": SETTINGS["rollout"][0]})
    words = ["publish", "--repo", repo, *signing(key)]
    told = tool(*words, "--config", config, first[0]).stdout
    assert "nothing to do" in told and f"{V1}: All of its hosts are offered it" in told
    # The advisory file means this very patch.
    file = written(tmp_path / "a", {"schema": 1, "rollout": SETTINGS["rollout"][0]})
    assert "offered to 5% now" in tool(*words, "--advisory", file, first[0]).stdout
    assert "nothing to do" in tool(*words, "--config", config, first[0]).stdout


def test_no_rollout_in_the_settings_ends_none_of_the_advisory_file(tmp_path, key, first):
    repo = tmp_path / "repo"
    words = ["publish", "--repo", repo, *signing(key)]
    file = written(tmp_path / "a", {"schema": 1, "rollout": [{"after": 0, "percent": 5}]})
    assert "offered to 5% now" in tool(*words, "--advisory", file, first[0]).stdout
    told = tool(*words, first[0]).stdout
    assert "nothing to do" in told and "[rollout-goes-on]" in told
    written(file, {"schema": 1, "rollout": []})
    assert "offered to all hosts now" in tool(*words, "--advisory", file, first[0]).stdout
    assert "[rollout" not in tool(*words, first[0]).stdout


def test_promote_applies_the_changed_rollout_of_the_target(tmp_path, repo, key):
    stable, config = tmp_path / "stable", tmp_path / "s"
    words = ["promote", "--from", repo, "--to", stable, *signing(key), "--config", config]
    for value, wanted in zip(SETTINGS["rollout"], ("offered to 5% now, 100%", "another rollout")):
        written(config, {"rollout": value})
        assert wanted in tool(*words).stdout
    note = repository_record.parse(loaded(stable).record).kernels[KERNEL].patches[V1]
    assert [step.percent for step in note.rollout] == [5, 100]
    assert "nothing to do" in tool(*words).stdout


# ---- the advisory of a package that has one


def incoming(number="1", cves=("CVE-2024-1086",), advisory=""):
    nevra = Nevra(NAME, "0", "1", f"{number}.el9_4", "x86_64")
    package = Package(nevra, f"Packages/0/{nevra}.rpm", kind="patch", kernels=(KERNEL,))
    return advisories.Incoming(package, (Manifest("kp", KERNEL, "", cves=cves, advisory=advisory),))


def ids(items, file, **listed):
    nevras = {item.package.nevra: item for item in items}
    known = {nevra: [Advisory(name, kind) for name, kind in listed.items()] for nevra in nevras}
    made = entries.drafts(items, settings.AdvisoryFile(tuple(file)), settings.Settings(), known)
    return [draft.id for draft in made]


def test_a_package_stays_in_its_advisory():
    one = incoming()
    assert ids([one], []) == [f"LIVEPATCH:{NAME}-1-1.el9_4"]
    assert ids([one], [], EX="security") == ["EX"]
    assert ids([incoming(advisory="EX-2")], [], EX="security") == ["EX"]
    assert ids([one], [{"id": "EX-2"}], EX="security", **{"EX-2": "security"}) == ["EX-2"]
    # Another tool's advisory without CVEs is no place for them.
    assert ids([one], [], OTHER="newpackage") == [f"LIVEPATCH:{NAME}-1-1.el9_4"]
    assert ids([one], [], OTHER="newpackage", EX="security") == ["EX"]
    with pytest.raises(ToolError) as caught:
        ids([one], [{"id": "EX-2"}], EX="security")
    assert caught.value.id == "advisory-taken" and "EX-2" in caught.value.text


def test_two_entries_never_speak_for_one_advisory():
    items = [incoming("1"), incoming("2")]
    file = [{"id": "EX", "packages": ["*-1-1.*"]}, {"id": "EX", "packages": ["*"], "title": "T"}]
    with pytest.raises(ToolError) as caught:
        ids(items, file)
    assert caught.value.id == "advisory-fault"
    assert ids(items, [{**entry, "title": "T"} for entry in file]) == ["EX"]
    # The entry counts, whichever package comes first.
    told = [incoming("1", advisory="EX"), incoming("2", advisory="EX")]
    only = settings.AdvisoryFile(({"packages": ["*-1-2.*"], "title": "T"},))
    (draft,) = entries.drafts(told, only, settings.Settings(), {})
    assert draft.entry["title"] == "T" and len(draft.items) == 2


@pytest.mark.parametrize(
    "globs, good",
    [
        ([["a*"], ["*"]], True),
        ([["a*"], None], True),
        ([["a*", "b*"], ["b*", "c*"]], True),
        ([None, ["a*"]], False),
        ([["*"], ["a*"]], False),
        ([["a*"], ["b*"], ["b*", "a*"]], False),
    ],
)
def test_an_entry_that_nothing_can_come_to_is_refused(globs, good, tmp_path):
    found = [{"title": str(n), **({"packages": g} if g else {})} for n, g in enumerate(globs)]
    file = written(tmp_path / "a.yml", {"schema": 1, "advisories": found})
    if good:
        settings.read_advisories(str(file))
    else:
        with pytest.raises(ToolError) as caught:
            settings.read_advisories(str(file))
        assert caught.value.id == "advisory-fault" and "earlier entry" in caught.value.text


def test_a_correction_of_a_package_that_is_not_given_is_told(tmp_path, repo, key, second):
    (old,) = published.advisories(repo).values()
    entry = {"packages": [f"{NAME}-1-1.*"], "title": "Better", "cves": ["CVE-2024-7777"]}
    file = written(tmp_path / "a", {"schema": 1, "advisories": [entry]})
    told = tool("publish", "--repo", repo, *signing(key), "--advisory", file, *second).stdout
    assert f"warning: {old.id}: The advisory file has another title, cves" in told
    assert "[advisory-not-given]" in told and published.advisories(repo)[old.id] == old
    entry = {"packages": [f"{NAME}-1-1.*"], "title": old.title, "severity": old.severity}
    file = written(tmp_path / "a", {"schema": 1, "advisories": [entry]})
    told = tool("publish", "--repo", repo, *signing(key), "--advisory", file, *second).stdout
    assert "nothing to do" in told and "advisory-not-given" not in told and V2 in published.names(repo)


def test_a_publish_without_the_file_stays_in_the_advisory_of_the_file(tmp_path, key, first):
    repo = tmp_path / "repo"
    words = ["publish", "--repo", repo, *signing(key)]
    file = written(tmp_path / "a", {"schema": 1, "advisories": [{"id": "EX-1", "title": "T"}]})
    tool(*words, "--advisory", file, first[0])
    assert "nothing to do" in tool(*words, first[0]).stdout
    config = written(tmp_path / "s", {"advisory_prefix": "EXB"})
    assert "nothing to do" in tool(*words, "--config", config, first[0]).stdout
    assert list(published.advisories(repo)) == ["EX-1"]
    assert published.advisories(repo)["EX-1"].title == "T"
