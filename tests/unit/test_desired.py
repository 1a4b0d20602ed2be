# SPDX-License-Identifier: GPL-2.0-or-later
"""The set that should be in force, the kept copies that stand in for it, and the way to get there."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.base.model import InstalledModule, InstalledPatch, LoadedPatch, Manifest
from dnf_plugin_livepatch.base.names import parse_nevra
from dnf_plugin_livepatch.host.files.guard_file import CopiedSet, Guard, GuardEntry, Owned
from dnf_plugin_livepatch.host.packages.installed import Installed
from dnf_plugin_livepatch.host.reconcile import desired
from dnf_plugin_livepatch.host.reconcile.desired import Choice, LoadPlan, Unload, Wanted

RELEASE, BOOT, OTHER = "6.12.1-1.x86_64", "this-boot", "6.12.2-1.x86_64"
NEWEST, PROVED = "lp-3-1.x86_64", "lp-1-1.x86_64"
NEW, OLD = "lp-2-1.x86_64", "lp-1-1.x86_64"
MODULE = InstalledModule("lp_1", "/lp_1.ko", "0" * 64, None)


def best(guard: Guard, withdrawn: dict[str, str] | None = None) -> str:
    found = desired.best_copy(guard, RELEASE, BOOT, lambda _: (MODULE,), withdrawn or {})
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


# --- the choice ---


def module(name: str = "lp", replace: bool = True) -> InstalledModule:
    return InstalledModule(name, f"/m/{name}.ko", "", Manifest(name, RELEASE, "aa", replace=replace))


def patch(nevra: str, release: str = RELEASE, kind: str = "patch", loader: str = "kernel") -> InstalledPatch:
    build = parse_nevra(nevra)
    cves = (f"CVE-2026-{build.version}000",)
    return InstalledPatch(build, "livepatch", release, kind, loader, (module("lp_" + build.version),), cves)


def copied(item: CopiedSet) -> tuple[InstalledModule, ...]:
    return tuple(module(name) for name, _ in item.modules)


def choose(guard: Guard, *patches: InstalledPatch, why: str = "", **withdrawn: str) -> Choice:
    """The choice among ``patches``, newest first; ``why`` the rpm database cannot be read, if it cannot."""
    known = {name.replace("_", "-", 2) + ".x86_64": reason for name, reason in withdrawn.items()}
    return desired.wanted_set(Installed(patches, not why, why), guard, RELEASE, BOOT, copied, known)


def from_package(version: str) -> Wanted:
    return Wanted(f"lp-{version}-1.x86_64", (module("lp_" + version),), (f"CVE-2026-{version}000",))


def ids(choice: Choice) -> list[str]:
    return [problem.id for problem in choice.problems]


def test_the_newest_installed_patch_is_wanted_with_its_modules_and_cves() -> None:
    assert choose(Guard(), patch(NEW), patch(OLD)) == Choice(from_package("2"), True, ())


@pytest.mark.parametrize(
    "other", [patch(NEW, OTHER), patch(NEW, kind="empty"), patch(NEW, loader="ksplice")]
)
def test_a_package_that_is_not_for_reconcile_is_not_looked_at(other: InstalledPatch) -> None:
    guard = Guard()
    guard.copies = [CopiedSet(OLD, RELEASE, (("lp_1", "ff"),))]
    assert choose(guard, other) == Choice(None, True, ()), "nor does a copy stand in for it"
    assert choose(guard, other, patch(OLD)) == Choice(from_package("1"), True, ())


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (GuardEntry("blocked", reason="it oopsed", by="guard"), "patch-blocked"),
        (GuardEntry("blocked", reason="it oopsed", by="admin"), "patch-blocked-by-admin"),
    ],
)
def test_in_place_of_a_blocked_patch_the_next_one_is_wanted(record: GuardEntry, told: str) -> None:
    guard = Guard()
    guard.entries[NEW] = record
    found = choose(guard, patch(NEW), patch(OLD))
    assert (found.wanted, found.known, ids(found)) == (from_package("1"), True, [told])
    assert found.problems[0].subject == NEW and "it oopsed" in found.problems[0].text


def test_a_block_without_a_reason_says_so() -> None:
    guard = Guard()
    guard.entries[NEW] = GuardEntry("blocked")
    text = f"Live patch {NEW} is blocked and not loaded: no reason given."
    assert choose(guard, patch(NEW)).problems[0].text == text


def test_in_place_of_a_withdrawn_patch_the_next_one_is_wanted() -> None:
    found = choose(Guard(), patch(NEW), patch(OLD), lp_2_1="it smells")
    assert (found.wanted, found.known, ids(found)) == (from_package("1"), True, ["patch-reverted"])
    assert found.problems[0].subject == NEW and found.problems[0].text.endswith("withdrawn it: it smells.")


def test_in_place_of_a_package_without_a_module_the_next_one_is_wanted() -> None:
    found = choose(Guard(), patch(NEW)._replace(modules=()), patch(OLD))
    assert (found.wanted, ids(found)) == (from_package("1"), ["patch-without-module"])
    assert (
        found.problems[0].text
        == f"Live patch {NEW} is not loaded: its package has no module for kernel {RELEASE}."
    )


def test_nothing_takes_the_place_of_a_patch_that_the_administrator_unloaded() -> None:
    guard = Guard()
    guard.entries["lp-3-1.x86_64"] = GuardEntry("blocked")
    guard.unloaded[NEW] = BOOT
    guard.copies = [CopiedSet(OLD, RELEASE, (("lp_1", "ff"),))]
    found = choose(guard, patch("lp-3-1.x86_64"), patch(NEW), patch(OLD))
    assert (found.wanted, found.known) == (None, True)
    assert ids(found) == ["patch-blocked", "patch-unloaded"] and found.problems[1].subject == NEW


def test_a_copy_stands_in_where_no_installed_patch_is_fit() -> None:
    guard = Guard()
    guard.entries[NEW] = GuardEntry("blocked")
    guard.copies = [
        CopiedSet("lp-5-1.x86_64", OTHER, ()),
        CopiedSet("lp-4-1.x86_64", RELEASE, ()),
        CopiedSet("lp-3-1.x86_64", RELEASE, ()),
        CopiedSet(OLD, RELEASE, (("lp_1", "ff"),), ("CVE-2026-1000",)),
    ]
    guard.unloaded["lp-4-1.x86_64"] = BOOT
    found = choose(guard, patch(NEW), lp_3_1="it smells")
    assert found.wanted == Wanted(OLD, (module("lp_1"),), ("CVE-2026-1000",), from_copy=True) and found.known
    assert ids(found) == ["patch-blocked", "kept-in-force"] and found.problems[1].subject == OLD


def test_without_an_installed_patch_no_copy_is_used() -> None:
    guard = Guard()
    guard.copies = [CopiedSet(OLD, RELEASE, (("lp_1", "ff"),))]
    assert choose(guard) == Choice(None, True, ())


def test_an_unreadable_database_leaves_in_force_what_was_loaded_in_this_boot() -> None:
    guard = Guard()
    guard.owned["lp_1"] = Owned(OLD, "aa", BOOT)
    guard.copies = [CopiedSet(OLD, RELEASE, (("lp_1", "ff"),))]
    found = choose(guard, patch(NEW), why="it is locked")
    assert (found.wanted, found.known, ids(found)) == (None, False, ["rpmdb-unreadable"])
    assert "are installed: it is locked." in found.problems[0].text


def test_an_unreadable_database_at_boot_is_no_reason_to_go_without_the_copy() -> None:
    guard = Guard()
    guard.owned["lp_1"] = Owned(OLD, "aa", "the boot before")
    guard.copies = [
        CopiedSet("lp-5-1.x86_64", OTHER, ()),
        CopiedSet("lp-4-1.x86_64", RELEASE, ()),
        CopiedSet("lp-3-1.x86_64", RELEASE, ()),
        CopiedSet(OLD, RELEASE, (("lp_1", "ff"),)),
    ]
    guard.unloaded["lp-4-1.x86_64"] = BOOT
    found = choose(guard, why="it is locked", lp_3_1="it smells")
    assert found.wanted == Wanted(OLD, (module("lp_1"),), (), from_copy=True)
    assert found.known is False and ids(found) == ["rpmdb-unreadable"]


# --- the way there ---


def loaded(name: str = "lp", build_id: str = "aa", enabled: int = 1, transition: int = 0) -> LoadedPatch:
    return LoadedPatch(name, bool(enabled), bool(transition), build_id)


def plan(
    wanted: tuple[str, ...],
    present: list[LoadedPatch],
    ours: dict[str, Owned],
    guard: Guard | None = None,
    known: bool = True,
    withdrawn: dict[str, str] | None = None,
    build_ids: dict[str, str] | None = None,
) -> LoadPlan:
    modules = tuple(map(module, wanted))
    choice = Choice(Wanted(NEW, modules, ()) if wanted else None, known, ())
    ids = dict.fromkeys(wanted, "aa") if build_ids is None else build_ids
    return desired.load_plan(choice, present, ours, guard or Guard(), BOOT, ids, withdrawn or {})


@pytest.mark.parametrize(
    ("present", "found"),
    [
        ([], "load"),
        ([loaded()], ""),
        ([loaded(enabled=0, transition=1)], "load"),
        ([loaded(enabled=1, transition=1)], "pending"),
        ([loaded(enabled=0, transition=0)], "pending"),
        ([loaded(build_id="bb")], "taken"),
        ([loaded(build_id="bb", enabled=0, transition=1)], "taken"),
        ([loaded(build_id="")], ""),
    ],
    ids=[
        "absent",
        "in force",
        "on its way out",
        "on its way",
        "off",
        "another",
        "another leaves",
        "unknown",
    ],
)
def test_a_wanted_module_by_its_state_in_the_kernel(present: list[LoadedPatch], found: str) -> None:
    made = plan(("lp",), present, {"lp": Owned(NEW, "aa", BOOT)} if found != "taken" else {})
    expected = {"load": (module(),), "pending": (module(),), "taken": ("lp",)}
    assert made == (LoadPlan(**{found: expected[found]}) if found else LoadPlan())  # type: ignore[arg-type]


def test_a_module_of_unknown_build_is_taken_for_the_wanted_one() -> None:
    assert plan(("lp",), [loaded()], {}, build_ids={}) == LoadPlan()


def test_each_wanted_module_is_judged_and_the_order_kept() -> None:
    present = [loaded("b", "bb"), loaded("d"), loaded("e", transition=1)]
    made = plan(("c", "b", "a", "d", "e"), present, {})
    assert made == LoadPlan(load=(module("c"), module("a")), pending=(module("e"),), taken=("b",))


@pytest.mark.parametrize("wanted", [(), ("lp",)])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("cause", ["", "held", "blocked", "withdrawn"])
def test_the_reason_to_unload_a_module_that_is_not_wanted(
    wanted: tuple[str, ...], known: bool, cause: str
) -> None:
    """Held and blocked count always; a withdrawn patch waits for its successor, and ignorance spares."""
    guard = Guard()
    guard.unloaded.update({OLD: BOOT} if cause == "held" else {})
    guard.entries.update({OLD: GuardEntry("blocked")} if cause == "blocked" else {})
    gone = {OLD: "it smells"} if cause == "withdrawn" else {}
    found = cause if cause in ("held", "blocked") or (cause and not wanted) else ""
    if not found and known:
        found = "superseded" if wanted else "gone"
    present = [loaded("old"), *map(loaded, wanted)]
    made = plan(wanted, present, {"old": Owned(OLD, "aa", BOOT)}, guard, known, gone)
    assert made == LoadPlan(unload=(Unload("old", OLD, found),) if found else ())


@pytest.mark.parametrize(
    ("owned", "found"),
    [
        ({"old": Owned(OLD, "", BOOT)}, LoadPlan(unload=(Unload("old", OLD, "gone"),))),
        ({"old": Owned(OLD, "bb", BOOT)}, LoadPlan(foreign=("old",))),
        ({"older": Owned(OLD, "", BOOT)}, LoadPlan(foreign=("old",))),
        ({}, LoadPlan(foreign=("old",))),
    ],
    ids=["no build noted", "another build", "another module", "never ours"],
)
def test_a_module_that_others_loaded_is_named_and_never_unloaded(
    owned: dict[str, Owned], found: LoadPlan
) -> None:
    assert plan((), [loaded("old")], owned) == found


def test_modules_are_unloaded_last_loaded_first_and_foreign_ones_named_in_order() -> None:
    owned = {name: Owned(OLD, "aa", BOOT, place) for place, name in enumerate(("c", "a", "b"))}
    present = [loaded("z"), loaded("y"), *map(loaded, owned), loaded("lp", "aa")]
    made = plan(("lp",), present, owned)
    assert [item.module for item in made.unload] == ["b", "a", "c"] and made.foreign == ("y", "z")


@pytest.mark.parametrize(
    ("one", "replaces"),
    [(module(), True), (module(replace=False), False), (module()._replace(manifest=None), True)],
    ids=["cumulative", "beside others", "unsaid"],
)
def test_a_module_replaces_all_others_unless_its_manifest_says_otherwise(
    one: InstalledModule, replaces: bool
) -> None:
    assert desired.replaces(one) is replaces


def test_a_kept_set_whose_file_is_gone_is_not_taken(guard: Guard) -> None:
    there = {PROVED: (), NEWEST: (MODULE,)}
    found = desired.best_copy(guard, RELEASE, BOOT, lambda copied: there[copied.nevra], {})
    assert found is not None and (found.nevra, found.modules) == (NEWEST, (MODULE,))
    assert desired.best_copy(guard, RELEASE, BOOT, lambda _: (), {}) is None
