# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmarks' repositories and their arithmetic; `make bench` runs the benchmarks themselves."""

import pytest

from bench import bench_dnf, bench_exposure, bench_publish, pairs, records
from dnf_plugin_livepatch.repotool.repository import reading


def test_the_repository_of_the_dnf_benchmark_has_patches_advisories_and_a_record(tmp_path):
    bench_dnf._repository(str(tmp_path), 20)
    view = reading.read(str(tmp_path), ())
    assert len(view.patches) == 20 and len(view.advisories) == 2 and not view.record_fault
    notes = {nevra for note in view.record.kernels.values() for nevra in note.patches}
    assert notes == {str(package.nevra) for package in view.patches}
    listed = {item.nevra for advisory in view.advisories for item in advisory.packages}
    assert listed == {package.nevra for package in view.patches}


def test_the_repository_of_the_publish_benchmark_is_one_of_live_patches(tmp_path):
    bench_publish._repository(str(tmp_path), 30)
    view = reading.read(str(tmp_path), ())
    assert len(view.patches) == 30 and len(view.record.kernels) == 3 and not view.warnings
    assert {len(package.own_cves) for package in view.patches} == {20}


def test_an_advisory_of_twenty_is_about_a_kernel(tmp_path):
    updates = [bench_exposure._advisory(number) for number in range(40)]
    records.repository(str(tmp_path), [bench_exposure._package(0)], updates, kinds=("primary",))
    view = reading.read(str(tmp_path), ())
    kernels = [one for one in view.advisories if one.packages[0].nevra.name == bench_exposure.NAME]
    assert [one.id for one in kernels] == ["B-0", "B-20"] and len(view.packages) == 1


@pytest.mark.parametrize(("limit", "ok"), [(None, True), (2.1, True), (1.9, False)])
def test_a_ratio_is_the_median_of_the_ratios_within_pairs(monkeypatch, limit, ok):
    """The machine slows down by ten times from pair to pair, and every ratio stays two."""
    taken, calls = iter([1, 1, *(2, 1), *(10, 20), *(200, 100)]), []
    monkeypatch.setattr(pairs, "_once", lambda run: (run(), (float(seconds := next(taken)), seconds))[1])
    row = pairs.measure("x", lambda: calls.append("one"), lambda: calls.append("other"), limit, 3)
    assert calls == ["one", "other"] + ["one", "other"] + ["other", "one"] + ["one", "other"]
    assert row["cpu"]["ratio"] == row["wall"]["ratio"] == 2 and row["ok"] is ok


def test_a_failing_side_is_no_measurement():
    with pytest.raises(RuntimeError, match="exit 3"):
        pairs.command(["sh", "-c", "exit 3"])()
    pairs.command(["sh", "-c", "exit 3"], good=(0, 3))()
