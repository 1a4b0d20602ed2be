# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import names as releases
from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.base.names import release_of

EL9 = "5.14.0-427.13.1.el9_4.x86_64"


@pytest.mark.parametrize(
    "text",
    [
        "kernel6.12-1:6.12.22-27.96.amzn2023.aarch64",
        "1:kernel6.12-6.12.22-27.96.amzn2023.aarch64",
        "kernel6.12-1:6.12.22-27.96.amzn2023.aarch64.rpm",
        "  kernel6.12-01:6.12.22-27.96.amzn2023.aarch64\r\n",
    ],
)
def test_every_spelling_of_one_nevra_is_the_same(text):
    assert releases.parse_nevra(text) == Nevra("kernel6.12", "1", "6.12.22", "27.96.amzn2023", "aarch64")


def test_a_name_of_dashes_and_dots_is_split_from_the_right():
    found = releases.parse_nevra("/srv/repo/kernel-livepatch-6.1.94-99.176-1.0-0.amzn2023.x86_64.rpm")
    assert found == Nevra("kernel-livepatch-6.1.94-99.176", "0", "1.0", "0.amzn2023", "x86_64")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kernel",
        "a-b.c",
        "a-1-2",
        "a-1-2.",
        "-1-2.x",
        "a--2.x86_64",
        "a-x:1-2.x86_64",
        "1:a-2:1-1.x86_64",
        "a b-1-1.noarch",
        "a-1-1.x/y",
        "a-1-1.\u0663",
        "x" * 600 + "-1-1.noarch",
        "a-1-1.NOARCH",
        "a\0-1-1.noarch",
        "é-1-1.noarch",
    ],
)
def test_what_is_no_nevra_is_refused_with_a_reason(text):
    with pytest.raises(ValueError, match="."):
        releases.parse_nevra(text)


@given(st.text(max_size=80))
def test_no_text_makes_the_parser_raise_anything_else(text):
    try:
        nevra = releases.parse_nevra(text)
    except ValueError:
        return
    assert releases.parse_nevra(f"{nevra.name}-{nevra.evr}.{nevra.arch}") == nevra


@pytest.mark.parametrize(
    "release, forms",
    [
        (EL9, ("= " + EL9,)),
        (EL9 + "+64k-debug", ("= " + EL9 + "+64k_debug",)),
        ("5.15.137.1-1.cm2", ("= 5.15.137.1-1.cm2",)),
        ("5.14.21-150500.55.7-default", ()),
        ("6.12.48+deb13-amd64", ("= 6.12.48+deb13-amd64",)),
        ("6.1.0-13-amd64", ()),
    ],
)
def test_a_release_with_two_dashes_exists_only_in_parentheses(release, forms):
    assert releases.own_capability(release) == f"livepatch(kernel-uname-r:{release})"
    version = releases.capability_version(release)
    assert forms == ((f"= {version}",) if version else ())
    assert version.count("-") <= 1 and releases.release_of_capability(version) == (
        release if version else ""
    )


@pytest.mark.parametrize(
    "nevra, release",
    [
        ("kernel-5.14.0-427.13.1.el9_4.x86_64", EL9),
        ("kernel-core-5.14.0-427.13.1.el9_4.x86_64", EL9),
        ("kernel-modules-extra-5.14.0-427.13.1.el9_4.x86_64", EL9),
        ("kernel-uki-virt-5.14.0-427.13.1.el9_4.x86_64", EL9),
        ("kernel-rt-core-5.14.0-503.11.1.el9_5.x86_64", "5.14.0-503.11.1.el9_5.x86_64+rt"),
        ("kernel-rt-debug-core-5.14.0-503.11.1.el9_5.x86_64", "5.14.0-503.11.1.el9_5.x86_64+rt-debug"),
        ("kernel-64k-debug-core-5.14.0-503.11.1.el9_5.aarch64", "5.14.0-503.11.1.el9_5.aarch64+64k-debug"),
        ("kernel-debug-5.14.0-503.11.1.el9_5.s390x", "5.14.0-503.11.1.el9_5.s390x+debug"),
        ("kernel-zfcpdump-core-5.14.0-503.11.1.el9_5.s390x", "5.14.0-503.11.1.el9_5.s390x+zfcpdump"),
        ("kernel-rt-4.18.0-372.13.1.rt7.170.el8_6.x86_64", "4.18.0-372.13.1.rt7.170.el8_6.x86_64"),
        ("kernel-default-5.14.21-150500.55.12.1.x86_64", "5.14.21-150500.55.12-default"),
        ("kernel-rt-6.4.0-150600.10.8.3.x86_64", "6.4.0-150600.10.8-rt"),
        ("kernel-64kb-6.4.0-150600.21.3.aarch64", "6.4.0-150600.21-64kb"),
        ("kernel6.12-1:6.12.22-27.96.amzn2023.aarch64", "6.12.22-27.96.amzn2023.aarch64"),
        ("kernel-uek-core-5.15.0-208.159.3.2.el8uek.x86_64", "5.15.0-208.159.3.2.el8uek.x86_64"),
        ("kernel-ml-core-6.9.5-1.el9.elrepo.x86_64", "6.9.5-1.el9.elrepo.x86_64"),
        ("kernel-lt-6.1.94-1.el9.elrepo.x86_64", "6.1.94-1.el9.elrepo.x86_64"),
        ("kernel-5.15.137.1-1.cm2.x86_64", "5.15.137.1-1.cm2"),
        ("kernel-6.6.0-72.0.0.76.oe2403sp1.aarch64", "6.6.0-72.0.0.76.oe2403sp1.aarch64"),
    ],
)
def test_a_kernel_package_tells_its_release_and_the_release_its_package(nevra, release):
    parsed = releases.parse_nevra(nevra)
    assert releases.kernel_release(parsed) == release
    stem = parsed.name
    for tail in ("-modules-extra", "-uki-virt"):
        stem = stem.replace(tail, "")
    assert stem in releases.kernel_packages(release)


@pytest.mark.parametrize(
    "nevra",
    [
        "kernel-headers-5.14.0-1.el9.x86_64",
        "kernel-tools-5.14.0-1.el9.x86_64",
        "kernel-5.14.0-1.el9.src",
        "kernel-srpm-macros-1.0-1.el9.noarch",
        "kernelcare-2.9-1.el9.x86_64",
        "kernel-uek-debug-5.15.0-1.el8uek.x86_64",
        "kernel-livepatch-6.1.94-99.176-1.0-0.amzn2023.x86_64",
        "kernel-doc-5.14.0-1.el9.noarch",
        "bash-5-1.x86_64",
    ],
)
def test_what_is_no_kernel_tells_no_release(nevra):
    assert releases.kernel_release(releases.parse_nevra(nevra)) == ""


@given(st.text(max_size=120))
def test_no_release_makes_it_raise(text):
    assert isinstance(releases.kernel_packages(text), tuple)
    assert releases.own_capability(text)


@pytest.mark.parametrize(
    "text, name, evr, parts",
    [
        ("kernel-core-5.14.0-1.el9.x86_64", "kernel-core", "5.14.0-1.el9", ("0", "5.14.0", "1.el9")),
        ("grub2-1:2.06-7.el9.noarch", "grub2", "1:2.06-7.el9", ("1", "2.06", "7.el9")),
        ("nothing", "", "", None),
        ("", "", "", None),
        ("a-b.c", "", "", None),
    ],
)
def test_a_package_is_taken_apart_in_one_place(text, name, evr, parts):
    assert (releases.name_of(text), releases.evr_of(text)) == (name, evr)
    found = releases.split_nevra(text)
    assert (found and found[1:4]) == parts and (found is None or str(found) == text)
    assert parts is None or releases.split_evr(evr) == parts


@pytest.mark.parametrize(
    "capability, cve",
    [
        ("livepatch-cve(CVE-2026-1000)", "CVE-2026-1000"),
        ("livepatch-cve(CVE-2026-1000) = 1-1", "CVE-2026-1000"),
        ("livepatch-cve(CVE-26-1)", ""),
        ("livepatch-cve(", ""),
        ("kpatch-patch = 5", ""),
    ],
)
def test_a_capability_declares_a_cve(capability, cve):
    assert releases.declared_cve(capability) == cve
    assert not cve or capability.startswith(releases.cve_capability(cve))


@pytest.mark.parametrize(
    "evr, like, like_evr, release",
    [
        ("5.14.0-20.el9_4", "5.14.0-10.el9_4.x86_64+rt", "5.14.0-10.el9_4", "5.14.0-20.el9_4.x86_64+rt"),
        (
            "1:6.12.2-2.amzn2023",
            "6.12.1-1.amzn2023.x86_64",
            "1:6.12.1-1.amzn2023",
            "6.12.2-2.amzn2023.x86_64",
        ),
        (
            "5.14.21-150500.55.20.1",
            "5.14.21-150500.55.12-default",
            "5.14.21-150500.55.12.1",
            "5.14.21-150500.55.20-default",
        ),
    ],
)
def test_releases_are_formed_as_the_vendor_forms_them(
    evr: str, like: str, like_evr: str, release: str
) -> None:
    assert release_of(evr, like, like_evr) == release


@pytest.mark.parametrize(
    "cve, key",
    [
        ("CVE-2026-1000", (2026, 1000)),
        ("CVE-2026-10000", (2026, 10000)),
        ("CVE-2026-1\u00b2", (2026, 0)),
        ("CVE-2026-\u0661\u0662", (2026, 0)),
        ("CVE-2026-" + "9" * 5000, (2026, 0)),
        ("", (0, 0)),
    ],
)
def test_the_order_of_cves_is_that_of_their_numbers(cve, key):
    assert releases.cve_order(cve) == (*key, cve)
