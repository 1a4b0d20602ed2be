# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a repository and the status of a host that reads the same repository name the same CVEs."""

import datetime
import re
import shutil
import types

import dnf
import hawkey
import pytest

from dnf_plugin_livepatch.base import model
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.exposure.debt import coverage, debt_of
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.host.report import text
from dnf_plugin_livepatch.repotool import report, settings
from dnf_plugin_livepatch.repotool.repository import metadata, reading, rpms
from tests.tools.support import repositories as support
from tests.tools.support.lint_cases import (
    NAME,
    V1,
    V2,
    Repo,
    advisory,
    kernel_package,
    listed,
    package,
    reference,
)
from tests.tools.support.repositories import KERNEL

LATER, LATEST = "5.14.0-427.22.1.el9_4.x86_64", "5.14.0-503.11.1.el9_5.x86_64"
ISSUED, UPDATED = datetime.datetime(2026, 10, 1), datetime.datetime(2026, 10, 9)
FIRST, SECOND, THIRD, OLD = "CVE-2024-1086", "CVE-2024-26642", "CVE-2025-21756", "CVE-2023-4244"
UNFIXABLE = {"cve": THIRD, "reason": "changes data that is allocated already"}
TYPES = {
    hawkey.ADVISORY_SECURITY: "security",
    hawkey.ADVISORY_BUGFIX: "bugfix",
    hawkey.ADVISORY_ENHANCEMENT: "enhancement",
    hawkey.ADVISORY_NEWPACKAGE: "newpackage",
}


def fix(name, kernel, *cves, **more):
    return advisory(name, [listed(kernel)], [reference(name=cve) for cve in cves], issued=ISSUED, **more)


@pytest.fixture
def made(tmp_path):
    """Two live patches for a kernel that three CVEs, of two later kernels, concern."""
    repo = Repo(tmp_path / "repo")
    repo.kernels = [kernel_package(KERNEL), kernel_package(LATER, 901), kernel_package(LATEST, 902)]
    repo.packages = [repo.one, repo.two, *repo.kernels]
    running, later, latest = repo.kernels
    repo.advisories += [
        fix("K-0", running, OLD),
        fix("K-1", later, FIRST, SECOND, severity="Moderate", updated=UPDATED),
        fix("K-2", latest, THIRD, OLD, severity="Critical"),
    ]
    return repo


def on_host(folder, running, patch, manifests=()):
    """The exposure of a host that runs ``running`` with ``patch`` in force, read by libdnf."""
    with dnf.Base() as base:
        conf = base.conf
        conf.cachedir, conf.persistdir = str(folder.parent / "cache"), str(folder.parent / "persist")
        conf.pluginpath, conf.reposdir, conf.varsdir = [], [], []
        conf.substitutions["releasever"] = "9"
        repo = base.repos.add_new_repo("here", conf, baseurl=[folder.as_uri()])
        repo.add_metadata_type_to_download("livepatch")
        base.fill_sack(load_system_repo=False)
        content = repo.get_metadata_content("livepatch")
        record = repository_record.parse(content) if content else repository_record.Record()
        query = base.sack.query()
        kernels = [item for item in query if item.name in ("kernel-core", "kernel")]
        main = min((item for item in kernels if item.evr == running), key=lambda item: -len(item.name))
        rows = {}
        for item in query:
            every = hawkey.EQ | hawkey.GT | hawkey.LT
            for told in item.get_advisories(every):
                rows[told.id] = translated(told, main.name)
        newest = max((item for item in kernels if item.name == main.name), key=lambda item: item)
        debt, quality, reason = debt_of(nevra(main), rows.values(), base.sack.evr_cmp, newest.evr)
        builds = [nevra(item) for item in query if item.name == NAME]
        inputs = compute.Inputs(
            KERNEL,
            quality=quality,
            reason=reason,
            debt=debt,
            cover=coverage(rows.values(), [NAME], builds, base.sack.evr_cmp),
            unfixable=record.kernels[KERNEL].unfixable if KERNEL in record.kernels else (),
        )
        cves = tuple(cve for manifest in manifests for cve in manifest.cves)
        in_force = [model.InForce("module", patch, cves)] if patch else []
        unfixable = [item for manifest in manifests for item in manifest.unfixable]
        return compute.compute(inputs, in_force, unfixable)


def nevra(item):
    return model.Nevra(item.name, str(item.epoch), item.version, item.release, item.arch)


def translated(told, main):
    packages = set()
    for item in told.packages:
        epoch, version, release = re.fullmatch(r"(?:(\d+):)?([^-]+)-([^-]+)", item.evr).groups()
        name = main if item.name in ("kernel", "kernel-core") else item.name
        packages.add(model.Nevra(name, epoch or "0", version, release, item.arch))
    return model.Advisory(
        told.id,
        TYPES.get(told.type, "unknown"),
        told.severity or "",
        "",
        told.updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
        tuple(sorted({item.id for item in told.references if (item.id or "").startswith("CVE-")})),
        tuple(sorted(packages)),
    )


def withdraw_the_newest(made):
    made.patch_note(V2, withdrawn=repository_record.Withdrawn(support.NOW, "oops"))
    return V1


def list_only_what_is_new(made):
    """Each build's advisory lists only the CVEs that the build adds, as some vendors publish."""
    made.advisories[1] = advisory("EX-2", [listed(made.two)], [reference(name=SECOND)])


def name_the_other_package(made):
    """Advisories list ``kernel``, while ``kernel-core`` provides the release, as some vendors publish."""
    for index, one in enumerate(tuple(made.kernels)):
        other = package(
            "kernel", one.release, one.version, number=950 + index, requires=[], supplements=[],
            provides=[("kernel", "EQ", "0", one.version, one.release, False)], module="", manifest="",
        )  # fmt: skip
        made.packages.append(other)
        made.advisories[2 + index] = fix(f"K-{index}", other, *[(OLD,), (FIRST, SECOND), (THIRD,)][index])


def name_no_type(made):
    made.advisories[3] = fix("K-1", made.kernels[1], FIRST, type="feature")


def give_cves_another_type(made):
    references = [reference("bugzilla", FIRST), reference("other", SECOND)]
    made.advisories[3] = advisory("K-1", [listed(made.kernels[1])], references, issued=ISSUED)


def call_one_unfixable(made):
    made.note(unfixable=(model.Unfixable(**UNFIXABLE),))


def have_no_record(made):
    made.text = ""


def leave_the_newest_kernel_unlisted(made):
    made.packages.append(kernel_package("5.14.0-570.1.1.el9_6.x86_64", 903))


def have_no_advisory_of_kernels(made):
    made.advisories = made.advisories[:2]


CHANGES = (
    withdraw_the_newest,
    list_only_what_is_new,
    name_the_other_package,
    name_no_type,
    give_cves_another_type,
    call_one_unfixable,
    have_no_record,
    leave_the_newest_kernel_unlisted,
    have_no_advisory_of_kernels,
)


def page_of(made):
    view = reading.read(str(made.folder), ())
    return next(
        page
        for page in report.build(view, (), settings.Settings(), support.NOW).kernels
        if page.release == KERNEL
    )


def assert_agreement(page, exposure):
    assert (page.quality, page.reason) == (exposure.quality, exposure.reason)
    told = {cell.cve: cell for cell in page.cells if cell.advisory}
    assert set(told) == {row.cve for row in exposure.rows}
    for row in exposure.rows:
        cell = told[row.cve]
        for name in ("state", "advisory", "severity", "fixed_in", "reason", "dated", "date_kind"):
            assert getattr(cell, name) == getattr(row, name), f"{row.cve}: {name}"
    for state in (model.OPEN, model.REBOOT_ONLY):
        rows = [row for row in exposure.rows if row.state == state]
        status = types.SimpleNamespace(exposure=exposure, rows=lambda _, rows=rows: rows)
        assert page.number(state) == text.count(status, state)
    assert {cell.state for cell in page.cells if not cell.advisory} <= {model.CLOSED_LIVE}


@pytest.mark.parametrize("change", [lambda made: None, *CHANGES])
def test_the_report_and_the_host_name_the_same_cves(made, change):
    patch = change(made) or V2
    made.write()
    page = page_of(made)
    assert page.newest == patch
    assert_agreement(page, on_host(made.folder, "5.14.0-427.13.1.el9_4", patch))


def test_the_states_differ_where_they_should(made):
    call_one_unfixable(made)
    made.write()
    cells = {cell.cve: cell for cell in page_of(made).cells}
    assert {cve: cell.state for cve, cell in cells.items()} == {
        FIRST: model.CLOSED_LIVE,
        SECOND: model.OPEN,
        THIRD: model.REBOOT_ONLY,
    }
    assert cells[THIRD].reason == UNFIXABLE["reason"] and cells[FIRST].by == V2
    assert cells[SECOND].dated == "2026-10-09T00:00:00Z"


def test_without_a_record_the_manifest_in_the_package_counts_as_on_the_host(made, tmp_path):
    """Without a record only the package has the end of support, the date and the unfixable CVEs."""
    (rpm,) = support.build(
        tmp_path / "b", manifests=[support.manifest(cves=[FIRST], unfixable=[UNFIXABLE])], number="3"
    )
    built = rpms.read(str(rpm), f"Packages/{rpm.name}")
    made.packages.append(built)
    have_no_record(made)
    made.write()
    (made.folder / "Packages").mkdir()
    shutil.copy(rpm, made.folder / "Packages")
    page = page_of(made)
    inside = rpms.manifests(str(rpm), metadata.package_view(built).files)
    assert page.newest == f"{NAME}-1-3.el9_4.x86_64" and page.support_end == "2027-05-01"
    assert_agreement(page, on_host(made.folder, "5.14.0-427.13.1.el9_4", page.newest, inside))
    assert {cell.cve: cell.state for cell in page.cells}[THIRD] == model.REBOOT_ONLY
    site = report.build(reading.read(str(made.folder), ()), (), settings.Settings(), support.NOW)
    dates = {patch.nevra: patch.issued for patch in site.patches}
    assert dates[page.newest] == "2026-11-20T10:00:00Z" and dates[V2] == "2026-11-01T00:00:00Z"
