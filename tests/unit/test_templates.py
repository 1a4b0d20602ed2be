# SPDX-License-Identifier: GPL-2.0-or-later
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnf_plugin_livepatch.vendors import templates


@pytest.mark.parametrize(
    "rule, text, values",
    [
        ("kp-{kver:_}-{krel:_}", "kp-5_14_0-427_13_1", {"kver": "5.14.0", "krel": "427.13.1"}),
        ("kp-{kver:_}-{krel:_}", "kp-5_14_0-427_13_1-x", None),
        ("kp-{kver:_}-{krel:_}", "xkp-5_14_0-427_13_1", None),
        ("kp-{kver:_}-{krel:_}", "kp-5.14.0-427_13_1", None),
        ("{kver}-{krel}{dist}.{arch}", "5.14.0-1.el9_4.x86_64", {"dist": ".el9_4", "arch": "x86_64"}),
        ("{kver}-{krel}{dist}.{arch}", "6.9.5-1.el9.elrepo.x86_64", {"dist": ".el9.elrepo"}),
        ("{kver}-{krel}{dist}", "5.14.0-1.el9_4.x86_64", None),
        ("{arch}{variant}", "x86_64+64k_debug", {"variant": "+64k-debug"}),
        ("{arch}{variant}", "x86_64", {"variant": ""}),
        ("{arch}{variant}", "x86_64+64k_debug_x", {"variant": "+64k-debug-x"}),
        ("{kver:_}", "5_14_0_1", {"kver": "5.14.0.1"}),
        ("{kver:_}", "5.14_0", None),
        ("{word}-{number}", "a_1-2", {}),
        ("{word}-{number}", "a-1-2", None),
        ("{word}-{word}", "a-b", {}),
        ("a.b-{word}", "axb-1", None),
        ("{word}(x)", "1(x)", {}),
        ("{word}-x", "1-x\n", None),
        ("{any}-x", "1-y", None),
        ("x-{any}", "y-1", None),
        ("{arch}/{arch}", "x86_64/aarch64", None),
        ("{arch}/{arch}", "x86_64/x86_64", {"arch": "x86_64"}),
    ],
)
def test_a_rule_takes_a_text_apart_or_refuses_it(rule, text, values):
    found = templates.parse(rule, text)
    if values is None:
        assert found is None
    else:
        assert found is not None and {key: found[key] for key in values} == values


def test_a_rule_has_literals_and_fields():
    assert templates.tokens("kp-{kver:_}-{krel}") == (
        ("kp-", "kver", True),
        ("-", "krel", False),
        ("", "", False),
    )
    assert templates.tokens("{arch}.rpm") == (("", "arch", False), (".rpm", "", False))
    assert templates.tokens("kp") == (("kp", "", False),)


def test_the_fields_of_a_rule_are_those_that_describe_the_kernel():
    assert templates.fields("kp-{kver:_}-{krel}-{number}-{word}.{label}-{arch}x") == {"kver", "krel", "arch"}
    assert templates.fields("{any}-x") == templates.fields("kp") == frozenset()


def test_only_texts_of_up_to_256_characters_are_read():
    rule = "x" * 210 + "{word}"
    assert templates.parse(rule, "x" * 210 + "a" * 46) == {}
    assert templates.parse(rule, "x" * 210 + "a" * 47) is None


@pytest.mark.parametrize(
    "rule, fault",
    [
        ("", "a rule has 1 to 256 characters"),
        ("x" * 257, "a rule has 1 to 256 characters"),
        ("{kernel}", f"{{kernel}} is no field; known are {', '.join(templates.FIELDS)}"),
        ("{kver:_}-{krels:_}", f"{{krels}} is no field; known are {', '.join(templates.FIELDS)}"),
        ("-".join(["{number}"] * 13), "more than 12 fields"),
        ("{kver}-{", "a brace that belongs to no field"),
        ("}-{kver}", "a brace that belongs to no field"),
        ("{kver}-{krel:-}-{arch}", "a brace that belongs to no field"),
        ("{kver}{krel}", "nothing between {kver} and {krel}"),
        ("{any}{any}", "nothing between {any} and {any}"),
        ("x-{dist}{dist}", "nothing between {dist} and {dist}"),
        ("{variant}{variant}-x", "nothing between {variant} and {variant}"),
        ("{dist}{arch}", "nothing between {dist} and {arch}"),
    ],
)
def test_a_rule_that_is_none_is_refused(rule, fault):
    with pytest.raises(ValueError) as caught:
        templates.tokens(rule)
    assert str(caught.value) == fault


@pytest.mark.parametrize(
    "rule",
    [
        "x",
        "X",
        "x" * 256,
        "-".join(["{number}"] * 12),
        "{krel}{dist}",
        "{arch}{variant}",
        "{dist}{variant}",
        "{variant}{dist}",
    ],
)
def test_a_rule_at_its_bounds_is_a_rule(rule):
    assert templates.tokens(rule)


@pytest.mark.parametrize(
    "text, loose",
    [
        ("{release}-x", True),
        ("{kver}.x", True),
        ("{kver}_x", False),
        ("{kver}-x", False),
        ("{kver:_}_x", True),
        ("{kver:_}.x", False),
        ("{krel}.{word}", True),
        ("{krel}1", True),
        ("{dist}_x", True),
        ("{dist}-x", False),
        ("{arch}x", False),
        ("{arch}_x", False),
        ("{variant}+x", True),
        ("{variant}.x", False),
        ("{flavour}x", True),
        ("{flavour}-x", False),
        ("{base}~x", True),
        ("{build_id}a", True),
        ("{build_id}/x", False),
        ("{number}.x", False),
        ("{word}_x", True),
        ("{word}-x", False),
        ("{label}-x", True),
        ("{label}.x", False),
        ("{any}^x", True),
        ("{any}/x", False),
        ("{any}", False),
        ("{krel}{dist}", False),
    ],
)
def test_at_most_two_fields_may_end_where_they_could_go_on(text, loose):
    assert templates.tokens("a{number}1/" + text)
    if loose:
        with pytest.raises(ValueError, match="^too many fields whose end is not clear: part them by signs"):
            templates.tokens("a{number}1/{number}1/" + text)
    else:
        assert templates.tokens("a{number}1/{number}1/" + text)


def test_what_is_not_known_renders_as_a_star_and_a_capability_has_no_second_dash():
    assert templates.render("a-{kver:_}-{number}", {"kver": "1.2"}) == "a-1_2-*"
    assert (
        templates.render("{arch}{variant}", {"arch": "s390x", "variant": "+rt-debug"}, True)
        == "s390x+rt_debug"
    )
    assert templates.render("{arch}{variant}", {"arch": "s390x", "variant": "+rt-debug"}) == "s390x+rt-debug"
    assert templates.render("{base}", {"base": "1.2-3"}, True) == "1.2-3"
    assert templates.render("{variant}.{word}", {}, True) == "*.*"


@pytest.mark.parametrize(
    "text",
    [
        "{any}-{any}-{any}",
        "{any}.{label}-{any}",
        "{dist}.{dist}.x",
        "{krel}.{krel}.{kver}",
        "{word}_{word}_{word}",
        "{kver:_}_{krel:_}_{word}",
        "{release}-{base}-{arch}",
        "{label}-{label}x",
        "{base}{variant}-{any}-x",
        "{krel}{dist}{variant}",
        "{number}1{number}1{build_id}",
    ],
)
@pytest.mark.parametrize(
    "hostile",
    [
        "-" * 256,
        "a-" * 128,
        "1." * 128,
        "1-" * 128,
        ".a" * 128,
        "1" * 255 + "!",
        "a_" * 128,
        "1_" * 128,
        "1.1-" * 64,
        "0" * 256,
        "ab" * 128,
    ],
)
def test_the_worst_rules_are_still_quick(text, hostile):
    started = time.process_time()
    for front in ("", "1.1-1", "1", "a"):
        templates.parse(text, (front + hostile)[:256])
    assert time.process_time() - started < 0.5


fields = st.sampled_from(
    ["{" + name + "}" for name in templates.FIELDS] + ["{kver:_}", "{krel:_}", "-", ".", "a", "_"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(fields, min_size=1, max_size=24).map("".join),
    st.sampled_from("0a.-_+"),
    st.sampled_from("1.-_a"),
)
def test_no_rule_can_be_made_to_run_long(text, one, other):
    try:
        templates.tokens(text)
    except ValueError:
        return
    started = time.process_time()
    for hostile in (
        (one + other) * 128,
        "1." * 127 + "x",
        "1-" * 127 + "x",
        ".a" * 127 + "!",
        "1" * 255 + "x",
    ):
        templates.parse(text, hostile)
    assert time.process_time() - started < 1
