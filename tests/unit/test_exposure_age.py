# SPDX-License-Identifier: GPL-2.0-or-later
"""Advisories that are old or incomplete, and the end of the live patches for a kernel."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.base import model
from dnf_plugin_livepatch.exposure import compute, support

NOW, OLDEST = "2026-11-22T12:00:00Z", "2026-11-15T12:00:00Z"
FRESH = compute.Inputs("R", quality=model.EXACT, as_of=NOW)


def stale(when: str) -> str:
    return f"the repositories {when}; run 'dnf livepatch update --check'"


@pytest.mark.parametrize("as_of", [OLDEST, "2026-11-20T00:00:00Z", NOW])
def test_advisories_of_the_last_days_count(as_of: str) -> None:
    inputs = FRESH._replace(as_of=as_of)
    assert compute.aged(inputs, NOW, OLDEST) == inputs


@pytest.mark.parametrize(
    ("as_of", "reason"),
    [
        ("2026-11-15T11:59:59Z", stale("were last read on 2026-11-15T11:59:59Z")),
        ("2026-11-22T12:00:01Z", stale("were last read on 2026-11-22T12:00:01Z")),
        ("", stale("were never read")),
    ],
)
def test_older_and_later_ones_do_not(as_of: str, reason: str) -> None:
    found = compute.aged(FRESH._replace(as_of=as_of), NOW, OLDEST)
    assert (found.quality, found.reason) == (model.UNKNOWN, reason)


@pytest.mark.parametrize("as_of", ["", "2025-01-01T00:00:00Z"])
@pytest.mark.parametrize("vain", [OLDEST, NOW])
def test_to_read_again_is_not_advised_where_that_brought_nothing(as_of: str, vain: str) -> None:
    known = FRESH._replace(as_of=as_of, reason="no updateinfo", read_in_vain=vain)
    assert compute.aged(known, NOW, OLDEST) == known._replace(quality=model.UNKNOWN)


@pytest.mark.parametrize("vain", ["2026-11-15T11:59:59Z", "2026-11-22T12:00:01Z"])
def test_after_a_while_it_is(vain: str) -> None:
    known = FRESH._replace(as_of="2025-01-01T00:00:00Z", reason="no updateinfo", read_in_vain=vain)
    found = compute.aged(known, NOW, OLDEST)
    assert (found.reason, found.read_in_vain) == (f"no updateinfo; {stale(f'were last read on {vain}')}", "")


def test_an_earlier_reason_is_kept() -> None:
    found = compute.aged(FRESH._replace(as_of="", reason="no updateinfo"), NOW, OLDEST)
    assert found.reason == f"no updateinfo; {stale('were never read')}"


def test_repositories_that_were_left_out_are_noted_without_a_revision() -> None:
    inputs = FRESH._replace(repositories=(("updates", "7"), ("base", "3")))
    found = compute.doubted(inputs, ("updates", "extras"))
    assert found.repositories == (("base", "3"), ("extras", ""), ("updates", ""), ("updates", "7"))


@pytest.mark.parametrize("before", ["", "no updateinfo"])
def test_repositories_that_were_left_out_are_named_after_an_earlier_reason(before: str) -> None:
    found = compute.doubted(FRESH._replace(reason=before), ("updates", "extras"))
    assert (
        found.reason
        == (before and before + "; ") + "left out when the repositories were read: updates, extras"
    )


def test_an_unknown_exposure_names_kernel_and_reason() -> None:
    found = compute.unknown("5.14.0", "no updateinfo")
    assert found == compute.Inputs("5.14.0", quality=model.UNKNOWN, reason="no updateinfo")


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("", ""),
        ("2026-12-31T00:00:00Z", ""),
        ("2026-12-07", ""),
        ("2026-12-06", "Live patches for kernel 5.14.0 end on 2026-12-06, in 14 days."),
        ("2026-12-02", "Live patches for kernel 5.14.0 end on 2026-12-02, in 10 days."),
        ("2026-11-22T23:00:00Z", "Live patches for kernel 5.14.0 end on 2026-11-22, in 0 days."),
        (
            "2026-11-21T23:00:00Z",
            "Live patches for kernel 5.14.0 ended on 2026-11-21: new CVEs are closed only by a reboot.",
        ),
    ],
)
def test_the_end_of_support_is_told_when_it_is_near(end: str, text: str) -> None:
    found = support.warning("5.14.0", end, NOW, 14)
    assert (found.text if found else "") == text


def module(end: str, *never: str) -> model.InstalledModule:
    unfixable = tuple(model.Unfixable(cve, "data") for cve in never)
    manifest = model.Manifest("lp", "R", "aa", support_end=end, unfixable=unfixable)
    return model.InstalledModule("lp", "/lp.ko", "", manifest)


def patch(*modules: model.InstalledModule, never: tuple[str, ...] = ()) -> model.InstalledPatch:
    nevra = model.Nevra("lp", "0", "1", "1", "x86_64")
    unfixable = tuple(model.Unfixable(cve, "data") for cve in never)
    return model.InstalledPatch(nevra, "livepatch", "R", "patch", "kernel", modules, (), unfixable)


PLAIN = model.InstalledModule("vendors", "/v.ko", "", None)


@pytest.mark.parametrize(
    ("publisher", "manifests", "window", "end"),
    [
        ("2027-01-01", ("2028-01-01",), "2029-01-01", "2027-01-01"),
        ("", ("2027-01-01", "2028-01-01", "2026-01-01"), "2029-01-01", "2028-01-01"),
        ("", ("", ""), "2029-01-01", "2029-01-01"),
        ("", (), "2029-01-01", "2029-01-01"),
        ("", (), "", ""),
    ],
)
def test_the_end_of_support_by_the_publisher_or_a_manifest_or_the_vendor(
    publisher: str, manifests: tuple[str, ...], window: str, end: str
) -> None:
    inputs = FRESH._replace(support_end=publisher, window_end=window)
    installed = [patch(PLAIN), *(patch(PLAIN, module(when)) for when in manifests)]
    assert support.support_end(inputs, installed) == end


def test_what_no_live_patch_can_close_is_listed_once() -> None:
    installed = [
        patch(PLAIN, module("", "B", "C"), module("", "D"), never=("A", "B")),
        patch(never=("C", "E")),
    ]
    assert [item.cve for item in support.unfixable(installed)] == ["A", "B", "C", "D", "E"]
    assert support.unfixable([patch(PLAIN)]) == ()
