# SPDX-License-Identifier: GPL-2.0-or-later
"""The livepatch record of a repository: read, written and hostile until checked."""

import json
import pathlib
import string

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Unfixable
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.planning import withheld

SCHEMA = json.loads(
    (pathlib.Path(__file__).parents[2] / "docs/schemas/livepatch-record-1.schema.json").read_text()
)
RELEASE = "5.14.0-427.13.1.el9_4.x86_64"
PATCH = "kpatch-patch-5_14_0-427_13_1-1-2.el9_4.x86_64"
FULL = {
    "schema": 1,
    "generated": "2026-11-22T21:00:00Z",
    "kernels": {
        RELEASE: {
            "support_end": "2027-05-01",
            "unfixable": [{"cve": "CVE-2022-4269", "reason": "changes data that is already allocated"}],
            "patches": {
                PATCH: {
                    "issued": "2026-11-20T10:00:00Z",
                    "advisory": "KLP-2026:0001",
                    "rollout": [
                        {"since": "2026-11-21T00:00:00Z", "percent": 50},
                        {"since": "2026-11-20T00:00:00Z", "percent": 10},
                    ],
                    "withdrawn": {"since": "2026-11-22T00:00:00Z", "reason": "oops in vfs_read"},
                },
            },
        }
    },
}

times = st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20))
names = st.text(string.ascii_letters + string.digits + "._+-", min_size=3, max_size=40).filter(
    lambda text: text[0].isalnum()
)
reasons = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=50)
steps = st.builds(repository_record.Step, times, st.integers(0, 100))
patches = st.builds(
    repository_record.PatchNote,
    st.one_of(st.just(""), times),
    st.lists(steps, max_size=3).map(lambda found: tuple(sorted(found))),
    st.one_of(st.none(), st.builds(repository_record.Withdrawn, times, reasons)),
    st.one_of(st.just(""), st.from_regex(repository_record.ADVISORY, fullmatch=True)),
)
kernels = st.builds(
    repository_record.KernelNote,
    st.one_of(st.just(""), times, times.map(lambda text: text[:10])),
    st.lists(st.builds(Unfixable, st.just("CVE-2024-12345"), reasons), max_size=2).map(tuple),
    st.dictionaries(names, patches, max_size=3),
)
records = st.builds(
    repository_record.Record, st.one_of(st.just(""), times), st.dictionaries(names, kernels, max_size=3)
)


def changed(path, value):
    data = json.loads(json.dumps(FULL))
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(data)


def test_every_field_is_read():
    found = repository_record.parse(json.dumps(FULL))
    note = found.kernels[RELEASE]
    patch = note.patches[PATCH]
    assert found.generated == "2026-11-22T21:00:00Z"
    assert note.support_end == "2027-05-01"
    assert note.unfixable == (Unfixable("CVE-2022-4269", "changes data that is already allocated"),)
    assert patch.issued == "2026-11-20T10:00:00Z"
    assert [step.percent for step in patch.rollout] == [10, 50]
    assert patch.advisory == "KLP-2026:0001"
    assert patch.withdrawn == ("2026-11-22T00:00:00Z", "oops in vfs_read")


def test_what_is_unknown_is_left_out_and_the_bytes_are_always_the_same():
    step = repository_record.Step("2026-11-20T00:00:00Z", 10)
    found = repository_record.Record(
        "2026-11-22T21:00:00Z",
        {
            "6.1.0-2": repository_record.KernelNote(),
            "6.1.0-1": repository_record.KernelNote(
                "2027-05-01",
                (Unfixable("CVE-2022-4269", "data"),),
                {
                    "b-1-1.x86_64": repository_record.PatchNote(),
                    "a-1-1.x86_64": repository_record.PatchNote(
                        "2026-11-20T10:00:00Z",
                        (step,),
                        repository_record.Withdrawn("2026-11-22T00:00:00Z", "oops"),
                        "KLP-1",
                    ),
                },
            ),
        },
    )
    assert repository_record.dump(found) == (
        '{"generated":"2026-11-22T21:00:00Z","kernels":{"6.1.0-1":{"patches":{"a-1-1.x86_64":{"advisory":"KLP-1",'
        '"issued":"2026-11-20T10:00:00Z","rollout":[{"percent":10,"since":"2026-11-20T00:00:00Z"}],'
        '"withdrawn":{"reason":"oops","since":"2026-11-22T00:00:00Z"}},"b-1-1.x86_64":{}},'
        '"support_end":"2027-05-01","unfixable":[{"cve":"CVE-2022-4269","reason":"data"}]},'
        '"6.1.0-2":{"patches":{}}},"schema":1}\n'
    )
    assert repository_record.dump(repository_record.Record()) == '{"kernels":{},"schema":1}\n'


def test_an_empty_record_is_a_record():
    assert repository_record.parse('{"schema": 1}') == repository_record.Record()
    assert repository_record.parse('{"schema": 1}', RELEASE) == repository_record.Record()
    text = json.dumps({"schema": 1, "kernels": {RELEASE: {"patches": {PATCH: {}}}}})
    note = repository_record.KernelNote(patches={PATCH: repository_record.PatchNote()})
    assert repository_record.parse(text) == repository_record.Record("", {RELEASE: note})


@pytest.mark.parametrize("releases", [(), ("6.1.0-7",)])
def test_a_record_may_list_20000_kernels(releases):
    kernels = {f"6.1.0-{number}": {} for number in range(repository_record.MAX_KERNELS)}
    found = repository_record.parse(json.dumps({"schema": 1, "kernels": kernels}), *releases)
    assert list(found.kernels) == (list(releases) or list(kernels))
    text = json.dumps({"schema": 1, "kernels": {**kernels, RELEASE: {}}})
    with pytest.raises(
        repository_record.RecordError, match="kernels: expected an object of at most 20000 entries"
    ):
        repository_record.parse(text, *releases)


@pytest.mark.parametrize(
    "machine_id, fix, place",
    [
        ("0123456789abcdef0123456789abcdef", "KLP-2026:0001", 88),
        ("0123456789abcdef0123456789abcdef", "KLP-2026:0002", 72),
        ("fedcba9876543210fedcba9876543210", "KLP-2026:0001", 33),
        ("\ud800", "KLP-2026:0001", 74),
    ],
)
def test_the_place_of_a_host_never_changes(machine_id, fix, place):
    assert repository_record.bucket(machine_id, fix) == place


@settings(deadline=None)
@given(records)
def test_what_is_written_is_read_back_and_fits_the_schema(found):
    text = repository_record.dump(found)
    assert repository_record.parse(text) == found
    assert repository_record.dump(repository_record.parse(text)) == text
    jsonschema.validate(json.loads(text), SCHEMA)


@settings(deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["schema", "kernels", "patches", "rollout", "withdrawn", "since", RELEASE, PATCH]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_json_is_a_record_or_a_record_error(data):
    for value in (data, {"schema": 1, "kernels": data}, {"schema": 1, "kernels": {RELEASE: data}}):
        try:
            repository_record.parse(json.dumps(value))
        except repository_record.RecordError:
            pass


MOMENT = "expected a time in UTC such as 2026-11-22T21:00:00Z"
DATE = "expected a date such as 2026-11-22, or a time in UTC"
REASON = "expected a printable text of 1 to 1000 characters"
KERNEL = f"kernels['{RELEASE}']"
NOTE = f"{KERNEL}.patches['{PATCH}']"


@pytest.mark.parametrize(
    "text, fault",
    [
        ("", "not JSON from line 1, column 1 on"),
        ("[]", "not a JSON object of at most 4096 entries"),
        ("{}", "schema None is not known, up to 1 is"),
        ('{"schema": 2}', "schema 2 is not known, up to 1 is"),
        ('{"schema": true}', "schema True is not known, up to 1 is"),
        (changed(["generated"], "yesterday"), f"generated: {MOMENT}, not 'yesterday'"),
        (changed(["kernels"], []), "kernels: expected an object of at most 20000 entries"),
        (
            changed(["kernels", "../etc"], {}),
            "kernels['../etc']: expected a kernel release as uname -r prints it, not '../etc'",
        ),
        (changed(["kernels", RELEASE, "support_end"], "2027"), f"{KERNEL}.support_end: {DATE}, not '2027'"),
        (
            changed(["kernels", RELEASE, "unfixable", 0, "cve"], "CVE-1"),
            f"{KERNEL}.unfixable[0].cve: expected a CVE identifier such as CVE-2026-12345, not 'CVE-1'",
        ),
        (
            changed(["kernels", RELEASE, "unfixable"], [{"reason": "x"}]),
            f"{KERNEL}.unfixable[0].cve: is missing",
        ),
        (
            changed(["kernels", RELEASE, "unfixable"], [{"cve": "CVE-2026-1000"}]),
            f"{KERNEL}.unfixable[0].reason: is missing",
        ),
        (
            changed(["kernels", RELEASE, "unfixable", 0, "reason"], "a\x1b[2Jb"),
            f"{KERNEL}.unfixable[0].reason: {REASON}, not 'a\\x1b[2Jb'",
        ),
        (
            changed(["kernels", RELEASE, "unfixable", 0, "reason"], ""),
            f"{KERNEL}.unfixable[0].reason: {REASON}, not ''",
        ),
        (
            changed(["kernels", RELEASE, "patches", "a/b"], {}),
            f"{KERNEL}.patches['a/b']: expected a package such as name-1.0-1.x86_64, not 'a/b'",
        ),
        (changed(["kernels", RELEASE, "patches", PATCH, "issued"], 7), f"{NOTE}.issued: {MOMENT}, not 7"),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "advisory"], "a b"),
            f"{NOTE}.advisory: expected the id of an advisory, not 'a b'",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "advisory"], 7),
            f"{NOTE}.advisory: expected the id of an advisory, not 7",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "rollout", 0, "percent"], 101),
            f"{NOTE}.rollout[0].percent: expected a whole number from 0 to 100, not 101",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "rollout", 0, "percent"], True),
            f"{NOTE}.rollout[0].percent: expected a whole number from 0 to 100, not True",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "rollout"], [{"since": "2026-11-21T00:00:00Z"}]),
            f"{NOTE}.rollout[0].percent: is missing",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "rollout", 0, "since"], ""),
            f"{NOTE}.rollout[0].since: {MOMENT}, not ''",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "rollout"], [{"percent": 1}]),
            f"{NOTE}.rollout[0].since: is missing",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "withdrawn", "since"], "2026"),
            f"{NOTE}.withdrawn.since: {MOMENT}, not '2026'",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "withdrawn", "reason"], ""),
            f"{NOTE}.withdrawn.reason: {REASON}, not ''",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "withdrawn", "reason"], "x" * 1001),
            f"{NOTE}.withdrawn.reason: {REASON}, not '{'x' * 59}",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "withdrawn"], {}),
            f"{NOTE}.withdrawn.since: is missing",
        ),
        (
            changed(["kernels", RELEASE, "patches", PATCH, "withdrawn"], "yes"),
            f"{NOTE}.withdrawn: expected an object of at most 4096 entries, not 'yes'",
        ),
    ],
)
def test_what_may_not_be_acted_on_is_refused_and_named(text, fault):
    with pytest.raises(repository_record.RecordError) as caught:
        repository_record.parse(text)
    assert str(caught.value) == fault


def test_nesting_without_end_is_refused():
    with pytest.raises(repository_record.RecordError, match="^not JSON: "):
        repository_record.parse("[" * 100000)


def test_too_large_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(repository_record, "MAX_BYTES", 100)
    with pytest.raises(repository_record.RecordError, match="larger"):
        repository_record.parse(json.dumps(FULL))


def test_one_release_is_not_harmed_by_the_faults_of_another():
    text = changed(["kernels", "6.1.0-9.x86_64"], {"support_end": 5})
    assert list(repository_record.parse(text, RELEASE).kernels) == [RELEASE]
    with pytest.raises(repository_record.RecordError):
        repository_record.parse(text)


@pytest.mark.parametrize(
    "now, percent",
    [
        ("2026-11-19T00:00:00Z", 0),
        ("2026-11-19T23:59:59Z", 0),
        ("2026-11-20T00:00:00Z", 10),
        ("2026-12-01T00:00:00Z", 50),
    ],
)
def test_the_share_grows_with_time(now, percent):
    assert (
        repository_record.share(
            repository_record.parse(json.dumps(FULL)).kernels[RELEASE].patches[PATCH], now
        )
        == percent
    )


def test_a_patch_without_a_rollout_is_for_every_host():
    assert repository_record.share(repository_record.PatchNote(), "2026-11-19T00:00:00Z") == 100


def offered(patch, nevra, machine, now):
    """Whether the host may take the patch now, by the rules of the plugin."""
    return withheld.judge(nevra, patch, "", "issued", withheld.Limits(machine, now)) is None


def test_a_rollout_reaches_about_its_share_and_only_grows():
    ten = repository_record.PatchNote(rollout=(repository_record.Step("2026-01-01T00:00:00Z", 10),))
    half = repository_record.PatchNote(rollout=(repository_record.Step("2026-01-01T00:00:00Z", 50),))
    now = "2026-02-01T00:00:00Z"
    hosts = [f"host{number}" for number in range(2000)]
    first = {host for host in hosts if offered(ten, PATCH, host, now)}
    second = {host for host in hosts if offered(half, PATCH, host, now)}
    assert 140 < len(first) < 260 and 900 < len(second) < 1100
    assert first < second
    assert all(offered(repository_record.PatchNote(), PATCH, host, now) for host in hosts)


def test_a_withdrawn_patch_is_offered_to_nobody():
    patch = repository_record.PatchNote(
        withdrawn=repository_record.Withdrawn("2026-01-01T00:00:00Z", "crashes")
    )
    assert not offered(patch, PATCH, "host", "2026-02-01T00:00:00Z")


@pytest.mark.parametrize(
    "end, now, answer",
    [
        ("", "2026-01-01T00:00:00Z", None),
        ("2026-01-01", "2026-01-01T23:59:59Z", True),
        ("2026-01-01", "2026-01-02T00:00:00Z", False),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z", False),
    ],
)
def test_support_lasts_through_its_last_day(end, now, answer):
    assert repository_record.supported(repository_record.KernelNote(end), now) is answer
