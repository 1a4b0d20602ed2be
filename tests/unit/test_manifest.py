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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2),
        ("schema", "1"),
        ("module", "../../etc/passwd"),
        ("module", "a" * 56),
        ("module", "name\n"),
        ("module", None),
        ("kernel_release", "6.1/../.."),
        ("kernel_release", ".."),
        ("build_id", "xyz"),
        ("build_id", ""),
        ("replace", "yes"),
        ("order", -1),
        ("order", True),
        ("functions", [{"object": "../vmlinux", "name": "f"}]),
        ("functions", [{"object": "vmlinux", "name": "f", "sympos": -1}]),
        ("functions", {}),
        ("functions", ["f"]),
        ("cves", ["CVE-1"]),
        ("cves", [7]),
        ("cves", ["CVE-2026-1234"] * (fields.MAX_ITEMS + 1)),
        ("unfixable", [{"cve": "CVE-2026-1234", "reason": "esc\u001b[0m"}]),
        ("issued", "yesterday"),
        ("advisory", "a" * 201),
    ],
)
def test_what_may_not_be_acted_on_is_refused(field, value):
    with pytest.raises(manifest.ManifestError, match=field):
        manifest.parse(changed(**{field: value}))


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "[" * 100000, "\x00", "{}"])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(manifest.ManifestError):
        manifest.parse(text)


def test_a_huge_text_is_refused_before_it_is_parsed():
    with pytest.raises(manifest.ManifestError, match="larger"):
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
