# SPDX-License-Identifier: GPL-2.0-or-later
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import fields
from dnf_plugin_livepatch.base.model import Function, Manifest, Unfixable
from dnf_plugin_livepatch.formats import manifest

WHOLE = Manifest(
    module="kpatch_6_12_0_1_2",
    kernel_release="6.12.0-55.el10.x86_64+rt",
    build_id="ab" * 20,
    sha256="cd" * 32,
    srcversion="0123456789ABCDEF",
    kernel_build_id="ef" * 20,
    replace=False,
    order=3,
    functions=(Function("vmlinux", "cmdline_proc_show"), Function("nf_tables", "nft_init.isra.0", 2)),
    patches=(("fix.patch", "aa" * 32),),
    cves=("CVE-2026-10001",),
    unfixable=(Unfixable("CVE-2026-10002", "changes the layout of a structure"),),
    advisory="LP-2026:0001",
    severity="Important",
    issued="2026-11-22T10:00:00Z",
    support_end="2027-05-01",
    overrides=(("module-without-depends", "built in"),),
)


def changed(**fields):
    return json.dumps({**json.loads(manifest.dump(WHOLE)), **fields})


def test_round_trip_is_exact_and_stable():
    assert manifest.parse(manifest.dump(WHOLE)) == WHOLE
    assert manifest.dump(WHOLE) == manifest.dump(manifest.parse(manifest.dump(WHOLE)))


def test_unknown_keys_are_ignored_and_most_are_optional():
    text = json.dumps(
        {"schema": 1, "module": "m", "kernel_release": "6.1.0-1", "build_id": "ab" * 20, "x": 1}
    )
    assert manifest.parse(text) == Manifest("m", "6.1.0-1", "ab" * 20)


def test_the_text_is_laid_out_for_people_and_sorted():
    text = manifest.dump(Manifest("m", "6.1.0-1", "ab" * 20, cves=("CVE-2026-10001",)))
    assert text.startswith('{\n "advisory": "",\n "build_id": "abab')
    assert text.endswith('\n "support_end": "",\n "unfixable": []\n}\n')
    assert '"cves": [\n  "CVE-2026-10001"\n ],' in text


def test_what_an_entry_may_leave_out():
    text = changed(
        functions=[{"object": "vmlinux", "name": "f"}],
        patches=[{"name": "", "sha256": ""}],
        overrides=[{"check": "", "reason": ""}],
        unfixable=[{"cve": "CVE-2026-1000", "reason": ""}],
    )
    found = manifest.parse(text)
    assert found.functions == (Function("vmlinux", "f", 0),)
    assert found.patches == found.overrides == (("", ""),)
    assert found.unfixable == (Unfixable("CVE-2026-1000", ""),)


LONG = "x" * 1000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("module", "m" * 55),
        ("order", fields.MAX_ITEMS - 1),
        ("functions", [{"object": "o-" + "m" * 61, "name": "f" * 511, "sympos": 65535}]),
        ("patches", [{"name": LONG, "sha256": LONG}]),
        ("overrides", [{"check": LONG, "reason": LONG}]),
        ("unfixable", [{"cve": "CVE-2026-1000", "reason": LONG}]),
        ("cves", ["CVE-2026-1000"] * fields.MAX_ITEMS),
        ("build_id", "ab" * 8),
        ("sha256", "ab" * 64),
        ("srcversion", "A" * 64),
        ("advisory", "a" * 200),
        ("severity", "s" * 40),
        ("issued", "2026-11-22"),
        ("support_end", "2026-11-22T10:00:00Z"),
    ],
)
def test_a_value_at_its_bound_is_read_and_written_back(field, value):
    text = changed(**{field: value})
    assert json.loads(manifest.dump(manifest.parse(text)))[field] == value


DATE = "a date such as 2026-11-22, or a time in UTC"
HEX = "16 to 128 hexadecimal digits, two a byte"
MODULE = "the name of a kernel module"
OBJECT = "vmlinux or the name of a module"
RELEASE = "a kernel release as uname -r prints it"
TEXT = "a printable text of at most 1000 characters"


def one(key, **entry):
    """A manifest's list ``key`` with one entry, which is right in all but ``entry``."""
    right = {
        "functions": {"object": "vmlinux", "name": "f", "sympos": 1},
        "patches": {"name": "n", "sha256": "s"},
        "overrides": {"check": "c", "reason": "r"},
        "unfixable": {"cve": "CVE-2026-1000", "reason": "r"},
    }[key]
    return [{name: value for name, value in {**right, **entry}.items() if value is not None}]


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("schema", 2, "schema 2 is not known, up to 1 is"),
        ("schema", "1", "schema 1 is not known, up to 1 is"),
        ("module", "../../etc/passwd", f"module: expected {MODULE}, not '../../etc/passwd'"),
        ("module", "a" * 56, f"module: expected {MODULE}, not '{'a' * 56}'"),
        ("module", "name\n", f"module: expected {MODULE}, not 'name\\n'"),
        ("module", None, f"module: expected {MODULE}, not None"),
        ("kernel_release", "6.1/../..", f"kernel_release: expected {RELEASE}, not '6.1/../..'"),
        ("kernel_release", "..", f"kernel_release: expected {RELEASE}, not '..'"),
        ("build_id", "xyz", f"build_id: expected {HEX}, not 'xyz'"),
        ("build_id", "", f"build_id: expected {HEX}, not ''"),
        ("build_id", "a" * 17, f"build_id: expected {HEX}, not '{'a' * 17}'"),
        ("sha256", "AB" * 8, f"sha256: expected {HEX}, not '{'AB' * 8}'"),
        ("kernel_build_id", "ab", f"kernel_build_id: expected {HEX}, not 'ab'"),
        ("srcversion", "ab", "srcversion: expected 1 to 64 hexadecimal digits in upper case, not 'ab'"),
        ("replace", "yes", "replace: expected true or false, not 'yes'"),
        ("order", -1, "order: expected a whole number from 0 to 4095, not -1"),
        ("order", 4096, "order: expected a whole number from 0 to 4095, not 4096"),
        ("order", True, "order: expected a whole number from 0 to 4095, not True"),
        ("functions", {}, "functions: expected a list of at most 4096 items"),
        ("functions", ["f"], "functions[0]: expected an object of at most 4096 entries, not 'f'"),
        (
            "functions",
            one("functions", object="../m"),
            f"functions[0].object: expected {OBJECT}, not '../m'",
        ),
        ("functions", one("functions", object=None), "functions[0].object: is missing"),
        (
            "functions",
            one("functions", name="a b"),
            "functions[0].name: expected the name of a function, not 'a b'",
        ),
        ("functions", one("functions", name=None), "functions[0].name: is missing"),
        (
            "functions",
            one("functions", sympos=65536),
            "functions[0].sympos: expected a whole number from 0 to 65535, not 65536",
        ),
        ("patches", one("patches", name=LONG + "x"), f"patches[0].name: expected {TEXT}, not 'xxx"),
        ("patches", one("patches", name=None), "patches[0].name: is missing"),
        ("patches", one("patches", sha256=LONG + "x"), f"patches[0].sha256: expected {TEXT}, not 'xxx"),
        ("patches", one("patches", sha256=None), "patches[0].sha256: is missing"),
        ("overrides", one("overrides", check=LONG + "x"), f"overrides[0].check: expected {TEXT}, not 'xxx"),
        ("overrides", one("overrides", check=None), "overrides[0].check: is missing"),
        (
            "overrides",
            one("overrides", reason=LONG + "x"),
            f"overrides[0].reason: expected {TEXT}, not 'xxx",
        ),
        ("overrides", one("overrides", reason=None), "overrides[0].reason: is missing"),
        ("cves", ["CVE-1"], "cves[0]: expected a CVE identifier such as CVE-2026-12345, not 'CVE-1'"),
        ("cves", [7], "cves[0]: expected a CVE identifier such as CVE-2026-12345, not 7"),
        (
            "cves",
            ["CVE-2026-1234"] * (fields.MAX_ITEMS + 1),
            "cves: expected a list of at most 4096 items",
        ),
        (
            "unfixable",
            one("unfixable", cve="CVE-1"),
            "unfixable[0].cve: expected a CVE identifier such as CVE-2026-12345, not 'CVE-1'",
        ),
        ("unfixable", one("unfixable", cve=None), "unfixable[0].cve: is missing"),
        (
            "unfixable",
            one("unfixable", reason=LONG + "x"),
            f"unfixable[0].reason: expected {TEXT}, not 'xxx",
        ),
        (
            "unfixable",
            one("unfixable", reason="\x1b[0m"),
            f"unfixable[0].reason: expected {TEXT}, not '\\x1b[0m'",
        ),
        ("unfixable", one("unfixable", reason=None), "unfixable[0].reason: is missing"),
        (
            "advisory",
            "a" * 201,
            f"advisory: expected the id of an advisory of at most 200 characters, not '{'a' * 59}",
        ),
        ("severity", "s" * 41, f"severity: expected a severity of at most 40 characters, not '{'s' * 41}'"),
        ("issued", "yesterday", f"issued: expected {DATE}, not 'yesterday'"),
        ("support_end", "2026", f"support_end: expected {DATE}, not '2026'"),
    ],
)
def test_what_may_not_be_acted_on_is_refused_and_named(field, value, fault):
    with pytest.raises(manifest.ManifestError) as caught:
        manifest.parse(changed(**{field: value}))
    found = str(caught.value)
    assert found.startswith(fault) if fault.endswith("xxx") else found == fault


@pytest.mark.parametrize("field", ["module", "kernel_release", "build_id"])
def test_a_manifest_names_its_module_and_kernel(field):
    data = json.loads(manifest.dump(WHOLE))
    del data[field]
    with pytest.raises(manifest.ManifestError) as caught:
        manifest.parse(json.dumps(data))
    assert str(caught.value) == f"{field}: is missing"


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "[" * 100000, "\x00", "{}"])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(manifest.ManifestError):
        manifest.parse(text)


def test_a_huge_text_is_refused_before_it_is_parsed():
    text = manifest.dump(WHOLE)
    assert manifest.parse(text + " " * (manifest.MAX_BYTES - len(text))) == WHOLE
    with pytest.raises(manifest.ManifestError, match="larger than 1048576 characters"):
        manifest.parse(" " * (manifest.MAX_BYTES + 1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(Manifest._fields + ("schema",)), json_values))
def test_any_json_is_parsed_or_refused(fields):
    try:
        parsed = manifest.parse(changed(**fields))
    except manifest.ManifestError:
        return
    assert manifest.parse(manifest.dump(parsed)) == parsed
