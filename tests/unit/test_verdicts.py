# SPDX-License-Identifier: GPL-2.0-or-later
"""How a package is judged: the reasons, its capabilities, and each key of a profile."""

import time

import pytest

from dnf_plugin_livepatch.base import names
from dnf_plugin_livepatch.vendors import profile_file, profiles
from dnf_plugin_livepatch.vendors.profiles import GENERIC

RULES, _ = profiles.load(("/nonexistent",))
EL9 = "5.14.0-427.13.1.el9_4.x86_64"
BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
NAMED = "kpatch-patch-5_14_0-427_13_1-1-2.el9_4.x86_64"
OTHER = "5.14.0-427.13.2.el9_4.x86_64"
KPATCH = "kpatch (Red Hat Enterprise Linux, AlmaLinux, Rocky Linux, CentOS Stream)"


def judge(nevra, provides=(), requires=()):
    return profiles.match(names.parse_nevra(nevra), provides, requires, RULES)


def own(text, name="acme"):
    """A profile of the keys in ``text``, below [match]."""
    return profile_file.parse(name, f"[profile]\ntitle = Acme\n[match]\n{text}")


def judged(profile, nevra, *provides):
    """The kernel release that ``profile`` alone finds for a package, "" for none."""
    return profiles.match(names.parse_nevra(nevra), provides, (), (profile,)).kernel_release


@pytest.mark.parametrize(
    "nevra, provides, requires, kind, why",
    [
        (NAMED, (), (), "patch", f"{KPATCH}: by its name"),
        (NAMED, (f"kpatch-patch = {EL9}",), (), "patch", f"{KPATCH}: by its name and Provides"),
        ("hotfix-1-1.x86_64", (f"kpatch-patch = {EL9}",), (), "patch", f"{KPATCH}: by its Provides"),
        (
            NAMED,
            (f"livepatch(kernel-uname-r:{EL9})",),
            (),
            "patch",
            "dnf-plugin-livepatch (livepatch-rpm and compatible builders): by its Provides",
        ),
        (
            "kpatch-patch-5_14_0-427_13_1-0-0.el9_4.x86_64",
            (),
            (),
            "empty",
            f"{KPATCH}: by its name; this version only subscribes the kernel to later patches",
        ),
        (
            NAMED,
            (f"kpatch-patch = {OTHER}",),
            (),
            "not-a-live-patch",
            f"it is for kernel {OTHER} by its Provides, but for another by its name",
        ),
        (
            NAMED,
            (),
            (f"kernel-uname-r = {OTHER}",),
            "not-a-live-patch",
            f"it is for kernel {EL9} by its name, but it requires kernel {OTHER}",
        ),
        (
            "hotfix-1-1.x86_64",
            (f"kpatch-patch = {EL9}",),
            (f"kernel-uname-r = {OTHER}",),
            "not-a-live-patch",
            f"it is for kernel {EL9} by its Provides, but it requires kernel {OTHER}",
        ),
        (
            NAMED,
            (),
            (f"kernel-uname-r = {EL9}", f"kernel-uname-r = {OTHER}"),
            "not-a-live-patch",
            f"it is for kernel {EL9} by its name, but it requires kernel {OTHER}",
        ),
        (NAMED.replace("x86_64", "src"), (), (), "not-a-live-patch", "a source package"),
        (
            "hotfix-1-1.nosrc",
            (f"livepatch(kernel-uname-r:{EL9})",),
            (),
            "not-a-live-patch",
            "a source package",
        ),
        (
            "bash-5.1-1.x86_64",
            ("bash = 5.1-1",),
            (),
            "not-a-live-patch",
            "no profile knows this name or these capabilities",
        ),
        (
            "kernel-livepatch-1.0.4-1.x86_64",
            (),
            (),
            "patch",
            "XenServer and XCP-ng: by its name; only its Provides, which were not given, tell its kernels",
        ),
        (
            "kernel-livepatch-1.0.4-1.x86_64",
            ("bash = 5.1-1",),
            (),
            "not-a-live-patch",
            "no profile knows this name or these capabilities",
        ),
    ],
)
def test_a_verdict_gives_its_reason(nevra, provides, requires, kind, why):
    found = judge(nevra, provides, requires)
    assert (found.kind, found.why, found.build_id) == (kind, why, "")


@pytest.mark.parametrize(
    "capability, name, version",
    [
        ("a = 1", "a", "1"),
        (" a=1 ", "a", "1"),
        ("a == 1", "a", "1"),
        ("a = 2:1", "a", "1"),
        ("a = 2:1:3", "a", "1:3"),
        ("a = x:1", "a", "x:1"),
        ("a = 21", "a", "21"),
        ("X=X1", "X", "X1"),
        ("a = b=c", "a", "b=c"),
        ("a(b) = 1", "a(b)", "1"),
        ("a(b:c)", "a(b:c)", ""),
        ("a", "a", ""),
        ("a >= 1", "a >= 1", ""),
        ("a<= 1", "a<= 1", ""),
        ("a != 1", "a != 1", ""),
        ("a > 1", "a > 1", ""),
        ("a(b=c)", "a(b=c)", ""),
        ("(a = 1 if b)", "(a = 1 if b)", ""),
        ("(a(b) = 1 if c)", "(a(b) = 1 if c)", ""),
        ("", "", ""),
    ],
)
def test_only_one_exact_version_is_a_version(capability, name, version):
    assert profiles._split(capability) == (name, version)


# --- capabilities ---


@pytest.mark.parametrize(
    "release", [EL9, "6.1.0-13-amd64", "6.4.0-150600.21-default", EL9 + "+64k-debug", "6.12.9"]
)
def test_our_own_capability_wins_over_every_name(release):
    found = judge("kpatch-patch-5_14_0-1_1-1-2.el9_4.x86_64", (f"livepatch(kernel-uname-r:{release})",))
    assert found[:3] == (GENERIC, release, "patch")
    assert profiles.lookup(release, RULES).provides[0] == f"livepatch(kernel-uname-r:{release})"


def test_only_the_own_capability_counts_where_there_is_one():
    provides = (f"kpatch-patch = {OTHER}", f"livepatch(kernel-uname-r:{EL9})")
    for rules in (RULES, RULES[::-1]):
        found = profiles.match(names.parse_nevra("fix-1-1.x86_64"), provides, (), rules)
        assert found[:3] == (GENERIC, EL9, "patch")


def test_the_own_capability_holds_the_release_as_it_is():
    release = EL9 + "+rt_debug"
    assert judge("fix-1-1.x86_64", (f"livepatch(kernel-uname-r:{release})",)).kernel_release == release
    assert judge("fix-1-1.x86_64", (f"kpatch-patch = {release}",)).kernel_release == EL9 + "+rt-debug"


def test_the_capabilities_of_a_package_are_bounded(monkeypatch):
    first, second = f"kpatch-patch = {EL9}", f"kernel-uname-r = {OTHER}"
    monkeypatch.setattr(profiles, "MAX_CAPABILITIES", 2)
    assert judge("fix-1-1.x86_64", ("a", first, "b")).kernel_release == EL9
    assert judge("fix-1-1.x86_64", ("a", "b", first)).kernel_release == ""
    assert judge("fix-1-1.x86_64", (first,), ("a", second)).kernel_release == ""
    assert judge("fix-1-1.x86_64", (first,), ("a", "b", second)).kernel_release == EL9


@pytest.mark.parametrize(
    "provided", ["kpatch-patch = 5.14.0-{}.el9.x86_64", "livepatch-cve(CVE-2026-{})", "ksym(a{}) = 1"]
)
@pytest.mark.parametrize("required", ["kernel-uname-r = {}", "ksym(a{}) = 1"])
def test_the_capabilities_of_one_package_cost_no_square(provided, required):
    """And what names no kernel pushes out nothing that does."""
    provides = [provided.format(number) for number in range(4000)]
    requires = [required.format(number) for number in range(4000)]
    start = time.process_time()
    judge("fix-1-1.x86_64", provides, requires)
    assert time.process_time() - start < 0.5
    if "kpatch" not in provided:
        assert judge("fix-1-1.x86_64", [*provides, f"kpatch-patch = {EL9}"]).kernel_release == EL9


def test_its_own_name_and_version_say_nothing_about_a_package():
    for epoch in ("", "3:"):
        given = f"livepatch = {epoch}6.6.57.1-6.azl3"
        assert judge(f"livepatch-{epoch}6.6.57.1-6.azl3.x86_64", (given,)).kernel_release == ""
        assert (
            judge(f"livepatch-{epoch}6.6.57.1-7.azl3.x86_64", (given,)).kernel_release == "6.6.57.1-6.azl3"
        )
        assert judge(f"other-{epoch}6.6.57.1-6.azl3.x86_64", (given,)).kernel_release == "6.6.57.1-6.azl3"
    found = judge("livepatch-1-1.x86_64", ("livepatch = 1-1", f"kpatch-patch = {EL9}"))
    assert found.kernel_release == EL9


def test_a_package_for_several_kernels_tells_them_all():
    nevra = names.parse_nevra("fix-1-1.x86_64")
    provides = [f"livepatch(kernel-uname-r:6.1.0-{n}-amd64)" for n in (1, 2, 3)]
    told = profiles.match_all(nevra, provides, (), RULES)
    assert [m.kernel_release for m in told] == ["6.1.0-1-amd64", "6.1.0-2-amd64", "6.1.0-3-amd64"]


@pytest.mark.parametrize("release", ["6.12.9-own", "6.12.9-own.x86_64", "6.1.0-1-amd64"])
def test_a_name_contradicts_a_release_that_the_kernel_rule_cannot_read(release):
    found = judge("kpatch-patch-5_14_0-427_13_1-1-2.el9_4.x86_64", (f"kpatch-patch = {release}",))
    assert (found.kind, found.kernel_release) == ("not-a-live-patch", "")
    assert found.why == f"it is for kernel {release} by its Provides, but for another by its name"


def test_provides_tell_the_kernel_where_the_name_tells_none():
    assert judge("hotfix-1-1.x86_64", (f"kpatch-patch = {EL9}",)).kernel_release == EL9
    assert judge("hotfix-1-1.x86_64", ("livepatch = 6.6.57.1-6.azl3",)).kernel_release == "6.6.57.1-6.azl3"
    assert judge("hotfix-1-1.x86_64", ("kpatch-patch = 6.12.9-own",)).kernel_release == "6.12.9-own"


@pytest.mark.parametrize(
    "provides, requires",
    [
        (("kpatch-patch = 5.14.0-427.13.2.el9_4.x86_64",), ()),
        ((), ("kernel-uname-r = 5.14.0-427.13.2.el9_4.x86_64",)),
        ((), ("kernel-uname-r", "kernel-uname-r = 5.14.0-427.13.2.el9_4.x86_64")),
        ((f"kpatch-patch = {EL9}",), ("kernel-uname-r = 5.14.0-427.13.2.el9_4.x86_64",)),
        ((f"livepatch(kernel-uname-r:{EL9})",), ("kernel-uname-r = 5.14.0-427.13.2.el9_4.x86_64",)),
    ],
)
def test_a_contradiction_is_no_match(provides, requires):
    found = judge("kpatch-patch-5_14_0-427_13_1-1-2.el9_4.x86_64", provides, requires)
    assert found.kind == "not-a-live-patch" and "kernel 5.14.0" in found.why


@pytest.mark.parametrize(
    "requirement",
    [
        f"kernel-uname-r = {EL9}",
        f"kernel-uname-r={EL9}",
        "kernel-uname-r >= 5.0",
        "(kernel-uname-r = 1 if kernel)",
        "kernel-uname-r",
        "kernel = 5.14.0",
        f"kernel-uname = {OTHER}",
    ],
)
def test_a_requirement_that_agrees_or_says_nothing_changes_nothing(requirement):
    assert judge("kpatch-patch-5_14_0-427_13_1-1-2.el9_4.x86_64", (), (requirement,)).kernel_release == EL9


@pytest.mark.parametrize(
    "release, required, fit",
    [
        (EL9 + "+64k-debug", EL9 + "+64k-debug", True),
        (EL9 + "+64k-debug", EL9 + "+64k_debug", True),
        (EL9 + "+64k-debug", EL9, False),
        ("6.4.0-150600.21-default", "6.4.0-150600.21", True),
        ("6.4.0-150600.21-default", "6.4.0-150600.2", False),
        ("6.4.0-150600.21-default", "6.4.0-150600.21-default", True),
    ],
)
def test_a_requirement_may_be_written_as_a_capability_or_without_flavour(release, required, fit):
    found = judge(
        "fix-1-1.x86_64", (f"livepatch(kernel-uname-r:{release})",), ("bash", f"kernel-uname-r = {required}")
    )
    assert found.kernel_release == (release if fit else "")


def test_of_several_kernels_those_stay_that_the_requirements_allow():
    nevra = names.parse_nevra("fix-1-1.x86_64")
    provides = [f"livepatch(kernel-uname-r:{release})" for release in (OTHER, EL9)]
    found = profiles.match_all(nevra, provides, (f"kernel-uname-r = {EL9}",), RULES)
    assert [m.kernel_release for m in found] == [EL9]


# --- one rule of a profile each ---


@pytest.mark.parametrize(
    "keys, nevra, provides, release",
    [
        # The first rule for Provides that reads any of them is the one that counts.
        (
            "provides = a = {kver}-{krel}\nprovides = b = {kver}-{krel}",
            "x-1-1.x",
            ("b = 6.1-2", "a = 6.1-1"),
            "6.1-1",
        ),
        (
            "provides = a = {kver}-{krel}\nprovides = b = {kver}-{krel}",
            "x-1-1.x",
            ("b = 6.1-2", "c"),
            "6.1-2",
        ),
        ("provides = a(for={kver}-{krel})", "x-1-1.x", ("a(for=6.1-2)",), "6.1-2"),
        # So does the first rule for names.
        ("name = a-{kver}-{krel}\nname = b-{kver}-{krel}", "b-6.1-2-1-1.x", (), "6.1-2"),
        # The version and release of the package have to fit as well.
        ("name = a-{kver}\nevr = {krel}-{number}", "a-6.1-2-1.x", (), "6.1-2"),
        ("name = a-{kver}\nevr = {krel}-{number}", "a-6.1-2-x.x", (), ""),
        ("name = a-{kver}-{krel}\nevr = {krel}-{number}", "a-6.1-2-7-1.x", (), "6.1-2"),
        # Only these kernels.
        ("name = a-{kver}-{krel}\nkernels = 6.1-2. 6.2-", "a-6.1-2-1-1.x", (), "6.1-2"),
        ("name = a-{kver}-{krel}\nkernels = 6.1-2. 6.2-", "a-6.2-9-1-1.x", (), "6.2-9"),
        ("name = a-{kver}-{krel}\nkernels = 6.1-2. 6.2-", "a-6.1-20-1-1.x", (), ""),
        ("name = a-{kver}-{krel}\nnot-kernels = 6.1-2. 6.2-", "a-6.1-2-1-1.x", (), ""),
        ("name = a-{kver}-{krel}\nnot-kernels = 6.1-2. 6.2-", "a-6.2-9-1-1.x", (), ""),
        ("name = a-{kver}-{krel}\nnot-kernels = 6.1-2. 6.2-", "a-6.1-20-1-1.x", (), "6.1-20"),
        # What the name holds beside the kernel contradicts nothing.
        (
            "name = a-{kver}-{krel}.{arch}\nprovides = a = {kver}-{krel}",
            "a-6.1-2.i686-1-1.x",
            ("a = 6.1-2",),
            "6.1-2",
        ),
        (
            "name = a-{kver}-{krel}.{arch}\nprovides = a = {kver}-{krel}",
            "a-6.1-3.i686-1-1.x",
            ("a = 6.1-2",),
            "",
        ),
    ],
)
def test_a_key_decides(keys, nevra, provides, release):
    assert judged(own("kernel = {kver}-{krel}\n" + keys), nevra + "86_64", *provides) == release


@pytest.mark.parametrize("dist, release", [(".el9", "6.1-2.el9"), (".fc40", "6.1-2.fc40"), (".oe1", "")])
@pytest.mark.parametrize("key", ["dists", "name-dists"])
def test_a_vendor_has_its_dist_tags(key, dist, release):
    text = "kernel = {kver}-{krel}{dist}\nname = a-{kver}-{krel}{dist}\n" + key
    assert judged(own(text + " = .el .fc"), f"a-6.1-2{dist}-1-1.noarch") == release


@pytest.mark.parametrize(
    "values, dist",
    [
        ({"dist": ".el9"}, ".el9"),
        ({"base": "4.19.19-8.0.32.xs8"}, ".xs8"),
        ({"base": "4.19.19-8.0.32.xs8.b1.c"}, ".xs8.b1.c"),
        ({"base": "4.19.19-8.0x.3"}, ""),
        ({"base": "4.19.19-8.0.32"}, ""),
        ({"kver": "4.19.19"}, ""),
    ],
)
def test_the_dist_tag_begins_with_a_letter_behind_a_dot(values, dist):
    assert profiles._dist(values) == dist


def test_a_kernel_that_is_not_the_vendors_is_not_found_by_a_name():
    assert judge("kgraft-patch-4_12_14-122_77-default-4-1.x86_64").kernel_release == "4.12.14-122.77-default"
    assert judge("kgraft-patch-4_12_14-197_4-default-4-1.x86_64").kernel_release == ""


def test_a_kernel_release_has_at_most_128_characters():
    for length, found in ((128, True), (129, False)):
        release = "6.1.0-1.123456789.el9" + 3 * ("." + "a" * 30) + ".x86_64"
        release = release.replace(".el9", ".el9" + "b" * (length - len(release)))
        assert len(release) == length
        assert bool(profiles.package_name(release, profiles.find(RULES, "kpatch"))) is found


def test_the_release_number_may_have_a_dist_tag_of_several_parts():
    assert judge("kpatch-patch-5_14_0-427_13_1-0-0.el9_4.alma.x86_64").kind == "empty"
    assert judge("kpatch-patch-5_14_0-427_13_1-0-0.el9_4.alma.x86_64").kernel_release == EL9.replace(
        "el9_4", "el9_4.alma"
    )


def test_a_package_of_another_architecture_is_no_match():
    for capability in (
        f"kpatch-patch = {EL9}",
        f"livepatch(kernel-uname-r:{EL9})",
        f"kpatch-patch = {EL9}+rt",
    ):
        assert judge("kp-1-1.aarch64", (capability,)).kind == "not-a-live-patch"
        assert judge("kp-1-1.x86_64", (capability,)).kernel_release.startswith(EL9)
    assert judge("kpatch-patch-5_14_0-427_13_1-1-2.el9_4.noarch").kind == "not-a-live-patch"


def test_modules_lie_below_their_release_or_build_id():
    profile = own(
        "name = a-{kver}-{krel}\nkernel={kver}-{krel}\n[load]\nmodules = /a/{release}\nmodules = /b"
    )
    assert profiles.directories(profile, "6.1-2") == ("/a/6.1-2", "/b")
    assert profiles.directories(profiles.find(RULES, "kpatch"), EL9, BUILD_ID) == (
        f"/usr/lib/kpatch/{EL9}",
        f"/var/lib/kpatch/{EL9}",
    )


def test_a_lookup_for_a_flavour_asks_only_the_rules_that_can_hold_it():
    keys = "provides = a = {kver}-{krel}\nprovides = b = {kver}-{krel}{variant}"
    found = profiles.lookup("6.1-2+rt", (own("kernel = {kver}-{krel}{variant}\n" + keys),))
    assert found.provides == ("livepatch(kernel-uname-r:6.1-2+rt)", "b = 6.1-2+rt")


def test_a_pattern_is_no_kernel_release():
    rule = profile_file.parse(
        "x", "[profile]\ntitle = t\n[match]\nkernel = {kver}-{krel}*\nname = x-{kver:_}-{krel:_}\n"
    )
    found = profiles.match(names.parse_nevra("x-6_1-2-1-1.x86_64"), (), (), [rule])
    assert (found.kind, found.kernel_release) == ("not-a-live-patch", "")
