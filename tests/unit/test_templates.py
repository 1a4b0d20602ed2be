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
        ("{word}-{number}", "a_1-2", {}),
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


def test_what_is_not_known_renders_as_a_star_and_a_capability_has_no_second_dash():
    assert templates.render("a-{kver:_}-{number}", {"kver": "1.2"}) == "a-1_2-*"
    assert (
        templates.render("{arch}{variant}", {"arch": "s390x", "variant": "+rt-debug"}, True)
        == "s390x+rt_debug"
    )


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
