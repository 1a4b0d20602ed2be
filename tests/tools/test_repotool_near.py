# SPDX-License-Identifier: GPL-2.0-or-later
"""Good repositories close to a fault, and kernels whose end of support only the record has."""

import pytest

from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.repotool.lint import advisories
from dnf_plugin_livepatch.repotool.lint.catalogue import CATALOGUE
from dnf_plugin_livepatch.repotool.lint.context import Context
from dnf_plugin_livepatch.repotool.repository import view
from tests.tools.support import repositories as support
from tests.tools.support.lint_cases import (
    KERNEL,
    NAME,
    OTHER,
    Repo,
    advisory,
    kernel_package,
    listed,
    package,
    reference,
)

THERE = support.patch_name(OTHER)
NEAR = {}


def near(check, *, extra=()):
    """Register the change after which the good repository must still pass ``check``.

    ``extra`` are the checks that rightly find something then; a finding of any other check is a fault.
    """

    def register(change):
        NEAR.setdefault(check, []).append((change, set(extra)))
        return change

    return register


def add(made, one, *references, name="EX-9"):
    made.packages.append(one)
    made.advisories.append(advisory(name, [listed(one)], list(references) or None))
    return one


def other_kernel(made, **more):
    """A live patch of another kernel, which is offered too."""
    made.packages.append(kernel_package(OTHER, 901))
    return add(made, package(THERE, "1.el9_5", kernel=OTHER, **{"number": 7, **more}))


@near("patch-order")
def _(made):
    """Two builds of the same second."""
    when = made.one.time_build
    made.replace(made.two, package(release="2.el9_4", number=2, built=when))


@near("patch-order")
def _(made):
    """Release 10 is above release 2, though not as text."""
    add(made, package(release="10.el9_4", number=10, built=made.two.time_build + 1))


@near("patch-order")
def _(made):
    """A vendor's package without a build time."""
    made.replace(made.two, package(release="2.el9_4", number=2, built=0))


@near("patch-order", extra=["support-end-unknown"])
def _(made):
    """A higher version built before, for another kernel."""
    other_kernel(made, version="9", built=1000)


@near("module-duplicate", extra=["support-end-unknown"])
def _(made):
    """The same module name for another kernel."""
    other_kernel(made, module=f"/usr/lib/modules/{OTHER}/livepatch/kp_1.ko")


@near("module-duplicate")
def _(made):
    """A name that begins like another."""
    path = f"/usr/lib/modules/{KERNEL}/livepatch/kp_1_2.ko"
    made.replace(made.two, package(release="2.el9_4", number=2, module=path))


@near("module-duplicate")
def _(made):
    """Debugging data that contains the module again."""
    path = f"/usr/lib/debug/usr/lib/modules/{KERNEL}/livepatch/kp_1.ko"
    made.packages.append(package(NAME + "-debuginfo", number=8, module=path, manifest=""))


@near("patch-rivals")
def _(made):
    """The subscription to the live patches, of the same name."""
    add(made, package(release="0", version="0", number=8, module="", manifest=""))


@near("patch-rivals")
def _(made):
    """Debugging data, which provides what its patch does."""
    made.packages.append(package(NAME + "-debuginfo", number=8, module="", manifest=""))


@near("patch-rivals", extra=["support-end-unknown"])
def _(made):
    """Another name, for another kernel."""
    other_kernel(made)


@near("kernel-without-patch")
def _(made):
    """Not offered by any given repository."""
    made.context["supported"] = {OTHER: "2027-01-01"}


@near("kernel-without-patch")
def _(made):
    """Its support ended yesterday."""
    made.packages.append(kernel_package(OTHER, 901))
    made.context["supported"] = {OTHER: "2026-11-21"}


@near("kernel-without-patch")
def _(made):
    """Its end of support is unknown."""
    made.packages.append(kernel_package(OTHER, 901))


@near("kernel-without-patch")
def _(made):
    """A subscription is there, as long as nothing is to be fixed."""
    made.packages.append(kernel_package(OTHER, 901))
    made.context["supported"] = {OTHER: "2027-01-01"}
    add(made, package(THERE, "0", "0", kernel=OTHER, number=8, module="", manifest=""))


@near("kernel-without-patch")
def _(made):
    """The record itself says that its support has ended."""
    made.packages.append(kernel_package(OTHER, 901))
    recorded(made, "2026-11-21")


@near("patch-installonly")
def _(made):
    """The kernel provides it, and the patch requires it."""
    kernel = made.packages[-1]
    kernel.provides = [*kernel.provides, ("installonlypkg(kernel)", None, None, None, None, False)]
    made.two.requires = [*made.two.requires, ("installonlypkg(kernel)", None, None, None, None, False)]


@near("patch-installonly")
def _(made):
    """Capabilities that dnf does not know as install-only."""
    also = [
        (name, None, None, None, None, False) for name in ("installonlypkg(livepatch)", "kernel-livepatch")
    ]
    made.replace(made.two, package(release="2.el9_4", number=2, also=also))


@near("advisory-cve-lost")
def _(made):
    """Two advisories of one build that name its CVEs together."""
    made.advisories[1] = advisory("EX-2", [listed(made.two)], [reference(name="CVE-2024-9999")])
    made.advisories.append(advisory("EX-3", [listed(made.two)]))


@near("advisory-cve-lost", extra=["advisory-cve-unlisted"])
def _(made):
    """The package's own capabilities still name the CVE."""
    also = [("livepatch-cve(CVE-2024-1086)", None, None, None, None, False)]
    made.replace(made.two, package(release="2.el9_4", number=2, also=also))
    made.advisories[1] = advisory("EX-2", [listed(made.two)], [reference(name="CVE-2024-9999")])


@near("advisory-cve-lost", extra=["support-end-unknown"])
def _(made):
    """Another kernel's patch never closed it."""
    made.packages.append(kernel_package(OTHER, 901))
    made.packages.append(package(THERE, "9.el9_5", kernel=OTHER, number=7))
    made.advisories.append(advisory("EX-9", [listed(made.packages[-1])], [reference(name="CVE-2025-1111")]))


@near("advisory-cve-lost")
def _(made):
    """Only the later build closes it."""
    both = [reference(), reference(name="CVE-2025-1111")]
    made.advisories[1] = advisory("EX-2", [listed(made.two)], both)


@near("advisory-package-differs")
def _(made):
    """SUSE's advisories leave out an epoch of 0."""
    made.advisories[1] = advisory("EX-2", [listed(made.two, epoch=None)])


@pytest.mark.parametrize(
    "check, change, extra",
    [
        pytest.param(check, change, extra, id=f"{check}-{number}")
        for check, changes in NEAR.items()
        for number, (change, extra) in enumerate(changes)
    ],
)
def test_a_repository_that_is_nearly_wrong_is_let_pass(tmp_path, check, change, extra):
    made = Repo(tmp_path / "lint")
    change(made)
    assert check in CATALOGUE
    assert {item.check for item in made.lint()} - extra == {"metadata-unsigned"}


def recorded(made, end):
    """The record of the repository has the end of support of the kernel OTHER."""
    kernels = {**made.record.kernels, OTHER: repository_record.KernelNote(end)}
    made.record = repository_record.Record(support.NOW, kernels)


@pytest.mark.parametrize("end", ["2027-01-01", "2026-11-22", "2026-11-22T21:00:00Z"])
def test_a_kernel_that_only_the_record_calls_supported_is_missed(tmp_path, end):
    made = Repo(tmp_path / "lint")
    made.packages.append(kernel_package(OTHER, 901))
    recorded(made, end)
    (found,) = [item for item in made.lint() if item.check == "kernel-without-patch"]
    assert found.subject == OTHER and end in found.text


def test_the_settings_count_where_the_record_is_behind(tmp_path):
    made = Repo(tmp_path / "lint")
    made.packages.append(kernel_package(OTHER, 901))
    recorded(made, "2026-01-01")
    made.context["supported"] = {OTHER: "2027-01-01"}
    assert "kernel-without-patch" in {item.check for item in made.lint()}


@pytest.mark.parametrize("listing", ["superseded", "missing", "epoch"])
def test_many_builds_are_compared_no_more_often_than_they_are_many(monkeypatch, listing):
    """Each advisory lists a build that is not there, as after a prune."""
    compared = []

    def counted(one, two):
        compared.append(one)
        return view.compare_evr(one, two)

    monkeypatch.setattr(advisories, "compare_evr", counted)
    count = 3000
    base = Nevra("kpatch-patch", "0", "2", "1", "x86_64")
    offered = [base._replace(release=str(number)) for number in range(count)]
    change = {"superseded": {"version": "1"}, "missing": {"version": "3"}, "epoch": {"epoch": "1"}}[listing]
    packages = tuple(view.Package(nevra=nevra, location="x", checksum="x", kind="") for nevra in offered)
    told = [
        view.Advisory(
            f"A-{nevra.release}", "bugfix", packages=(view.ListedPackage(nevra._replace(**change)),)
        )
        for nevra in offered
    ]
    seen = view.View("x", "", packages, tuple(told), (), None)
    found = [check for check, _, _ in advisories.check(seen, Context("2026-11-27T00:00:00Z"))]
    wanted = {"epoch": "differs"}.get(listing, listing)
    assert found.count(f"advisory-package-{wanted}") == count
    assert len(compared) < 3 * count
