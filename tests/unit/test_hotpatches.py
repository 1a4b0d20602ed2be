# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Nevra
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


def test_other_packages_and_plain_collections_are_not():
    assert openeuler.advisories(HOT.format(name=NAME), {"kernel", "other"}) == ()
    assert openeuler.advisories(HOT.replace("hot_patch_collection", "collection"), {NAME}) == ()


@pytest.mark.parametrize(
    "text",
    [
        HOT[:-20],
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
