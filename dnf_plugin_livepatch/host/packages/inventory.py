# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rpm database holds that status needs, remembered so that status need not open it.

``livepatch reconcile``, which runs after every transaction, leaves it in ``/run/livepatch/inventory.json``
with a fingerprint of the database's files. While that fits, readers take the remembered answer:
importing rpm alone costs more than the rest of a status run.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ... import __version__
from ...base.model import InstalledModule, InstalledPatch, Kernel, Nevra, Unfixable
from ...base.paths import Paths
from ...formats import manifest
from ..files import atomic
from ..read import read_text
from . import fingerprint

NEEDS_RESTARTING = "/etc/dnf/plugins/needs-restarting.d"
#: Packages whose update takes effect only at the next boot, beside kernels.
CORE = ("dbus", "dbus-broker", "dbus-daemon", "glibc", "linux-firmware", "microcode_ctl", "systemd")
MAX_ITEMS = 4096


class Inventory(NamedTuple):
    """What is installed. ``healthy`` is False, with ``why``, when the database could not be read.

    ``patches`` are those for one kernel release, ``kernels`` the installed kernels as (name, EVR)
    ascending by EVR, so that readers need no rpm to tell which is newer,
    ``core`` the packages whose update needs a reboot with their INSTALLTIME. ``database`` is the
    folder of the rpm database.
    """

    patches: tuple[InstalledPatch, ...] = ()
    healthy: bool = False
    why: str = ""
    kernels: tuple[tuple[str, str], ...] = ()
    core: tuple[tuple[str, int], ...] = ()
    database: str = ""


def read(paths: Paths, kernel: Kernel) -> Inventory:
    """What is installed for ``kernel``: remembered while that is current, else from the database."""
    return _remembered(paths, kernel) or look(paths, kernel)


def _remembered(paths: Paths, kernel: Kernel) -> Inventory | None:
    """The copy, while it is current; nobody may be misled by a broken one: the original is there."""
    try:
        data = atomic.read_json(paths.inventory)
        if data is not None and data.get("key") == _key(paths, kernel, str(data.get("database"))):
            return _load(data)
    except (atomic.Broken, ValueError, TypeError, KeyError):
        pass
    return None


def refresh(paths: Paths, kernel: Kernel) -> None:
    """Remember what is installed now, unless the copy is current: to look means to import rpm.

    A copy that cannot be written only makes readers slower.
    """
    if _remembered(paths, kernel) is not None:
        return
    found = look(paths, kernel)
    if not found.healthy:
        return
    try:
        atomic.write_json(paths.inventory, {**_dump(found), "key": _key(paths, kernel, found.database)})
    except OSError:
        return


def _key(paths: Paths, kernel: Kernel, database: str) -> list[str]:
    folders = (*paths.profile_dirs, paths.manifest_dir(kernel.release), paths.at(NEEDS_RESTARTING))
    return [
        __version__,
        kernel.release,
        kernel.build_id,
        kernel.boot_id,
        fingerprint.database_state(database),
        *(fingerprint.folder_state(folder) for folder in folders),
    ]


def look(paths: Paths, kernel: Kernel) -> Inventory:
    """What the rpm database says now."""
    from ...vendors import profiles
    from . import installed

    known, _ = profiles.load(paths.profile_dirs)
    found = installed.read(paths, known, kernel.release, kernel.build_id)
    if not found.healthy:
        return Inventory(found.patches, False, found.why, database=found.database)
    database = _open(paths)
    kernels, core = _others(database, paths, kernel.release)
    return Inventory(tuple(map(_told_apart, found.patches)), True, "", kernels, core, found.database)


def _told_apart(patch: InstalledPatch) -> InstalledPatch:
    """``patch`` with the build ids that only its files tell: a vendor may name each build's module alike."""
    from ..kernel.module_file import own_build_id

    if patch.loader != "kernel" or all(module.manifest is not None for module in patch.modules):
        return patch
    modules = (
        module._replace(own_build_id=own_build_id(module.path))
        if module.manifest is None and os.path.isfile(module.path)
        else module
        for module in patch.modules
    )
    return patch._replace(modules=tuple(modules))


def _open(paths: Paths) -> Any:
    import rpm

    return rpm.TransactionSet(paths.root)


def _others(
    database: Any, paths: Paths, release: str
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, int], ...]]:
    from functools import cmp_to_key

    from ...base.names import kernel_packages
    from .evr import compare

    kernels: set[tuple[str, str]] = set()
    for tag, key in (("providename", "kernel-uname-r"), *(("name", n) for n in kernel_packages(release))):
        for header in database.dbMatch(tag, key):
            kernels.add((str(header["name"]), str(header["evr"])))
    core = {
        (name, int(header["installtime"]))
        for name in sorted(_watched(paths))
        for header in database.dbMatch("name", name)
    }
    ascending = cmp_to_key(compare)
    return tuple(sorted(sorted(kernels), key=lambda row: ascending(row[1]))), tuple(sorted(core))


def _watched(paths: Paths) -> set[str]:
    """Names of core packages: our own and those the administrator listed for dnf's needs-restarting."""
    names = set(CORE)
    folder = paths.at(NEEDS_RESTARTING)
    try:
        files = sorted(os.listdir(folder))[:64]
    except OSError:
        files = []
    for file in files:
        if file.endswith(".conf"):
            for line in read_text(f"{folder}/{file}").split("\n"):
                name = line.strip()
                if name and name[0] != "#" and name.isprintable() and len(name) < 128:
                    names.add(name)
    return names


def _dump(found: Inventory) -> dict[str, Any]:
    patches = []
    for patch in found.patches:
        data: dict[str, Any] = dict(patch._asdict())
        data["nevra"] = list(patch.nevra)
        data["modules"] = [
            {
                "name": module.name,
                "path": module.path,
                "digest": module.digest,
                "manifest": manifest.dump(module.manifest) if module.manifest is not None else None,
                "build_id": module.own_build_id,
            }
            for module in patch.modules
        ]
        patches.append(data)
    return {"patches": patches, "kernels": found.kernels, "core": found.core, "database": found.database}


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 4096 or not value.isprintable():
        raise ValueError("no printable text")
    return value


def _items(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise ValueError("no list")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError("no number")
    return value


def _patch(data: dict[str, Any]) -> InstalledPatch:
    name, epoch, version, release, arch = (_text(part) for part in _items(data["nevra"]))
    return InstalledPatch(
        nevra=Nevra(name, epoch, version, release, arch),
        profile=_text(data["profile"]),
        kernel_release=_text(data["kernel_release"]),
        kind=_text(data["kind"]),
        loader=_text(data["loader"]),
        modules=tuple(_module(item) for item in _items(data["modules"])),
        cves=tuple(_text(cve) for cve in _items(data["cves"])),
        unfixable=tuple(Unfixable(_text(cve), _text(why)) for cve, why in _items(data["unfixable"])),
        install_time=_number(data["install_time"]),
        build_time=_number(data["build_time"]),
    )


def _module(data: dict[str, Any]) -> InstalledModule:
    told: str | None = data["manifest"]
    return InstalledModule(
        _text(data["name"]),
        _text(data["path"]),
        _text(data["digest"]),
        None if told is None else manifest.parse(told),
        _text(data.get("build_id", "")),
    )


def _load(data: dict[str, Any]) -> Inventory:
    return Inventory(
        patches=tuple(_patch(item) for item in _items(data["patches"])),
        healthy=True,
        kernels=tuple((_text(name), _text(evr)) for name, evr in _items(data["kernels"])),
        core=tuple((_text(name), _number(when)) for name, when in _items(data["core"])),
        database=_text(data["database"]),
    )
