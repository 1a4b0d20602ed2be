# SPDX-License-Identifier: GPL-2.0-or-later
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import (
    InstalledModule,
    InstalledPatch,
    LoadedPatch,
    Manifest,
    Nevra,
    Unfixable,
)
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host import look
from dnf_plugin_livepatch.host.packages import vendor_cves
from dnf_plugin_livepatch.vendors import profiles
from dnf_plugin_livepatch.vendors.profile_file import CVE_SOURCES

RULES, _ = profiles.load(("/nonexistent",))
AZURE = """A set of kernel livepatches addressing CVEs present in Mariner's
5.15.94.1-1.cm2 kernel, unlike CVE-2020-0001.

Patches list ('*' - fixed, '!' - unfixable through livepatching, kernel update required):
*CVE-2023-1281
* CVE-2023-1829
!CVE-2022-67890: data structures change
\\!CVE-2022-67891
*CVE-2022-67890
"""


def header(**tags):
    return {"description": "", "changelogtext": [], "filenames": [], **tags}


def test_azure_marks_what_is_fixed_and_what_cannot_be():
    fixed, unfixable = vendor_cves.read(
        Paths(), profiles.find(RULES, "azure"), header(description=AZURE), ()
    )
    assert fixed == ("CVE-2023-1281", "CVE-2023-1829"), "what is listed as unfixable is never closed"
    assert unfixable == (
        Unfixable("CVE-2022-67890", "data structures change"),
        Unfixable("CVE-2022-67891", ""),
    )


def test_azure_mentions_others_behind_the_mark():
    text = "* CVE-2023-1281: the rest of CVE-2023-1829\n*CVE-2024-0001, CVE-2024-0002\n"
    text += "* no fix of CVE-2024-0003\n* CVE-2024-0004 (detection only)\n* CVE-2024-0005: not yet fixed\n"
    assert vendor_cves.of_description(text)[0] == ("CVE-2023-1281", "CVE-2024-0001", "CVE-2024-0002")


def test_red_hat_names_them_in_braces():
    back = [
        '- Revert "net: fix x (me) [RHEL-1]" {CVE-2024-0001}',
        "- backed out y {CVE-2024-0002}\n- net: revert to the safe path {CVE-2024-0003}",
        "- net: fix x (me) [RHEL-1] {CVE-2024-0001}\n- y {CVE-2024-0002, CVE-2024-0004}",
    ]
    assert vendor_cves.of_changelog(back)[0] == ("CVE-2024-0003", "CVE-2024-0004")
    subsystem = [
        '- [net] Revert "x" (me) [RHEL-1] {CVE-2024-0004}',
        '- net: sched: Revert "y" {CVE-2024-0003}',
    ]
    assert vendor_cves.of_changelog(subsystem + back)[0] == ()
    aside = ["- exploit detection for {CVE-2024-0007}", "- x86: not affected by {CVE-2024-0008}"]
    assert vendor_cves.of_changelog(aside)[0] == ()
    again = ["- net: fix x at last {CVE-2024-0001}", *back]
    assert "CVE-2024-0001" in vendor_cves.of_changelog(again)[0], "fixed again since"
    log = ["- kpatch for {CVE-2023-45871}", "- [{CVE-2024-1086,CVE-2024-26642}]", "- not CVE-2000-0001"]
    fixed, _ = vendor_cves.read(Paths(), profiles.find(RULES, "kpatch"), header(changelogtext=log), ())
    assert fixed == ("CVE-2023-45871", "CVE-2024-1086", "CVE-2024-26642")


def test_suse_installs_a_file_for_each_module(tmp_path):
    folder = tmp_path / "usr/share/livepatch/info"
    folder.mkdir(parents=True)
    names = {
        "livepatch-5_14_21-150500_55_7-default-ABCDEF0123456789": (
            "CVEs: CVE-2023-1077 CVE-2023-3090\n# not affected: CVE-2023-1111\n"
            "Not fixed: CVE-2000-0002\nunaffected CVE-2000-0003\n"
        ),
        "livepatch-other-ABCDEF0123456789": "CVE-2000-0001\n",
    }
    for name, text in names.items():
        (folder / name).write_text(text)
    owned = ["/usr/share/livepatch/info/" + name for name in names] + [
        "/usr/share/livepatch/info/livepatch-gone-1"
    ]
    told = vendor_cves.read(
        Paths(str(tmp_path)),
        profiles.find(RULES, "suse"),
        header(filenames=owned),
        ("livepatch_5_14_21_150500_55_7_default",),
    )
    assert told == (("CVE-2023-1077", "CVE-2023-3090"), ())


def test_a_vendor_that_tells_nothing_claims_nothing():
    for rule in RULES:
        assert vendor_cves.read(Paths("/nonexistent"), rule, header(), ("m",)) == ((), ())


def test_the_shipped_profiles_name_their_sources_in_the_order_in_which_they_count():
    order = ["manifest", "updateinfo", "hot-updateinfo", "changelog", "description", "info", "client"]
    assert sorted(order) == sorted(CVE_SOURCES)
    for rule in RULES:
        assert list(rule.cves) == sorted(rule.cves, key=order.index), rule.name
        if rule.loader == "kernel" and rule.names:
            assert rule.cves[:2] == ("manifest", "updateinfo"), "these count always"


def test_a_manifest_comes_first_then_the_advisories_then_what_the_package_tells():
    nevra = Nevra("kpatch-patch-1", "0", "1", "1", "x86_64")
    told = Manifest("m", "6.1", "ab", cves=("CVE-2024-0001",))
    live = LoadedPatch("m", True, False, "ab")
    advisories, own = {str(nevra): ("CVE-2024-0002",)}, ("CVE-2024-0003",)
    for manifest, cover, wanted in (
        (told, advisories, told.cves),
        (None, advisories, ("CVE-2024-0002",)),
        (None, {}, own),
    ):
        module = InstalledModule("m", "/m.ko", "", manifest)
        patch = InstalledPatch(nevra, "kpatch", "6.1", "patch", "kernel", (module,), own)
        (row,) = look.patch_rows([patch], [live], look.Guarded(), cover, {})
        assert row.in_force and row.cves == wanted


@given(st.text(alphabet="*! CVE-20194\\:{}\n", max_size=300))
def test_no_text_is_both_fixed_and_unfixable(text):
    fixed, unfixable = vendor_cves.of_description(text)
    assert not set(fixed) & {item.cve for item in unfixable}
    vendor_cves.of_changelog([text])
