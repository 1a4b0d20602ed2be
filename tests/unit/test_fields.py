# SPDX-License-Identifier: GPL-2.0-or-later
"""Checked fields: what is accepted is typed and within its bounds, what is refused is named."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import fields
from dnf_plugin_livepatch.base.fields import FieldError, Form

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SHORT = Form("a short text", None, 5)


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(FieldError) as caught:
        read()
    return str(caught.value)


@pytest.mark.parametrize(
    "form, good, bad",
    [
        (fields.TEXT, ["x", "ä b", "x" * 2000], ["", "a\nb", "\x1b[31m", "x" * 2001, "\ud800"]),
        (SHORT, ["12345"], ["123456"]),
        (
            fields.CVE,
            ["CVE-2026-1000", "CVE-1999-1234567890123456789"],
            [
                "CVE-26-1",
                "cve-2026-1000",
                "CVE-2026-1000 ",
                "CVE-2026-1000\n",
                "CVE-2026-123",
                "CVE-٢٠٢٦-1000",
            ],
        ),
        (fields.EVR, ["1-1", "1:5.14.0-1.el9_4", "1~rc^2+x-1"], ["1", "../1-1", "a:1-1", "1-1-1", "1-"]),
        (
            fields.NEVRA,
            ["lp-1-1.x86_64", "a-1:1-1.noarch", "x" * 512],
            ["-a-1-1.x", "a b-1-1.x", "../x", "a", "x" * 513],
        ),
        (fields.MODULE, ["kpatch_1", "x" * 55], ["a-b", "a/b", "..", "x" * 56, ""]),
        (fields.RELEASE, ["5.14.0-1.x86_64+rt", "x" * 128], ["../x", ".5", "a/b", "x" * 129]),
        (
            fields.MOMENT,
            ["2026-11-22T21:00:00Z"],
            ["2026-11-22", "2026-11-22T21:00:00", "2026-22-22T21:00:00Z", "yesterday"],
        ),
        (fields.DATE, ["2026-11-22", "2026-11-22T21:00:00Z"], ["2026-11-22T21:00:00", "soon", "2026-1-1"]),
        (fields.HEX, ["0" * 16, "af" * 64], ["0" * 15, "AF" * 8, "0" * 129, "g" * 16]),
    ],
)
def test_texts_have_their_form(form: Form, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert fields.text({"k": text}, "k", form) == text
    for value in [*bad, 7, 1.5, True, ["x"], {}]:
        fault = refused(partial(fields.text, {"k": value}, "k", form))
        assert fault.startswith(f"k: expected {form.expected}")


@pytest.mark.parametrize(
    "read, good, bad",
    [
        (lambda d: fields.flag(d, "k"), [True, False], [0, 1, "true", None, []]),
        (
            lambda d: fields.number(d, "k", 10),
            [0, 9.5],
            [10, -1, True, "1", None, float("nan"), float("inf")],
        ),
        (lambda d: fields.whole(d, "k", 10), [0, 10], [11, -1, 1.0, True, "1", None]),
        (lambda d: fields.choice(d, "k", ("a", "b")), ["a", "b"], ["c", "", None, 1, ["a"], {}]),
        (lambda d: fields.items(d, "k", 2), [[], [1, {}]], [[1, 2, 3], {}, "ab", None]),
        (lambda d: fields.row(d, "k", 2), [[1, 2]], [[], [1], [1, 2, 3], "ab", None]),
        (lambda d: fields.object_of(d, "k", 1), [{}, {"a": 1}], [{"a": 1, "b": 2}, [], "", None]),
    ],
)
def test_values_have_their_type_and_bound(
    read: Callable[[dict[str, Any]], object], good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        assert read({"k": value}) == value
    for value in bad:
        assert refused(partial(read, {"k": value})).startswith("k: expected ")
    assert refused(lambda: read({})) == "k: is missing"


def test_a_default_stands_for_what_is_absent_and_for_nothing_else() -> None:
    assert fields.text({}, "k", fields.CVE, "") == ""
    assert fields.text({"k": ""}, "k", fields.CVE, "") == ""
    assert fields.text({"k": ""}, "k", fields.CVE, empty=True) == ""
    assert fields.flag({}, "k", False) is False and fields.number({}, "k", 5, 0) == 0
    assert fields.whole({}, "k", 5, 3) == 3 and fields.items({}, "k", 5, []) == []
    assert fields.maybe({}, "k", fields.CVE) == fields.maybe({"k": None}, "k", fields.CVE) == ""
    for read in (
        lambda: fields.text({"k": None}, "k", fields.CVE, ""),
        lambda: fields.text({}, "k", fields.CVE, empty=True),
        lambda: fields.text({"k": ""}, "k", fields.CVE),
        lambda: fields.whole({"k": None}, "k", 5, 3),
        lambda: fields.items({"k": None}, "k", 5, []),
        lambda: fields.maybe({"k": 0}, "k", fields.CVE),
    ):
        refused(read)


def test_the_way_to_the_field_is_named() -> None:
    def module(data: dict[str, Any]) -> str:
        return fields.text(data, "module", fields.MODULE)

    data = {"hold": [{"module": "a"}, {"module": "b"}, {"module": "c\x1b"}]}
    assert refused(lambda: fields.each(data, "hold", module)) == (
        "hold[2].module: expected the name of a kernel module, not 'c\\x1b'"
    )
    assert refused(lambda: fields.each({"hold": [{"module": "a"}, 7]}, "hold", module)).startswith(
        "hold[1]: "
    )
    owned = {"owned": {"lp-1-1.x86_64": {"module": []}}}
    assert refused(lambda: fields.mapping(owned, "owned", fields.NEVRA, module)) == (
        "owned['lp-1-1.x86_64'].module: expected the name of a kernel module"
    )
    bad_name = {"owned": {"a b": {"module": "a"}}}
    assert "owned['a b']: expected a package" in refused(
        lambda: fields.mapping(bad_name, "owned", fields.NEVRA, module)
    )
    assert refused(lambda: fields.texts({"cves": ["CVE-2026-1000", 1]}, "cves", fields.CVE)).startswith(
        "cves[1]: "
    )
    rows = {"kept": [["a", "b"], ["a", ""]]}
    assert refused(lambda: fields.rows(rows, "kept", lambda row: fields.text(row, 1), 2)).startswith(
        "kept[1][1]: "
    )
    assert refused(lambda: fields.rows({"kept": [["a"]]}, "kept", tuple, 2)).startswith("kept[0]: ")
    assert refused(lambda: fields.inside({"hold": {}}, "hold", module)) == "hold.module: is missing"


def test_texts_for_people_are_made_printable() -> None:
    assert fields.shown({"k": "a\nb\x1b[31m"}, "k", 20) == "a\nb?[31m"
    assert fields.shown({}, "k", 20, "") == ""
    refused(lambda: fields.shown({"k": "x" * 21}, "k", 20))


@pytest.mark.parametrize(
    "text, fault",
    [
        ("{", "not JSON"),
        ("[" * 100000, "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"schema": 1, "a": "' + "x" * 100 + '"}', "larger than 100 characters"),
        ("{}", "schema None is not known, up to 2 is"),
        ('{"schema": true}', "schema True"),
        ('{"schema": 0}', "schema 0"),
        ('{"schema": 3}', "schema 3"),
        ('{"schema": "1"}', "schema 1"),
    ],
)
def test_a_document_is_an_object_of_a_known_schema(text: str, fault: str) -> None:
    most = 100 if "larger" in fault else 1 << 20
    assert fault in refused(lambda: fields.document(text, most, 2))
    assert fields.document('{"schema": 2}', 100, 2) == {"schema": 2}


@given(values, st.sampled_from(sorted(fields.__dict__)))
def test_whatever_comes_only_field_errors_do(value: Any, name: str) -> None:
    """Every reader, on any value for its field, returns its type or raises a short FieldError."""
    readers: dict[str, tuple[Callable[[dict[str, Any]], object], type]] = {
        "text": (lambda d: fields.text(d, "k"), str),
        "maybe": (lambda d: fields.maybe(d, "k", fields.CVE), str),
        "shown": (lambda d: fields.shown(d, "k", 10), str),
        "choice": (lambda d: fields.choice(d, "k", ("a",)), str),
        "flag": (lambda d: fields.flag(d, "k"), bool),
        "number": (lambda d: fields.number(d, "k", 1e9), float),
        "whole": (lambda d: fields.whole(d, "k", 99), int),
        "texts": (lambda d: fields.texts(d, "k", fields.CVE), tuple),
        "each": (lambda d: fields.each(d, "k", lambda item: fields.text(item, "a")), tuple),
        "rows": (lambda d: fields.rows(d, "k", lambda row: fields.text(row, 0), 1), tuple),
        "mapping": (lambda d: fields.mapping(d, "k", fields.MODULE, dict), dict),
        "inside": (lambda d: fields.inside(d, "k", dict), dict),
    }
    for read, kind in [readers[name]] if name in readers else readers.values():
        try:
            assert isinstance(read({"k": value}), kind)
        except FieldError as error:
            assert str(error).isprintable() and str(error).startswith("k") and len(str(error)) < 400


@given(values)
def test_any_json_text_is_a_document_or_refused(value: Any) -> None:
    try:
        assert fields.document(json.dumps(value), 1 << 20, 1)["schema"] == 1
    except FieldError as error:
        assert str(error)
