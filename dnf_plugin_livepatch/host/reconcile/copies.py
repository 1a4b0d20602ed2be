# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of the modules that were in force last and good, for when a newer package turns out to be bad.

RPM deletes the files of v1 when v2 is installed. If v2 is then blocked, the next boot loads the copy of v1.
The copies lie below /usr/lib/modules, where SELinux policy lets modules be loaded from.
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

#: The sets that are kept for one kernel.
GENERATIONS = 2


def keep(
    paths: Paths, nevra: str, release: str, modules: tuple[InstalledModule, ...], cves: tuple[str, ...]
) -> str:
    """Copy the set ``modules``, which is in force, and delete the oldest copies.

    Returns why it failed, or "".
    """
    folder = paths.kept_dir(release)
    copied: list[tuple[str, str]] = []
    try:
        for module in modules:
            digest = _copy(module, folder)
            if not digest:
                return f"{module.path} is not what was loaded any more"
            copied.append((module.name, digest))
    except module_file.ModuleError as error:
        return str(error)
    except OSError as error:
        return str(error.strerror)

    def add_copy(guard: guard_file.Guard) -> None:
        others = [item for item in guard.copies if (item.nevra, item.release) != (nevra, release)]
        here = [item for item in others if item.release == release]
        # Prefer a copy that stayed good for settle_time to a newer, unproved one.
        here.sort(key=lambda item: not _proved(guard, item.nevra))
        del here[GENERATIONS - 1 :]
        elsewhere = [item for item in others if item.release != release]
        newest = guard_file.CopiedSet(nevra, release, tuple(copied), cves[: fields.MAX_ITEMS])
        guard.copies = [newest, *here, *elsewhere]

    guard_file.change(paths, add_copy)
    _delete_unlisted(paths, release)
    return ""


def _copy(module: InstalledModule, folder: str) -> str:
    """Copy ``module`` and its manifest into ``folder``; return the digest, "" where the file was changed.

    Raises OSError, and ModuleError for a file that cannot be unpacked.
    """
    import hashlib

    target = f"{folder}/{module.name}.ko"
    data = _content(module, os.path.dirname(folder))
    if not data:
        return ""
    digest = hashlib.sha256(data).hexdigest()
    if module.path == target:
        return digest
    if _digest(target) != digest:
        atomic.write_bytes(target, data)
    if module.manifest is not None:
        text = manifest.dump(module.manifest).encode()
        if read_bytes(f"{folder}/{module.name}.json", manifest.MAX_BYTES) != text:
            atomic.write_bytes(f"{folder}/{module.name}.json", text)
    return digest


def _content(module: InstalledModule, room: str) -> bytes:
    """Return the plain module in the file, b"" where the file is another than the rpm database knows.

    A compressed file is unpacked in the folder ``room``, because the service has no folder of temporary
    files. Raises ModuleError.
    """
    try:
        descriptor = module_file.open_file(module.path)
    except module_file.ModuleError:
        return b""
    try:
        if module_file.digest(descriptor, module_file.algorithm(module.digest)) != module.digest:
            return b""
        # The file that was just hashed, whatever lies at its path by now.
        inside = module_file.plain(descriptor, module.path, (room,))
        try:
            return read_bytes(f"/proc/self/fd/{inside}", module_file.MAX_FILE)
        finally:
            module_file.close(inside, descriptor)
    finally:
        os.close(descriptor)


def _proved(guard: guard_file.Guard, nevra: str) -> bool:
    entry = guard.entries.get(nevra)
    return entry is not None and entry.proved


def _digest(path: str) -> str:
    import hashlib

    data = read_bytes(path, module_file.MAX_FILE)
    return hashlib.sha256(data).hexdigest() if data else ""


def modules_of(paths: Paths, copied: guard_file.CopiedSet) -> tuple[InstalledModule, ...]:
    """Return the copied set as modules that can be loaded, with the digests taken when they were copied.

    Returns () where a file is gone whose module the kernel does not have: the set cannot be loaded.
    """
    found = []
    folder = paths.kept_dir(copied.release)
    for name, _ in copied.modules:
        if not (os.path.exists(f"{folder}/{name}.ko") or os.path.isdir(f"{paths.klp}/{name}")):
            return ()
    for name, digest in copied.modules:
        text = read_bytes(f"{folder}/{name}.json", manifest.MAX_BYTES).decode("utf-8", "replace")
        try:
            declared = manifest.parse(text) if text else None
        except manifest.ManifestError:
            declared = None
        found.append(InstalledModule(name, f"{folder}/{name}.ko", digest, declared))
    return tuple(found)


def _delete_unlisted(paths: Paths, release: str) -> None:
    """Delete the files of every copy for the kernel ``release`` that the guard's file no longer lists."""
    listed = {
        name for item in guard_file.read(paths).copies if item.release == release for name, _ in item.modules
    }
    folder = paths.kept_dir(release)
    try:
        for name in os.listdir(folder):
            if name.rpartition(".")[0] not in listed:
                atomic.step(f"before unlink {name}")
                os.unlink(f"{folder}/{name}")
                atomic.step(f"after unlink {name}")
        if not listed:
            os.rmdir(folder)
            atomic.step("after rmdir kept")
            # The kernel's own folder is deleted too when nothing else is left of a removed kernel.
            os.rmdir(os.path.dirname(folder))
    except OSError:
        return


def drop(paths: Paths, release: str, nevras: tuple[str, ...]) -> None:
    """Delete the copied sets for the kernel ``release`` whose package is among ``nevras``."""

    def remove_copies(guard: guard_file.Guard) -> bool:
        left = [item for item in guard.copies if item.release != release or item.nevra not in nevras]
        changed = len(left) != len(guard.copies)
        guard.copies = left
        return changed

    if guard_file.change(paths, remove_copies):
        _delete_unlisted(paths, release)


def drop_removed_kernels(paths: Paths, running: str) -> None:
    """Delete the copies for every kernel that is no longer installed; ``running`` is the running one."""
    for release in {item.release for item in guard_file.read(paths).copies} - {running}:
        base = os.path.dirname(paths.kept_dir(release))
        if not os.path.isdir(base + "/kernel"):
            drop(paths, release, tuple(item.nevra for item in guard_file.read(paths).copies))
