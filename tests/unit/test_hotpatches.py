# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Advisory, Nevra
from dnf_plugin_livepatch.vendors import openeuler

NAME = "patch-kernel-5.10.0-153.12.0.92.oe2203sp3-ACC"
HOT = """<?xml version="1.0" encoding="UTF-8"?>
<updates>
 <update from="openeuler.org" type="security" status="stable">
  <id>openEuler-SA-2023-1000</id><title>kernel</title><severity>Important</severity>
  <issued date="2023-09-02"/>
  <references><reference href="x" id="CVE-2023-0001" title="" type="cve"/></references>
  <pkglist><collection>
   <package arch="x86_64" name="kernel" release="1" version="5.10.0"/>
  </collection></pkglist>
 </update>
 <update from="openeuler.org" type="security" status="stable">
  <id>openEuler-HotPatchSA-2023-1001</id><title>hot</title><severity>Important</severity>
  <issued date="2023-09-02"/>
  <references><reference href="x" id="CVE-2023-3389" type="cve"/><reference type="cve"/></references>
  <pkglist><hot_patch_collection><name>openEuler</name>
   <package arch="x86_64" name="{name}" release="1" version="1"><filename>x.rpm</filename></package>
   <package arch="aarch64" name="{name}" release="1" version="1"/>
  </hot_patch_collection></pkglist>
 </update>
</updates>
"""


@pytest.mark.parametrize("name", [NAME, NAME + "-1-1"])
def test_a_hot_patch_is_found_under_its_packages_name_however_it_is_written(name):
    (row,) = openeuler.advisories(HOT.format(name=name), {NAME})
    assert row.id == "openEuler-HotPatchSA-2023-1001" and row.type == "security"
    assert row.cves == ("CVE-2023-3389",) and row.severity == "Important" and row.issued == "2023-09-02"
    assert row.packages == (Nevra(NAME, "0", "1", "1", "aarch64"), Nevra(NAME, "0", "1", "1", "x86_64"))


def hot(inside, package=f'<package name="{NAME}" version="1" release="2" arch="x86_64"/>', kind=""):
    """An update with ``inside`` and one package."""
    return f"<update{kind}>{inside}<hot_patch_collection>{package}</hot_patch_collection></update>"


def only(update, names=(NAME,)):
    (row,) = openeuler.advisories(f"<updates>{update}</updates>", names)
    return row


def test_an_advisory_without_anything_else_has_empty_fields():
    assert only(hot("")) == Advisory(
        id="",
        type="unknown",
        severity="",
        issued="",
        updated="",
        cves=(),
        packages=(Nevra(NAME, "0", "1", "2", "x86_64"),),
    )


@pytest.mark.parametrize("kind", ["security", "bugfix", "enhancement"])
def test_the_type_is_a_known_word_or_unknown(kind):
    assert only(hot("", kind=f' type="{kind}"')).type == kind
    assert only(hot("", kind=f' type="{kind}s"')).type == "unknown"


@pytest.mark.parametrize(
    "inside, field, value",
    [
        ("<id>one<!-- comment -->&amp;two</id>", "id", "one&two"),
        ("<id> \n a\tb\u200bc </id>", "id", "a b c"),
        (f"<id>{'x' * 201}</id>", "id", "x" * 200),
        (f"<id>{'x' * 150}<b/>{'y' * 150}</id>", "id", "x" * 150 + "y" * 50),
        ("<severity>Low</severity>", "severity", "Low"),
        ("<title>none</title><x><id>inner</id></x>", "id", ""),
        ('<issued date="2026-11-27T10:00:00Z"/>', "issued", "2026-11-27"),
        ("<issued/>", "issued", ""),
        ('<reference id=" cve-2026-1000 "/><reference id="CVE-2026-0999"/>', "cves", "0999 1000"),
        ('<reference id="RHSA-2026:1"/><reference/>', "cves", ""),
    ],
)
def test_a_field_is_read_from_its_own_element(inside, field, value):
    expected = tuple("CVE-2026-" + number for number in value.split()) if field == "cves" else value
    assert getattr(only(hot(inside)), field) == expected


@pytest.mark.parametrize(
    "package, nevras",
    [
        (f'<package name="{NAME}"/>', [(NAME, "0", "", "", "")]),
        (
            f'<package name="{NAME}" epoch="3" version="1" release="2" arch="noarch"/>',
            [(NAME, "3", "1", "2", "noarch")],
        ),
        (
            f'<package name="{NAME}-1-2" version="1" release="2" arch="noarch"/>',
            [(NAME, "0", "1", "2", "noarch"), (NAME + "-1-2", "0", "1", "2", "noarch")],
        ),
        (
            f'<package name="{NAME}-9-9" version="1" release="2"/><package name="{NAME}"/>',
            [(NAME, "0", "", "", "")],
        ),
        (f'<package/><package name="kernel"/><package name="{NAME}"/>', [(NAME, "0", "", "", "")]),
    ],
)
def test_a_package_may_have_its_version_in_its_name(package, nevras):
    row = only(hot("", package), {NAME, NAME + "-1-2"})
    assert row.packages == tuple(Nevra(*nevra) for nevra in nevras)


def test_one_advisory_takes_nothing_from_another():
    first = hot(
        '<id>a</id><severity>Low</severity><issued date="2026-01-01"/><reference id="CVE-2026-1000"/>'
    )
    text = f"<updates>{first}{hot('')}</updates>"
    one, other = openeuler.advisories(text, {NAME})
    assert one.id == "a" and one.cves == ("CVE-2026-1000",)
    assert other == only(hot(""))


def test_a_single_update_needs_no_element_around_it():
    (row,) = openeuler.advisories(hot("<id>a</id>"), {NAME})
    assert row.id == "a"


def test_rows_packages_and_text_are_bounded(monkeypatch):
    packages = "".join(f'<package name="{NAME}" version="{number}"/>' for number in range(4))
    text = f"<updates>{hot('', packages) * 4}</updates>"
    monkeypatch.setattr(openeuler, "MAX_ROWS", 3)
    rows = openeuler.advisories(text, {NAME})
    assert [[package.version for package in row.packages] for row in rows] == [["0", "1", "2"]] * 3
    monkeypatch.setattr(openeuler, "MAX_TEXT", len(text))
    assert openeuler.advisories(text, {NAME}) == rows
    monkeypatch.setattr(openeuler, "MAX_TEXT", len(text) - 1)
    assert openeuler.advisories(text, {NAME}) == ()


def test_elements_may_be_nested_64_deep():
    for around, found in ((61, 1), (62, 0)):
        text = "<a>" * around + hot("") + "</a>" * around
        assert len(openeuler.advisories(text, {NAME})) == found


def test_other_packages_and_plain_collections_are_not():
    assert openeuler.advisories(HOT.format(name=NAME), {"kernel", "other"}) == ()
    assert openeuler.advisories(HOT.replace("hot_patch_collection", "collection"), {NAME}) == ()


@pytest.mark.parametrize(
    "text",
    [
        HOT[:-20],
        HOT.rstrip()[:-1],
        HOT.replace("kernel</title>", "\ud800</title>"),
        "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>" + HOT.partition("?>")[2],
        "<a>" * 100 + "hot_patch_collection" + "</a>" * 100,
        "hot_patch_collection",
        "",
    ],
)
def test_a_text_that_cannot_be_believed_tells_nothing(text):
    assert openeuler.advisories(text.replace("{name}", NAME), {NAME}) == ()


@given(st.text(max_size=200))
def test_no_text_makes_it_raise(text):
    openeuler.advisories("<updates>hot_patch_collection" + text + "</updates>", {NAME})
