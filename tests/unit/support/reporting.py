# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts for the tests of status and its verbs: fakehost's kernel and packages, and an exposure cache."""

from __future__ import annotations

import os
import time
from typing import Any

from dnf_plugin_livepatch.base.model import EXACT, Debt, InstalledPatch, Unfixable
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.host.files import advisories, guard_file
from dnf_plugin_livepatch.host.packages import inventory
from tests.unit.support.fakehost import RELEASE, Host

PACKAGE = "kernel-core-6.12.1-1.x86_64"


def stamp(age: float = 0.0) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))


def debt(*rows: tuple[int, str]) -> tuple[Debt, ...]:
    """CVE-2026-<number> with its severity, fixed in 6.12.2-1, 6.12.3-1, …"""
    return tuple(
        Debt(f"CVE-2026-{number}", f"A-{number}", severity, f"6.12.{place + 2}-1")
        for place, (number, severity) in enumerate(rows)
    )


def inputs(*rows: tuple[int, str], **more: Any) -> Inputs:
    known: dict[str, Any] = {"quality": EXACT, "as_of": stamp(60)}
    return Inputs(RELEASE, PACKAGE, **{**known, "debt": debt(*rows), **more})


class FakeDatabase:
    """Answers dbMatch from rows of (tag, key, header)."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, dict[str, Any]]] = []

    def dbMatch(self, tag: str, key: str) -> list[dict[str, Any]]:  # noqa: N802 (rpm's name)
        return [header for row_tag, row_key, header in self.rows if (row_tag, row_key) == (tag, key)]


class Telling:
    """A host, its rpm database and its cache; ``load`` puts a patch in force as reconcile would."""

    def __init__(self, root: str, monkeypatch: Any) -> None:
        self.host = Host(root).create().attach(monkeypatch)
        self.paths = self.host.paths
        self.database = FakeDatabase()
        monkeypatch.setattr(inventory, "_open", lambda paths: self.database)
        monkeypatch.setenv("LIVEPATCH_ROOT", root)

    def know(self, *rows: tuple[int, str], **more: Any) -> Inputs:
        known = inputs(*rows, **more)
        assert advisories.save(self.paths, known)
        return known

    def kernel_installed(self, evr: str) -> None:
        self.database.rows.append(("providename", "kernel-uname-r", {"name": "kernel-core", "evr": evr}))
        self._changed()

    def core_updated(self, name: str, seconds_after_boot: int) -> None:
        self.host.put("/proc/stat", "cpu 1\nbtime 1000000000\n")
        self.database.rows.append(
            ("name", name, {"name": name, "installtime": 1000000000 + seconds_after_boot})
        )
        self._changed()

    def _changed(self) -> None:
        """The database's file shows that something was installed."""
        with open(self.paths.at("/var/lib/rpm/rpmdb.sqlite"), "ab") as file:
            file.write(b".")

    def patch(
        self, version: str = "1", *cves: str, unfixable: tuple[Unfixable, ...] = (), **more: Any
    ) -> InstalledPatch:
        made = self.host.patch(version, **more)
        if cves or unfixable:
            module = made.modules[0]
            assert module.manifest is not None
            told = module.manifest._replace(cves=cves or module.manifest.cves, unfixable=unfixable)
            changed = made._replace(modules=(module._replace(manifest=told),), cves=told.cves)
            self.host._files[str(changed.nevra)] = self.host._files[str(made.nevra)]
            made = changed
        self.host.install(made)
        return made

    def load(self, patch: InstalledPatch, ours: bool = True) -> None:
        for place, module in enumerate(patch.modules):
            assert self.host.insmod(module.path) == (0, "")
            if ours and module.manifest is not None:
                owned = guard_file.Owned(
                    str(patch.nevra), module.manifest.build_id, self.host.boot_id, place
                )

                def own(
                    now: guard_file.Guard, name: str = module.name, item: guard_file.Owned = owned
                ) -> None:
                    now.owned[name] = item

                guard_file.change(self.paths, own)

    def sysfs(self, module: str, name: str, value: str) -> None:
        self.host.put(f"/sys/kernel/livepatch/{module}/{name}", value + "\n")

    def remove_cache(self) -> None:
        os.unlink(self.paths.exposure)
