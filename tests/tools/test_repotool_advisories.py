# SPDX-License-Identifier: GPL-2.0-or-later
"""A published advisory that gets more packages keeps its texts, CVEs, severity and issue date."""

import createrepo_c as cr
import pytest

from dnf_plugin_livepatch.base.model import Manifest, Nevra, Unfixable
from dnf_plugin_livepatch.repotool import advisories
from dnf_plugin_livepatch.repotool.advisories import Draft, Incoming
from dnf_plugin_livepatch.repotool.repository import metadata
from dnf_plugin_livepatch.repotool.repository.view import Package
from dnf_plugin_livepatch.repotool.settings import Settings
from dnf_plugin_livepatch.toolkit.errors import ToolError

A, B = "5.14.0-427.13.1.el9_4.x86_64", "5.14.0-427.16.1.el9_4.x86_64"
FIRST, LATER = "2026-11-20T10:00:00Z", "2026-11-22T10:00:00Z"
NAME = "EX-2026:1"
TEXTS = {
    "title": "A title",
    "summary": "A summary.",
    "description": "A description.\nIt has two lines.",
    "solution": "A solution.",
    "rights": "A right.",
}


def incoming(release, cves=(), severity="", unfixable=()):
    nevra = Nevra("kpatch-patch-" + release.split("-")[1].replace(".", "_"), "0", "1", "1.el9_4", "x86_64")
    package = Package(
        nevra,
        f"Packages/0/{nevra}.rpm",
        checksum="ab" * 32,
        source="x.src.rpm",
        kind="patch",
        kernels=(release,),
    )
    manifest = Manifest(
        module="kp",
        kernel_release=release,
        build_id="",
        cves=tuple(cves),
        severity=severity,
        unfixable=tuple(Unfixable(*pair) for pair in unfixable),
    )
    return Incoming(package, (manifest,))


def step(existing, item, entry=None, settings=None, now=LATER):
    draft = Draft(NAME, entry or {}, (item,))
    return advisories.merge(existing, [draft], settings or Settings(), now)[0]


def extended(first, second, entry=None, more=None, settings=None):
    """The advisory of ``first`` with ``entry``, once ``second`` with ``more`` is published under its id."""
    (update,) = step(step([], first, entry, now=FIRST), second, more, settings)
    return update.record()


def view(*args, **named):
    return metadata.advisory_view(extended(*args, **named))


def test_texts_made_of_the_manifests_tell_of_both_kernels():
    found = view(
        incoming(A, ["CVE-2024-1086"], "Important", [("CVE-2022-4269", "changes data")]),
        incoming(B, ["CVE-2024-26642"], "", [("CVE-2022-1", "changes layout")]),
    )
    assert found.title == f"Live patch for kernel {A}, {B}"
    assert found.summary.startswith("Closes 2 CVE(s)")
    for line in (
        f"Cumulative live patch for kernel {A}.",
        f"Cumulative live patch for kernel {B}.",
        "* CVE-2024-1086",
        "* CVE-2024-26642",
        "* CVE-2022-4269: changes data",
        "* CVE-2022-1: changes layout",
    ):
        assert found.description.splitlines().count(line) == 1, found.description
    assert found.cves == ("CVE-2024-1086", "CVE-2024-26642")
    assert (found.issued, found.updated, found.version) == (FIRST, LATER, "2")
    assert len(found.packages) == 2


def test_a_third_package_keeps_what_the_second_kept():
    third = A.replace("427.13", "427.18")
    updates = step([], incoming(A, ["CVE-2024-1"]))
    for release in (B, third):
        updates = step(updates, incoming(release, ["CVE-2024-1"]))
    assert metadata.advisory_view(updates[0].record()).title == f"Live patch for kernel {A}, {B}, {third}"


@pytest.mark.parametrize(
    "before, after, more, severity",
    [
        ("Important", "", None, "Important"),
        ("Important", "Low", None, "Important"),
        ("Low", "Critical", None, "Critical"),
        ("", "", None, ""),
        ("Important", "", {"severity": "Low"}, "Low"),
    ],
)
def test_the_higher_severity_stays_unless_the_publisher_says_one(before, after, more, severity):
    first, second = (
        incoming(A, ["CVE-2024-1"], before),
        incoming(B, ["CVE-2024-1"], after),
    )
    assert view(first, second, more=more).severity == severity


def test_what_the_publisher_wrote_stays_until_he_writes_something_else():
    entry = {
        **TEXTS,
        "severity": "Critical",
        "references": [{"type": "cve", "id": "CVE-2024-1", "href": "https://example.com/1", "title": "One"}],
    }
    first, second = incoming(A, ["CVE-2024-1"]), incoming(B, ["CVE-2024-1"])
    kept = extended(first, second, entry, settings=Settings(rights="Other rights."))
    assert {name: getattr(kept, name) for name in TEXTS} == TEXTS
    assert kept.severity == "Critical"
    assert [(one.href, one.title) for one in kept.references] == [("https://example.com/1", "One")]
    other = {name: text + " New." for name, text in TEXTS.items()}
    told = extended(first, second, entry, other)
    assert {name: getattr(told, name) for name in TEXTS} == other


def test_a_kernel_named_in_the_title_alone_is_named_again():
    found = view(incoming(A, ["CVE-2024-1"]), incoming(B, ["CVE-2024-1"]), {"description": "Words."})
    assert found.title == f"Live patch for kernel {A}, {B}" and found.description == "Words."


def test_the_issue_date_stays_and_cannot_be_given_anew():
    first, second = incoming(A, ["CVE-2024-1"]), incoming(B, ["CVE-2024-1"])
    with pytest.raises(ToolError) as caught:
        view(first, second, {"issued": FIRST}, {"issued": LATER})
    assert caught.value.id == "advisory-changed"


def test_a_day_that_no_calendar_has_is_refused():
    package, (manifest,) = incoming(A)
    with pytest.raises(ToolError) as caught:
        step([], Incoming(package, (manifest._replace(issued="2026-02-30"),)))
    assert caught.value.text == f"{NAME}: issued 2026-02-30: no such day"


def test_a_severity_of_another_tool_keeps_no_package_away():
    (update,) = step([], incoming(A, ["CVE-2024-1"]))
    record = update.record()
    assert isinstance(record, cr.UpdateRecord)
    record.severity = "Horrible"
    (after,) = step([metadata.update_of(record)], incoming(B, ["CVE-2024-1"], "Low"))
    assert after.record().severity == "Low"
