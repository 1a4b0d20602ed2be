# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of the modules that were in force last and good, for when a newer package turns out to be bad.

RPM takes the files of v1 away when v2 arrives. If v2 is then blocked, the copy of v1 is what the
next boot loads. Copies lie below /usr/lib/modules, where SELinux policy lets modules be loaded from.
"""

from __future__ import annotations

import os

from ...base import fields
from ...base.model import InstalledModule
from ...base.paths import Paths
from ...formats import manifest
from ..files import atomic, guard_file
from ..kernel import module_file
from ..read import read_bytes

GENERATIONS = 2


def keep(
    paths: Paths, nevra: str, release: str, modules: tuple[InstalledModule, ...], cves: tuple[str, ...]
) -> str:
    """Copy the set ``modules``, which is in force, and forget the oldest copies; why it failed, or ""."""
    import hashlib

    folder = paths.kept_dir(release)
    copies: list[tuple[str, str]] = []
    try:
        for module in modules:
            target = f"{folder}/{module.name}.ko"
            data = _content(module)
            if not data:
                return f"{module.path} is not what was loaded any more"
            digest = hashlib.sha256(data).hexdigest()
            if module.path != target and _digest(target) != digest:
                atomic.write_bytes(target, data)
            if module.manifest is not None and module.path != target:
                text = manifest.dump(module.manifest)
                if read_bytes(f"{folder}/{module.name}.json", manifest.MAX_BYTES) != text.encode():
                    atomic.write_bytes(f"{folder}/{module.name}.json", text.encode())
            copies.append((module.name, digest))
    except OSError as error:
        return str(error.strerror)

    def work(state_of: guard_file.Guard) -> None:
        others = [item for item in state_of.kept if (item.nevra, item.release) != (nevra, release)]
        here = [item for item in others if item.release == release]
        # Rather one that was good for settle_time than a newer one that nobody knows much of yet.
        here.sort(key=lambda item: not _proved(state_of, item.nevra))
        del here[GENERATIONS - 1 :]
        elsewhere = [item for item in others if item.release != release]
        newest = guard_file.Kept(nevra, release, tuple(copies), cves[: fields.MAX_ITEMS])
        state_of.kept = [newest, *here, *elsewhere]

    guard_file.change(paths, work)
    _sweep(paths, release)
    return ""


def _content(module: InstalledModule) -> bytes:
    """The module's file, b"" where it is another than the rpm database knows."""
    try:
        descriptor = module_file.open_file(module.path)
    except module_file.ModuleError:
        return b""
    try:
        known = module_file.facts(descriptor, module_file.algorithm(module.digest)).digest == module.digest
        # The file that was just hashed, however it is called by now.
        return read_bytes(f"/proc/self/fd/{descriptor}", module_file.MAX_FILE) if known else b""
    except module_file.ModuleError:
        return b""
    finally:
        os.close(descriptor)


def _proved(state_of: guard_file.Guard, nevra: str) -> bool:
    record = state_of.records.get(nevra)
    return record is not None and record.proved


def _digest(path: str) -> str:
    import hashlib

    data = read_bytes(path, module_file.MAX_FILE)
    return hashlib.sha256(data).hexdigest() if data else ""


def modules_of(paths: Paths, item: guard_file.Kept) -> tuple[InstalledModule, ...]:
    """The kept set as modules that can be loaded; their digests are those of when they were copied."""
    found = []
    folder = paths.kept_dir(item.release)
    for name, digest in item.modules:
        text = read_bytes(f"{folder}/{name}.json", manifest.MAX_BYTES).decode("utf-8", "replace")
        try:
            told = manifest.parse(text) if text else None
        except manifest.ManifestError:
            told = None
        found.append(InstalledModule(name, f"{folder}/{name}.ko", digest, told))
    return tuple(found)


def _sweep(paths: Paths, release: str) -> None:
    wanted = {
        name for item in guard_file.read(paths).kept if item.release == release for name, _ in item.modules
    }
    folder = paths.kept_dir(release)
    try:
        for name in os.listdir(folder):
            if name.rpartition(".")[0] not in wanted:
                atomic.step(f"before unlink {name}")
                os.unlink(f"{folder}/{name}")
                atomic.step(f"after unlink {name}")
        if not wanted:
            os.rmdir(folder)
            atomic.step("after rmdir kept")
            # The kernel's own folder goes too when nothing else is left of a removed kernel.
            os.rmdir(os.path.dirname(folder))
    except OSError:
        return


def drop(paths: Paths, release: str, nevras: tuple[str, ...]) -> None:
    """Forget the kept sets of ``release`` whose package is among ``nevras``."""

    def work(state_of: guard_file.Guard) -> bool:
        left = [item for item in state_of.kept if item.release != release or item.nevra not in nevras]
        changed = len(left) != len(state_of.kept)
        state_of.kept = left
        return changed

    if guard_file.change(paths, work):
        _sweep(paths, release)


def tidy(paths: Paths, running: str) -> None:
    """Drop the copies of every kernel that is no longer installed."""
    for release in {item.release for item in guard_file.read(paths).kept} - {running}:
        base = os.path.dirname(paths.kept_dir(release))
        if not os.path.isdir(base + "/kernel"):
            drop(paths, release, tuple(item.nevra for item in guard_file.read(paths).kept))
