# SPDX-License-Identifier: GPL-2.0-or-later
"""The set that should be in force: which kept copies stand in for what is installed."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.host.files.guard_file import CopiedSet, Guard, GuardEntry
from dnf_plugin_livepatch.host.reconcile import desired

RELEASE, BOOT = "6.12.1-1.x86_64", "this-boot"
NEWEST, PROVED = "lp-3-1.x86_64", "lp-1-1.x86_64"


def best(guard: Guard, withdrawn: dict[str, str] | None = None) -> str:
    found = desired.best_copy(guard, RELEASE, BOOT, lambda _: (), withdrawn or {})
    return found.nevra if found is not None else ""


@pytest.fixture
def guard() -> Guard:
    """Copies of two packages, the newest first, as reconcile keeps them; the older one has been good."""
    made = Guard()
    made.copies = [CopiedSet(NEWEST, RELEASE, ()), CopiedSet(PROVED, RELEASE, ())]
    made.entries[NEWEST] = GuardEntry("idle", "old")
    made.entries[PROVED] = GuardEntry("idle", "old", proved=True)
    return made


def test_a_kept_set_that_proved_good_goes_before_a_newer_one(guard: Guard) -> None:
    assert best(guard) == PROVED


def test_of_kept_sets_that_nobody_knows_the_newest_is_taken(guard: Guard) -> None:
    guard.entries.clear()
    assert best(guard) == NEWEST


def test_a_blocked_kept_set_is_not_taken(guard: Guard) -> None:
    guard.entries[PROVED] = guard.entries[PROVED]._replace(state="blocked")
    assert best(guard) == NEWEST


def test_a_withdrawn_kept_set_is_not_taken(guard: Guard) -> None:
    assert best(guard, {PROVED: "it smells"}) == NEWEST


def test_a_kept_set_that_the_administrator_unloaded_is_not_taken(guard: Guard) -> None:
    guard.unloaded[PROVED] = BOOT
    assert best(guard) == NEWEST


def test_a_kept_set_of_another_kernel_is_not_taken(guard: Guard) -> None:
    guard.copies = [item._replace(release="6.12.2-1.x86_64") for item in guard.copies]
    assert best(guard) == ""
