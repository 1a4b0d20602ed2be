# SPDX-License-Identifier: GPL-2.0-or-later
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import names
from dnf_plugin_livepatch.vendors import profiles
from dnf_plugin_livepatch.vendors.profiles import GENERIC, Match
from tests.unit.support import vendor_corpora

RULES, FAULTS = profiles.load(("/nonexistent",))
TABLES = os.path.join(os.path.dirname(__file__), "..", "data", "vendors")
CASES = list(vendor_corpora.tables(TABLES))
EL9 = "5.14.0-427.13.1.el9_4.x86_64"
BUILD_ID = "0123456789abcdef0123456789abcdef01234567"


def judge(nevra, provides=(), requires=()):
    return profiles.match(names.parse_nevra(nevra), provides, requires, RULES)


def rule(name):
    return profiles.find(RULES, name)


# --- the vendors' own names ---


def test_the_shipped_profiles_have_no_faults_and_the_generic_one_leads():
    assert FAULTS == ()
    assert RULES[0].name == GENERIC
    assert [r.name for r in RULES[1:]] == sorted(r.name for r in RULES[1:])
    assert profiles.find(RULES, "suse").name == "suse"
    with pytest.raises(KeyError, match="susi"):
        profiles.find(RULES, "susi")


def test_the_tables_of_real_names_are_matched_without_a_miss(record_property):
    counts, misses = vendor_corpora.score(CASES)
    assert misses == []
    assert {group for group, what in counts if what == "rows"} >= {
        "kpatch",
        "amazon",
        "suse",
        "suse-kgraft",
        "openeuler",
        "openeuler-single",
        "ksplice",
        "none",
    }
    assert len(CASES) > 400
    told = vendor_corpora.totals(counts)
    assert told.startswith("recall ") and told.count("(100.00%)") == 2
    record_property("told", f"{len(CASES)} real package names: {told}")


def test_no_real_package_ever_fits_another_kernel(record_property):
    pairs, wrong = vendor_corpora.cross(CASES)
    assert wrong == [] and pairs > 100_000
    record_property("told", f"{pairs} pairs of a real package and a real kernel, {len(wrong)} wrong")


def test_a_miss_and_a_wrong_find_lower_recall_and_precision():
    hit, miss = CASES[0], next(case for case in CASES if case.kind == "patch")
    stranger = hit._replace(profile="", release="", kind="not-a-live-patch")
    unseen = miss._replace(nevra=miss.nevra._replace(name="nobody-knows"))
    counts, misses = vendor_corpora.score([hit, stranger, unseen])
    told = vendor_corpora.totals(counts)
    assert told.startswith("recall 1 of 2 (50.00%), precision 1 of 2 (50.00%), 1 others, "), told
    assert misses


if os.environ.get("LIVEPATCH_VENDOR_DATA"):

    def test_whole_corpora(record_property):
        cases = list(vendor_corpora.corpora(os.environ["LIVEPATCH_VENDOR_DATA"]))
        counts, misses = vendor_corpora.score(cases)
        assert misses == []
        pairs, wrong = vendor_corpora.cross(cases)
        assert wrong == [] and len(cases) > 5000
        told = f"{len(cases)} rows: {vendor_corpora.totals(counts)}; {pairs} pairs, {len(wrong)} wrong"
        record_property("told", f"$LIVEPATCH_VENDOR_DATA, {told}")


@pytest.mark.parametrize(
    "nevra, provides, requires",
    [
        ("kernel-modules-extra-5.14.0-427.13.1.el9_4.x86_64", (), (f"kernel-uname-r = {EL9}",)),
        ("kernel-core-5.14.0-427.13.1.el9_4.x86_64", (f"kernel-uname-r = {EL9}",), ()),
        ("livepatch-runtime-1.0-1.el9.noarch", ("livepatch-runtime = 1.0-1.el9",), ()),
        ("livepatch-tools-1.0-1.el9.noarch", (), ()),
        ("livepatch-1.0-1.azl3.x86_64", ("livepatch = 1.0-1.azl3", "livepatch(x86-64) = 1.0-1.azl3"), ()),
        ("livepatching-filesystem-1.0-1.cm2.noarch", (), ()),
        ("kernel-livepatch-tools-1.2-1.x86_64", (), ()),
        ("kernel-livepatch-repo-s3-2023.1-0.amzn2023.noarch", (), ()),
        ("kernel-default-livepatch-6.4.0-150600.21.2.x86_64", (), ()),
        ("kernel-livepatch-SLE15-SP5_Update_12-debugsource-3-150500.2.1.x86_64", (), ()),
        ("kernel-livepatch-5_14_21-150500_55_12-default-debuginfo-3-150500.2.1.x86_64", (), ()),
        ("kpatch-patch-5_14_0-427_13_1-debuginfo-1-2.el9_4.x86_64", (), ()),
        ("kpatch-patch-5_14_0-427_13_1-debugsource-1-2.el9_4.x86_64", (), ()),
        ("kpatch-patch-5_14_0-427_13_1-1-2.el9_4.src", (), ()),
        ("kpatch-patch-1.0-1.el9.noarch", ("kpatch-patch = 1.0-1.el9",), ()),
        ("kpatch-0.9.7-1.el9.noarch", ("kpatch-runtime = 0.9.7",), ()),
        ("kpatch-dnf-0.4-3.el9.noarch", (), ()),
        ("uptrack-offline-1.2.83-0.noarch", (), ()),
        ("uptrack-updates-1.0-1.noarch", (), ()),
        ("openssl-1.1.1g-15.ksplice1.el8_3.x86_64", (), ()),
        ("patch-kernel-6.6.0-72.0.0.76.oe2403sp1-1-3.x86_64", (), ()),
        ("patch-redis-6.2.5-1.oe2203-ACC-1-1.x86_64", (), ()),
        ("kernelcare-2.90-1.el9.x86_64", (), ()),
    ],
)
def test_what_is_no_live_patch_is_never_taken_for_one(nevra, provides, requires):
    found = judge(nevra, provides, requires)
    assert found[:3] == ("", "", "not-a-live-patch") and found.why


def test_a_name_that_only_begins_like_another_is_another_kernel():
    ga = judge("kpatch-patch-4_18_0-305-1-3.el8.x86_64")
    later = judge("kpatch-patch-4_18_0-305_3_1-1-3.el8_4.x86_64")
    assert ga.kernel_release == "4.18.0-305.el8.x86_64"
    assert later.kernel_release == "4.18.0-305.3.1.el8_4.x86_64"
    assert not profiles.fits(ga, later.kernel_release) and not profiles.fits(later, ga.kernel_release)


@pytest.mark.parametrize("flavour", ["rt", "64k", "debug", "rt-debug", "64k-debug", "zfcpdump"])
def test_a_flavour_has_no_vendor_package_name_and_only_provides_can_tell_it(flavour):
    release = f"{EL9}+{flavour}"
    assert [r.name for r in RULES if profiles.package_name(release, r)] == []
    wanted = profiles.lookup(release, RULES)
    assert wanted.names == () and f"kpatch-patch = {EL9}+{flavour.replace('-', '_')}" in wanted.provides
    assert not profiles.fits(judge("kpatch-patch-5_14_0-427_13_1-1-2.el9_4.x86_64"), release)
    # Its arch-less twin, which Red Hat's spec gives too, must not make it the plain kernel's.
    found = judge(
        "kp-1-1.x86_64",
        (
            "kpatch-patch = 5.14.0-427.13.1.el9_4",
            f"kpatch-patch = {EL9}+{flavour.replace('-', '_')}",
        ),
    )
    assert found.kernel_release == release


def cockpits_name(release):
    """The package that Cockpit's page looks for on a host that runs ``release``."""
    version, rest = release.split("-")
    return "-".join(["kpatch-patch", version.replace(".", "_"), "_".join(rest.split(".")[:-2])])


def test_cockpit_looks_for_the_same_package_as_we_do_but_for_flavours():
    real = [case for case in CASES if case.profile == "kpatch"]
    assert len(real) > 50
    for case in real:
        (ours, *_) = profiles.lookup(case.release, RULES).names
        assert cockpits_name(case.release) == case.nevra.name == ours
    # It takes the plain kernel's package for that of a kernel with a flavour, which it does not fit.
    assert cockpits_name(EL9 + "+rt") == cockpits_name(EL9) == "kpatch-patch-5_14_0-427_13_1"
    assert not profiles.fits(judge(cockpits_name(EL9) + "-1-2.el9_4.x86_64"), EL9 + "+rt")


@pytest.mark.parametrize(
    "nevra, kind",
    [
        ("kpatch-patch-5_14_0-427_13_1-0-0.el9_4.x86_64", "empty"),
        ("kpatch-patch-5_14_0-427_13_1-1-1.el9_4.x86_64", "patch"),
        ("kpatch-patch-5_14_0-427_13_1-1-10.el9_4.x86_64", "patch"),
        ("kernel-livepatch-6.1.94-99.176-1.0-0.amzn2023.x86_64", "empty"),
        ("kernel-livepatch-6.1.94-99.176-1.0-10.amzn2023.x86_64", "patch"),
        ("kernel-livepatch-5_14_21-150500_55_7-default-1-150500.9.6.1.x86_64", "empty"),
        ("kernel-livepatch-5_14_21-150500_55_7-default-10-150500.9.6.1.x86_64", "patch"),
    ],
)
def test_a_package_that_only_subscribes_is_empty(nevra, kind):
    assert judge(nevra).kind == kind


# --- build ids ---


def test_xenserver_packages_fit_by_build_id_and_by_nothing_else():
    base = "4.19.19-8.0.32.xs8"
    capability = f"livepatch(component/kernel/base/{base}/to/4.19.19-8.0.33.xs8/base-buildid/{BUILD_ID})"
    found = judge("kernel-livepatch-1.0.4-1.x86_64", (capability,))
    assert found[:3] == ("xcp-ng", base, "patch") and found.build_id == BUILD_ID
    assert profiles.fits(found, "4.19.0+1", BUILD_ID.upper())
    assert not profiles.fits(found, base) and not profiles.fits(found, base, "ff" * 20)
    wanted = profiles.lookup("4.19.0+1", RULES, BUILD_ID)
    assert "kernel-livepatch" in wanted.names
    assert profiles.directories(rule("xcp-ng"), "4.19.0+1", BUILD_ID) == (
        f"/usr/lib/kernel-livepatch/{BUILD_ID}",
    )
    assert profiles.directories(rule("xcp-ng"), "4.19.0+1") == ()


def test_a_package_without_the_provides_that_tell_its_kernels_fits_none():
    found = judge("kernel-livepatch-1.0.4-1.x86_64")
    assert found.profile == "xcp-ng" and not found.kernel_release
    assert not profiles.fits(found, "") and not profiles.fits(found, "4.19.0+1", "")


# --- both directions ---


@pytest.mark.parametrize(
    "release, name, profile",
    [
        (EL9, "kpatch-patch-5_14_0-427_13_1", "kpatch"),
        ("6.12.0-211.16.1.el10_2.x86_64", "kpatch-patch-6_12_0-211_16_1", "kpatch"),
        ("6.1.94-99.176.amzn2023.aarch64", "kernel-livepatch-6.1.94-99.176", "amazon"),
        ("5.14.21-150500.55.7-default", "kernel-livepatch-5_14_21-150500_55_7-default", "suse"),
        ("6.12.0-160000.5-default", "kernel-livepatch-6_12_0-160000_5-default", "suse"),
        ("4.12.14-197.4-default", "kernel-livepatch-4_12_14-197_4-default", "suse"),
        ("4.12.14-122.77-default", "kgraft-patch-4_12_14-122_77-default", "suse-kgraft"),
        ("5.15.137.1-1.cm2", "livepatch-5.15.137.1-1.cm2", "azure"),
        ("6.6.0-72.0.0.76.oe2403sp1.x86_64", "patch-kernel-6.6.0-72.0.0.76.oe2403sp1-ACC", "openeuler"),
        ("5.15.0-208.159.3.2.el8uek.x86_64", "uptrack-updates-5.15.0-208.159.3.2.el8uek.x86_64", "ksplice"),
    ],
)
def test_one_kernel_has_one_name_at_its_vendor(release, name, profile):
    assert profiles.package_name(release, rule(profile)) == name
    assert name in profiles.lookup(release, RULES).names


OE = "6.6.0-72.0.0.76.oe2403sp1"
XEN = "livepatch(component/kernel/base/*/to/*/base-buildid/" + BUILD_ID + ")"


@pytest.mark.parametrize(
    "release, build_id, provides, found, name_globs, provides_globs",
    [
        (
            EL9,
            "",
            [f"kpatch-patch = {EL9}", f"kpatch-patch = {EL9[:-7]}"],
            ["kpatch-patch-5_14_0-427_13_1", f"uptrack-updates-{EL9}"],
            [],
            [],
        ),
        (
            EL9,
            BUILD_ID.upper(),
            [f"kpatch-patch = {EL9}", f"kpatch-patch = {EL9[:-7]}"],
            ["kpatch-patch-5_14_0-427_13_1", f"uptrack-updates-{EL9}", "kernel-livepatch"],
            [],
            [XEN],
        ),
        # The package that Provides only the release without flavour is the plain kernel's.
        (EL9 + "+64k-debug", "", [f"kpatch-patch = {EL9}+64k_debug"], [], [], []),
        ("5.14.21-150500.55.7-default", "", [], ["kernel-livepatch-5_14_21-150500_55_7-default"], [], []),
        (
            OE + ".x86_64",
            "",
            [f"kpatch-patch = {OE}.x86_64", f"kpatch-patch = {OE}"],
            [f"patch-kernel-{OE}-ACC"],
            [f"patch-kernel-{OE}-{tail}" for tail in ("ACC-*-*", "SGL_*", "SGL-*", "HP*")],
            [],
        ),
        (
            "5.15.137.1-1.cm2",
            "",
            ["livepatch = 5.15.137.1-1.cm2", "kpatch-patch = 5.15.137.1-1.cm2"],
            ["livepatch-5.15.137.1-1.cm2"],
            [],
            [],
        ),
        ("4.19.0+1", BUILD_ID, ["kpatch-patch = 4.19.0+1"], ["kernel-livepatch"], [], [XEN]),
    ],
)
def test_a_lookup_asks_for_every_form_of_a_name(
    release, build_id, provides, found, name_globs, provides_globs
):
    assert profiles.lookup(release, RULES, build_id) == profiles.Lookup(
        provides=(f"livepatch(kernel-uname-r:{release})", *provides),
        names=tuple(found),
        name_globs=tuple(name_globs),
        provides_globs=tuple(provides_globs),
    )


def test_a_vendor_by_build_id_has_one_name_for_all_its_kernels():
    assert profiles.package_name("4.19.19-8.0.32.xs8", rule("xcp-ng")) == "kernel-livepatch"
    assert profiles.package_name(OE + ".x86_64", rule("openeuler-single")) == ""


@pytest.mark.parametrize(
    "release, profile",
    [
        ("4.12.14-122.77-default", "suse"),
        ("4.12.14-197.4-default", "suse-kgraft"),
        (EL9, "amazon"),
        ("6.1.94-99.176.amzn2023.x86_64", "kpatch"),
        ("4.18.0-372.13.1.rt7.170.el8_6.x86_64", "kpatch"),
        (EL9, "azure"),
        ("6.6.0-72.0.0.76.oe2403sp1.x86_64", "ksplice"),
        ("not a release", "kpatch"),
        ("", "suse"),
        ("5.14.0-427.13.1.el9_4", "kpatch"),
        (EL9, "xcp-ng"),
        (EL9, GENERIC),
        (EL9, "kernelcare"),
    ],
)
def test_a_kernel_of_another_vendor_has_no_name(release, profile):
    assert profiles.package_name(release, rule(profile)) == ""


numbers = st.integers(0, 99999).map(str)
dotted = st.lists(numbers, min_size=1, max_size=4).map(".".join)
versions = st.lists(numbers, min_size=2, max_size=4).map(".".join)
kernels = st.one_of(
    st.builds("{}-{}.el{}_{}.{}".format, versions, dotted, numbers, numbers, st.sampled_from(names.ARCHES)),
    st.builds("{}-{}.amzn2023.{}".format, versions, dotted, st.sampled_from(("x86_64", "aarch64"))),
    st.builds(
        "{}-{}-{}".format, versions, dotted, st.sampled_from(("default", "rt", "xen", "preempt", "64kb"))
    ),
    st.builds("{}-{}.cm{}".format, versions, dotted, numbers),
    st.builds("{}-{}.oe{}sp1.{}".format, versions, dotted, numbers, st.sampled_from(("x86_64", "aarch64"))),
)


@given(kernels)
def test_a_name_leads_back_to_the_kernel_it_was_made_for(release):
    evrs = {
        "kpatch": "1-2",
        "amazon": "1.0-3",
        "suse": "4-1.1",
        "suse-kgraft": "4-1.1",
        "azure": "1.0.0-1.cm2",
        "openeuler": "1-3",
        "ksplice": "20241022-0",
        "openeuler-single": "1-1",
    }
    for profile in RULES:
        name = profiles.package_name(release, profile)
        if name:
            parts = names._UNAME.match(release)
            arch = parts["arch"] or "x86_64"
            dist = "." + parts["release"].rpartition(".")[2] if profile.name in ("kpatch", "amazon") else ""
            nevra = names.parse_nevra(f"{name}-{evrs[profile.name]}{dist}.{arch}")
            assert profiles.match(nevra, (), (), RULES)[:3] == (profile.name, release, "patch")


@given(kernels, kernels)
def test_two_kernels_never_share_a_lookup(one, other):
    if one != other:
        mine, theirs = profiles.lookup(one, RULES), profiles.lookup(other, RULES)
        shared = set(mine.provides) & set(theirs.provides)
        # The arch-less twin is shared by one kernel's architectures, as its package name is.
        assert all(one.startswith(text.partition(" = ")[2]) for text in shared)


@given(
    st.text(max_size=300),
    st.lists(st.text(max_size=200), max_size=5),
    st.lists(st.text(max_size=200), max_size=5),
)
def test_no_text_makes_it_raise(name, provides, requires):
    nevra = names.Nevra(name, "0", "1", "1.el9", "x86_64")
    assert isinstance(profiles.match(nevra, provides, requires, RULES), Match)
    profiles.lookup(name, RULES, name)
    for profile in RULES:
        profiles.package_name(name, profile)
