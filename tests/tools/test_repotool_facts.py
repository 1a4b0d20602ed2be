# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts about kernels, corrections of published advisories, and withdrawn builds that come again."""

import json

import pytest

from dnf_plugin_livepatch.base.model import Manifest, Nevra, Unfixable
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import KernelNote, PatchNote, Record
from dnf_plugin_livepatch.repotool import advisories, gate, notes
from dnf_plugin_livepatch.repotool.repository.metadata import advisory_view
from dnf_plugin_livepatch.repotool.repository.view import Package
from dnf_plugin_livepatch.repotool.settings import KernelText, Settings
from dnf_plugin_livepatch.toolkit.errors import Finding
from tests.tools.support import published
from tests.tools.support import repositories as support
from tests.tools.support.lint_cases import Repo
from tests.tools.support.published import V1, V2, loaded, names, publish
from tests.tools.support.repositories import KERNEL, signing, tool

NOW = "2026-11-22T21:00:00Z"
A, B = Unfixable("CVE-2022-4269", "data"), Unfixable("CVE-2023-1", "layout")
OTHER = "5.14.0-427.16.1.el9_4.x86_64"


def note(repo, release=KERNEL):
    return repository_record.parse(loaded(repo).record).kernels[release]


def advisory(repo, nevra=V1):
    (found,) = [
        one
        for one in published.advisories(repo).values()
        if nevra in map(str, (p.nevra for p in one.packages))
    ]
    return found


def correct(repo, key, tmp_path, *rpms, check=True, more=(), **entry):
    """Publish ``rpms`` again with another advisory file."""
    file = tmp_path / "advisory.yml"
    file.write_text(json.dumps({"schema": 1, "advisories": [entry]}))
    return publish(repo, key, *rpms, more=["--advisory", file, *more], check=check)


# ---- facts of kernels


@pytest.mark.parametrize(
    "stands, comes, set_here, wanted",
    [
        (KernelNote("2027-01-01", (A,)), KernelNote("", (B,)), KernelText(), ("2027-01-01", (A, B))),
        (KernelNote("2027-01-01", (A,)), KernelNote("2027-05-01"), KernelText(), ("2027-05-01", (A,))),
        (
            KernelNote(),
            KernelNote("2027-05-01", (A,)),
            KernelText("2028-01-01", (B,)),
            ("2028-01-01", (A, B)),
        ),
        (
            KernelNote("2027-01-01", (A._replace(reason="old"),)),
            KernelNote("", (A,)),
            KernelText("", (A._replace(reason="ours"),)),
            ("2027-01-01", (A._replace(reason="ours"),)),
        ),
    ],
)
def test_promotion_joins_what_stands_there_what_comes_and_the_settings(stands, comes, set_here, wanted):
    source = Record(NOW, {KERNEL: comes._replace(patches={V1: PatchNote(NOW)})})
    record = notes.taken(Record(NOW, {KERNEL: stands}), source, {V1}, {}, (), NOW)
    found = notes.stated(record, {KERNEL: set_here}, NOW).kernels[KERNEL]
    assert (found.support_end, found.unfixable) == wanted and V1 in found.patches


def test_promote_takes_the_targets_settings_and_wipes_nothing(repo, key, second, tmp_path):
    stable, config = tmp_path / "stable", tmp_path / "stable.yml"
    config.write_text(
        f"kernels:\n  {KERNEL}:\n    support_end: 2028-02-03\n"
        "    unfixable: [{cve: CVE-2022-4269, reason: data}]\n"
    )
    more = ["promote", "--from", repo, "--to", stable, *signing(key)]
    tool(*more, "--config", config)
    assert note(stable)[:2] == ("2028-02-03", (A,))
    publish(repo, key, *second)
    tool(*more)
    assert note(repo).support_end == "2027-05-01" and note(repo).unfixable == ()
    assert note(stable).unfixable == (A,) and V2 in names(stable)


def test_facts_change_without_a_package_in_hand(repo, key, tmp_path):
    def kernels(*words, check=True):
        return tool("kernels", "--repo", repo, *signing(key), *words, check=check)

    before = names(repo)
    done = kernels("--support-end", "2027-12-31", "--unfixable", "CVE-2022-4269=data", "5.14.0-427.13*")
    assert f"~ record {KERNEL}: support ends 2027-12-31" in done.stdout
    assert note(repo)[:2] == ("2027-12-31", (A,)) and V1 in note(repo).patches and names(repo) == before
    assert "nothing to do" in kernels("--support-end", "2027-12-31", KERNEL).stdout
    kernels("--fixable", "CVE-2022-4269", "--support-end", "unknown", KERNEL)
    assert note(repo)[:2] == ("", ())
    config = tmp_path / "s.yml"
    config.write_text(f"kernels:\n  {KERNEL}: {{support_end: 2029-01-01}}\n")
    kernels("--config", config)
    assert note(repo).support_end == "2029-01-01"
    assert "[no-match]" in kernels("--support-end", "2027-12-31", "6.1*", check=False).stderr
    for words in (
        ["--support-end", "soon", KERNEL],
        ["--unfixable", "CVE-2022-4269", KERNEL],
        ["--fixable", "x", KERNEL],
    ):
        assert "[settings-fault]" in kernels(*words, check=False).stderr
    assert (
        kernels(check=False).returncode
        == kernels("--support-end", "2027-12-31", check=False).returncode
        == 2
    )
    refused = kernels("--unfixable", "CVE-2024-1086=data", KERNEL, check=False)
    assert refused.returncode == 3 and "cve-closed-and-unfixable" in refused.stderr
    assert note(repo).unfixable == ()


def finding(*cves, check="cve-closed-and-unfixable", subject=KERNEL, nevra=V1):
    return Finding(check, "error", subject, f"no live patch closes {', '.join(cves)}, and {nevra} does", "")


@pytest.mark.parametrize(
    "item, passes",
    [
        (finding("CVE-2024-1"), True),
        (finding("CVE-2024-1", nevra=V2), True),  # an old fault keeps no fix away
        (finding("CVE-2024-3", "CVE-2024-1"), True),
        (finding("CVE-2024-1", "CVE-2024-2"), False),
        (finding("CVE-2024-2"), False),
        (finding("CVE-2024-10"), False),
        (finding("CVE-2024-1", subject=OTHER), False),
        (finding("CVE-2024-4", check="advisory-cve-lost"), False),
        (finding(), True),
    ],
)
def test_a_fault_about_one_cve_lets_none_about_another_pass(item, passes):
    known = [
        finding("CVE-2024-1"),
        finding("CVE-2024-3"),
        finding("CVE-2024-5", check="advisory-cve-lost"),
    ]
    assert gate.fresh(known, [item]) == ([] if passes else [item])


def test_a_waived_contradiction_covers_no_other_cve(repo, key, second, tmp_path):
    publish(repo, key, *second)
    waived = tmp_path / "waived.yml"
    waived.write_text("waive:\n- {check: cve-closed-and-unfixable, reason: being looked at}\n")

    def kernels(cve, *words):
        return tool(
            "kernels", "--repo", repo, *signing(key), "--unfixable", f"{cve}=x", *words, KERNEL, check=False
        )

    assert kernels("CVE-2024-1086", "--config", waived).returncode == 0
    done = kernels("CVE-2024-26642")
    assert done.returncode == 3 and "CVE-2024-26642" in done.stderr + done.stdout
    assert [one.cve for one in note(repo).unfixable] == ["CVE-2024-1086"]
    assert kernels("CVE-2022-4269").returncode == 0, "the old fault stands in no way"


@pytest.mark.parametrize(
    "text, cves, unfixable",
    [
        ("settings", ["CVE-2024-1086"], "CVE-2024-1086"),
        ("advisory file", ["CVE-2024-1111", "CVE-2022-4269"], "CVE-2022-4269"),
    ],
)
def test_no_publish_makes_a_cve_closed_and_unfixable(tmp_path, key, first, text, cves, unfixable):
    config = tmp_path / "s.yml"
    config.write_text(f"kernels:\n  {KERNEL}:\n    unfixable: [{{cve: {unfixable}, reason: data}}]\n")
    more = ["--config", config]
    done = correct(tmp_path / "repo", key, tmp_path, first[0], more=more, check=False, cves=cves)
    assert done.returncode == 3 and "[cve-closed-and-unfixable]" in done.stderr, text
    assert not (tmp_path / "repo" / "repodata").exists()


def incoming(release, number="1", cves=(), unfixable=()):
    nevra = Nevra(support.patch_name(release), "0", "1", f"{number}.el9_4", "x86_64")
    package = Package(nevra, f"Packages/0/{nevra}.rpm", kind="patch", kernels=(release,))
    manifest = Manifest("kp", release, "", cves=tuple(cves), unfixable=tuple(unfixable))
    return advisories.Incoming(package._replace(provides=()), (manifest,))


@pytest.mark.parametrize("order", [1, -1])
def test_a_later_build_that_closes_a_cve_ends_its_being_unfixable(order):
    items = [incoming(KERNEL, "1", (), [A]), incoming(KERNEL, "2", [A.cve])]
    closes = {KERNEL: ({items[1].package.nevra}, {A.cve})}
    record = notes.published(Record(), items[::order], closes, (), {}, NOW)
    assert record.kernels[KERNEL].unfixable == ()
    later = notes.published(record, [incoming(KERNEL, "0", (), [A])], closes, (), {}, NOW)
    assert later.kernels[KERNEL].unfixable == (), "an older build came late"


@pytest.mark.parametrize("release", [KERNEL, OTHER])
def test_no_advisory_says_closed_and_not_closed(release):
    items = (incoming(KERNEL, "1", (), [A, B]), incoming(release, "2", [A.cve]))
    (update,) = advisories.merge([], [advisories.Draft("EX-1", {}, items)], Settings(), NOW)[0]
    text = update.record().description
    closed, _, left = text.partition("Not closed by any live patch")
    assert A.cve in closed and A.cve not in left and B.cve in left


def test_lint_of_any_repository_tells_a_cve_that_is_closed_and_unfixable(tmp_path):
    made = Repo(tmp_path / "lint")
    made.note(unfixable=(Unfixable("CVE-2024-1086", "data"),))
    (found,) = [item for item in made.lint() if item.check == "cve-closed-and-unfixable"]
    assert found.subject == KERNEL and "CVE-2024-1086" in found.text
    made.folder = tmp_path / "withdrawn"
    for name in (V1, V2):
        made.patch_note(name, withdrawn=repository_record.Withdrawn(NOW, "oops"))
    assert "cve-closed-and-unfixable" not in [item.check for item in made.lint()]


# ---- corrections


def test_a_published_advisory_is_corrected(repo, key, first, tmp_path):
    old = advisory(repo)
    entry = {
        "severity": "Low",
        "title": "Better words",
        "summary": "In short.",
        "references": [{"type": "self", "id": "EX-1", "href": "https://example.com/EX-1"}],
    }
    done = correct(repo, key, tmp_path, first[0], **entry)
    assert f"~ advisory {old.id}" in done.stdout
    new = advisory(repo)
    assert (new.severity, new.title, new.summary) == ("Low", "Better words", "In short.")
    assert [one.id for one in new.references] == ["EX-1", "CVE-2024-1086"]
    assert (new.issued, new.version) == (old.issued, "2") and new.updated > old.updated
    assert "nothing to do" in correct(repo, key, tmp_path, first[0], **entry).stdout
    # A publish without the file keeps the correction.
    assert "nothing to do" in publish(repo, key, first[0]).stdout
    # A corrected reference takes the place of the wrong one.
    other = [{"type": "self", "id": "EX-2", "href": "https://example.com/EX-2"}]
    correct(repo, key, tmp_path, first[0], references=other)
    assert [one.id for one in advisory(repo).references] == ["EX-2", "CVE-2024-1086"]
    assert advisory(repo).title == "Better words" and advisory(repo).version == "3"


def test_a_wrong_cve_of_the_advisory_file_is_taken_out(repo, key, first, tmp_path):
    correct(repo, key, tmp_path, first[0], cves=["CVE-2024-9999"])
    assert advisory(repo).cves == ("CVE-2024-1086", "CVE-2024-9999")
    correct(repo, key, tmp_path, first[0], cves=["CVE-2024-8888"])
    new = advisory(repo)
    assert new.cves == ("CVE-2024-1086", "CVE-2024-8888") and new.version == "3"
    assert "CVE-2024-9999" not in new.description and "CVE-2024-8888" in new.description


def test_a_cve_that_another_package_may_have_brought_stays_and_is_told(repo, key, first, second, tmp_path):
    same = {"id": "EX-1"}
    correct(tmp_path / "r", key, tmp_path, first[0], cves=["CVE-2024-9999"], **same)
    correct(tmp_path / "r", key, tmp_path, *second, cves=["CVE-2024-9999"], **same)
    done = correct(tmp_path / "r", key, tmp_path, *second, cves=["CVE-2024-8888"], **same)
    assert "warning: EX-1: It keeps CVE-2024-9999" in done.stdout and V1 in done.stdout
    assert "CVE-2024-9999" in advisory(tmp_path / "r").cves
    correct(tmp_path / "r", key, tmp_path, first[0], *second, cves=["CVE-2024-8888"], **same)
    assert "CVE-2024-9999" not in advisory(tmp_path / "r").cves


LATER = "2026-11-23T21:00:00Z"


def link(name):
    return {"type": "self", "id": name, "href": f"https://example.com/{name}"}


def rewritten(first_entry, entry, given, there=()):
    """An advisory of two builds, published again with ``entry`` and the builds ``given``; the faults."""
    pair = (incoming(KERNEL, "1"), incoming(KERNEL, "2"))
    old = advisories.merge([], [advisories.Draft("EX-9", first_entry, pair)], Settings(), NOW)[0]
    draft = advisories.Draft("EX-9", entry, tuple(pair[number] for number in given))
    names_there = {pair[number].package.nevra for number in there}
    told = [*advisories.kept(old, [draft], Settings(), names_there)]
    (update,), *_ = advisories.merge(old, [draft], Settings(), LATER, there=names_there)
    return advisory_view(update.record()), told


@pytest.mark.parametrize("given", [[0], [1], [0, 1]])
@pytest.mark.parametrize("names", [["EX-2"], [], ["EX-2", "EX-3"]])
def test_references_of_the_file_take_the_place_of_the_old_ones(names, given):
    view, _ = rewritten({"references": [link("EX-1")]}, {"references": [*map(link, names)]}, given)
    assert [one.id for one in view.references] == names and len(view.packages) == 2


@pytest.mark.parametrize(
    "given, there, cves",
    [
        ([1], [1], ("CVE-2024-2",)),  # the other one was pruned
        ([0], [0], ("CVE-2024-2",)),
        ([1], [0, 1], ("CVE-2024-1", "CVE-2024-2")),
        ([1], [], ("CVE-2024-1", "CVE-2024-2")),
    ],
)
def test_a_pruned_package_stands_in_the_way_of_no_correction(given, there, cves):
    view, told = rewritten({"cves": ["CVE-2024-1"]}, {"cves": ["CVE-2024-2"]}, given, there)
    assert view.cves == cves and len(view.packages) == 2 and bool(told) is (len(cves) == 2)


def test_a_wrong_cve_is_taken_out_after_a_prune(key, first, second, tmp_path):
    repo, same = tmp_path / "r", {"id": "EX-1"}
    correct(repo, key, tmp_path, first[0], *second, cves=["CVE-2024-9999"], **same)
    tool("prune", "--repo", repo, *signing(key), "--keep", "1")
    assert V1 not in names(repo)
    correct(repo, key, tmp_path, *second, cves=["CVE-2024-8888"], **same)
    assert "CVE-2024-9999" not in advisory(repo, V2).cves and "CVE-2024-8888" in advisory(repo, V2).cves


@pytest.mark.parametrize(
    "text, fixable", [(KernelText("2026-12-31"), ()), (KernelText("2029-01-01", (B,)), (A.cve,))]
)
def test_an_old_build_that_comes_again_resets_no_fact_of_its_kernel(text, fixable):
    item = incoming(KERNEL, "1", (), [A])
    item = item._replace(manifests=(item.manifests[0]._replace(support_end="2027-05-01"),))
    begun = notes.published(Record(), [item], {}, (), {}, NOW)
    assert begun.kernels[KERNEL][:2] == ("2027-05-01", (A,))
    corrected = notes.stated(begun, {KERNEL: text}, NOW, fixable)
    assert corrected != begun
    assert notes.published(corrected, [item], {}, (), {}, LATER) == corrected


@pytest.mark.parametrize("entry", [{"type": "enhancement"}, {"issued": "2026-01-01"}])
def test_what_never_changes_is_refused(repo, key, first, tmp_path, entry):
    done = correct(repo, key, tmp_path, first[0], check=False, **entry)
    assert done.returncode == 1 and "[advisory-changed]" in done.stderr


def test_a_correction_in_the_target_outlives_a_promotion(repo, key, first, second, tmp_path):
    stable = tmp_path / "stable"
    promote = ["promote", "--from", repo, "--to", stable, *signing(key)]
    tool(*promote)
    correct(stable, key, tmp_path, first[0], title="Better words")
    publish(repo, key, *second)
    tool(*promote)
    assert (
        advisory(stable).title == "Better words" and advisory(stable).version == "2" and V2 in names(stable)
    )
    # A correction in the source comes along.
    correct(repo, key, tmp_path, *second, title="Best words")
    tool(*promote)
    assert advisory(stable, V2).title == "Best words"


# ---- withdrawn builds


@pytest.fixture
def pruned(repo, key, first, second):
    """The repository, from which 1-1 was withdrawn and pruned."""
    publish(repo, key, *second)
    tool("withdraw", "--repo", repo, *signing(key), "--reason", "oops in vfs_read", V1)
    return repo


def test_a_withdrawn_build_comes_back_as_withdrawn_only(pruned, key, first, tmp_path):
    told = publish(pruned, key, first[0]).stdout
    assert "nothing to do" in told and "It was withdrawn" in told and "oops in vfs_read" in told
    tool("prune", "--repo", pruned, *signing(key), "--keep", "1")
    assert V1 not in names(pruned)
    done = publish(pruned, key, first[0], check=False)
    assert done.returncode == 1 and "[rpm-withdrawn]" in done.stderr and "oops in vfs_read" in done.stderr
    assert V1 not in names(pruned)
    told = publish(pruned, key, first[0], more=["--allow-withdrawn"]).stdout
    assert f"+ {V1}" in told and "It was withdrawn" in told
    assert note(pruned).patches[V1].withdrawn.reason == "oops in vfs_read"


def test_a_promotion_leaves_behind_what_the_target_withdrew(pruned, key, first, tmp_path):
    testing = tmp_path / "testing"
    publish(testing, key, first[0])
    tool("prune", "--repo", pruned, *signing(key), "--keep", "1")
    told = tool("promote", "--from", testing, "--to", pruned, *signing(key)).stdout
    assert "It was withdrawn" in told and V1 not in names(pruned)
    assert note(pruned).patches[V1].withdrawn.reason == "oops in vfs_read"
