# SPDX-License-Identifier: GPL-2.0-or-later
"""plan, the settings, advisory.yml against its schema, and the retention rules."""

import json
import pathlib

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Unfixable
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.repotool import plan, retention, settings
from dnf_plugin_livepatch.repotool.repository import metadata, reading
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.tools.support import repositories as support
from tests.tools.support.lint_cases import Repo, package
from tests.tools.support.repositories import KERNEL, tool

SCHEMA = json.loads((support.ROOT / "docs/schemas/advisory.schema.json").read_text())
NAME = support.patch_name(KERNEL)
V1, V2 = f"{NAME}-1-1.el9_4.x86_64", f"{NAME}-1-2.el9_4.x86_64"


@pytest.fixture
def made(tmp_path):
    return Repo(tmp_path / "repo")


def rows(made, kernels=(KERNEL,), cves=(), now=support.NOW):
    made.write()
    return plan.plan(reading.read(str(made.folder), ()), kernels, cves, now)


def test_a_covered_kernel_gets_the_newest_patch(made):
    (row,) = rows(made, cves=["CVE-2024-1086"])
    assert (row.patch, row.gap, row.supported, row.percent) == (V2, "", "yes", 100)


def test_a_withdrawn_patch_is_not_counted(made):
    made.patch_note(V2, withdrawn=repository_record.Withdrawn(support.NOW, "oops"))
    assert rows(made)[0].patch == V1


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda made: made.note(support_end="2026-01-01"), "support has ended"),
        (
            lambda made: [
                made.patch_note(name, withdrawn=repository_record.Withdrawn(support.NOW, "x"))
                for name in (V1, V2)
            ],
            "every live patch is withdrawn",
        ),
        (
            lambda made: made.note(unfixable=(Unfixable("CVE-2022-4269", "data"),)),
            "does not close CVE-2022-4269",
        ),
    ],
)
def test_gaps_are_named(made, change, word):
    change(made)
    (row,) = rows(made, cves=["CVE-2022-4269"] if "4269" in word else [])
    assert word in row.gap
    assert row.unfixable == (("CVE-2022-4269",) if "4269" in word else ())


def test_a_rollout_tells_its_share(made):
    steps = (
        repository_record.Step("2026-11-22T00:00:00Z", 5),
        repository_record.Step("2026-11-30T00:00:00Z", 100),
    )
    made.patch_note(V2, rollout=steps)
    assert rows(made)[0].percent == 5


def test_the_command_reads_a_fleet_and_tells_gaps_by_its_exit_status(made):
    made.write()
    fleet = f"{KERNEL}\n6.1.0-1.el9.x86_64\n{KERNEL}\n"
    done = tool("plan", "--repo", made.folder, "--json", input=fleet, check=False)
    data = json.loads(done.stdout)
    assert done.returncode == 3 and data["gaps"] == 1 and len(data["kernels"]) == 2
    assert tool("plan", "--repo", made.folder, "--kernel", KERNEL).stdout.endswith(
        "1 of 1 kernel(s) covered\n"
    )
    for words in (["--kernel", "../x"], ["--kernel", KERNEL, "--cve", "x"]):
        assert tool("plan", "--repo", made.folder, *words, check=False).returncode == 2


# ---- settings


def test_settings_are_read_relative_to_their_file(tmp_path):
    file = tmp_path / "s.yml"
    file.write_text(
        "keys: [a.asc]\ngpg_home: g\ngrace: 12h\nkeep: 5\nkernels_from: [k, 'https://x/y']\nfrom: me\n"
        f"kernels:\n  {KERNEL}: {{support_end: 2027-05-01}}\nrollout: [{{after: 1d, percent: 50}}]\n"
    )
    found = settings.read(str(file))
    assert found.keys == (f"{tmp_path}/a.asc",) and found.gpg_home == f"{tmp_path}/g"
    assert found.kernels_from == (f"{tmp_path}/k", "https://x/y")
    assert (found.grace, found.keep, found.sender) == (43200, 5, "me")
    assert found.kernels[KERNEL].support_end == "2027-05-01" and found.rollout == ((86400, 50),)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense: 1",
        "keep: 0",
        "keep: true",
        "grace: -1h",
        "compression: bz2",
        "keys: a",
        "- a",
        "a: [",
        "keys: [1]",
        "kernels: {'../x': {}}",
        "kernels: {5.14.0: {support_end: never}}",
        "kernels: {5.14.0: {support_end: '2026-02-30'}}",
        "waive: [{check: x}]",
        "title: ''",
        'title: "a\\u001b[2J"',
        "rollout: [{after: 1d, percent: 101}]",
        "!!python/object/apply:os.system [id]",
    ],
)
def test_faulty_settings_are_named(tmp_path, text):
    (tmp_path / "s.yml").write_text(text)
    with pytest.raises(ToolError) as caught:
        settings.read(str(tmp_path / "s.yml"))
    assert caught.value.id == "settings-fault"


WORDS = st.sampled_from(
    ["", "x", "CVE-2024-1", "CVE-2024-12345", "2026-01-01", "Important", "cve", "1d", "a b"]
)
ENTRY = st.dictionaries(
    st.sampled_from(
        ["id", "title", "severity", "issued", "cves", "references", "packages", "type", "reboot"]
    ),
    WORDS
    | st.lists(WORDS | st.dictionaries(st.sampled_from(["type", "id", "href", "x"]), WORDS), max_size=2),
    max_size=4,
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "schema": st.sampled_from([1, 2, "1"]),
        "advisories": st.lists(ENTRY, max_size=2) | WORDS,
        "rollout": st.lists(
            st.fixed_dictionaries(
                {"after": WORDS | st.just(0)}, optional={"percent": st.integers(-1, 101), "x": WORDS}
            ),
            max_size=2,
        ),
        "kernels": st.dictionaries(
            st.sampled_from([KERNEL, "../x"]),
            st.dictionaries(st.sampled_from(["support_end", "x"]), WORDS),
            max_size=2,
        ),
    },
)


@examples(deadline=None)
@given(FILES)
def test_the_reader_and_the_schema_agree(tmp_path_factory, data):
    path = pathlib.Path(tmp_path_factory.getbasetemp()) / "advisory.yml"
    path.write_text(yaml.safe_dump(data))
    try:
        settings.read_advisories(str(path))
        accepted = True
    except ToolError:
        accepted = False
    assert accepted == jsonschema.Draft202012Validator(SCHEMA).is_valid(data)


# ---- retention


@examples(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=9, unique_by=lambda one: one[0]
    ),
    st.integers(1, 5),
)
def test_what_may_go_is_never_needed(builds, keep):
    packages = tuple(metadata.package_view(package(release=f"{n}.el9_4", number=n)) for n, _ in builds)
    back = {number for number, withdrawn in builds if withdrawn}
    notes = {
        f"{NAME}-1-{n}.el9_4.x86_64": repository_record.PatchNote(
            withdrawn=repository_record.Withdrawn(support.NOW, "x") if n in back else None
        )
        for n, _ in builds
    }
    note = repository_record.Record("", {KERNEL: repository_record.KernelNote("", (), notes)})
    gone = {int(one.nevra.release.split(".")[0]) for one in retention.droppable(packages, note, keep)}
    numbers = sorted((number for number, _ in builds), reverse=True)
    good = [number for number in numbers if number not in back]
    assert not gone & set(numbers[:keep]) and not gone & set(good[:1])
    assert gone == set(numbers[keep:]) - set(good[:1])


@pytest.mark.parametrize("keep, gone", [(1, ["0.el9_4", "0.1.el9_4"]), (2, ["0.el9_4"]), (3, [])])
def test_subscriptions_are_counted_apart_from_patches(keep, gone):
    releases = ("0.el9_4", "0.1.el9_4", "0.2.el9_4")
    empties = [package(version="0", release=one, module="") for one in releases]
    views = [metadata.package_view(one) for one in (*empties, package(number=1))]
    assert [view.kind for view in views] == ["empty"] * 3 + ["patch"]
    dropped = retention.droppable(tuple(views), repository_record.Record(), keep)
    assert [one.nevra.release for one in dropped] == gone


def test_a_patch_that_another_package_requires_stays():
    old = metadata.package_view(package(number=1))
    new = metadata.package_view(package(release="2.el9_4", number=2))
    third = package(
        "tool", number=3, requires=[(NAME, "EQ", "0", "1", "1.el9_4", False)], provides=[], module=""
    )
    everything = (old, new, metadata.package_view(third))
    assert retention.droppable((old, new), repository_record.Record(), 1) == (old,)
    assert retention.droppable(everything, repository_record.Record(), 1) == ()


@pytest.mark.parametrize(
    ("sign", "version", "release", "stays"),
    [
        ("EQ", "1", "1.el9_4", True),
        ("EQ", "1", None, True),
        (None, None, None, True),
        ("EQ", "2", None, False),
        ("EQ", "1", "3.el9_4", False),
    ],
)
def test_what_a_requirement_leaves_out_is_any(sign, version, release, stays):
    old = metadata.package_view(package(number=1))
    new = metadata.package_view(package(release="2.el9_4", number=2))
    wanted = (NAME, sign, version and "0", version, release, False)
    third = package("tool", number=3, requires=[wanted], provides=[], module="")
    gone = retention.droppable((old, new, metadata.package_view(third)), repository_record.Record(), 1)
    assert gone == (() if stays else (old,))
