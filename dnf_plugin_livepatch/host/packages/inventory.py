# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of the parts of the rpm database that status needs, so that status need not open the database.

``livepatch reconcile``, which runs after every transaction, writes the copy to
``/run/livepatch/inventory.json`` with a fingerprint of the database's files. Readers take the copy for as
long as the fingerprint fits: the import of rpm alone costs more than the rest of a status run.
"""

from __future__ import annotations

import os
import stat

from ... import __version__
from ...base import fields, names
from ...base.model import InstalledModule, InstalledPatch, Kernel, Nevra, Unfixable
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...formats import manifest
from ..files import atomic
from ..read import read_text
from . import fingerprint

if TYPE_CHECKING:
    from typing import Any


NEEDS_RESTARTING = "/etc/dnf/plugins/needs-restarting.d"
#: Packages whose update takes effect only at the next boot, beside kernels.
CORE = ("dbus", "dbus-broker", "dbus-daemon", "glibc", "linux-firmware", "microcode_ctl", "systemd")
_LINE = fields.Form("a printable text of at most 4096 characters", None, 4096)
_MOST = (1 << 53) - 1


class Inventory(NamedTuple):
    """The installed packages. ``healthy`` is False, with ``why``, when the database could not be read.

    ``patches`` are the live patches for one kernel release. ``kernels`` are the installed kernels as (name,
    EVR) ascending by EVR, so that readers need no rpm to compare them. ``core`` are the packages whose
    update needs a reboot, with their INSTALLTIME. ``database`` is the folder of the rpm database.
    """

    patches: tuple[InstalledPatch, ...] = ()
    healthy: bool = False
    why: str = ""
    kernels: tuple[tuple[str, str], ...] = ()
    core: tuple[tuple[str, int], ...] = ()
    database: str = ""


class AtBoot(NamedTuple):
    """The inventory of the boot before, still true by its fingerprint, and the signers of its patches."""

    stock: Inventory
    signers: dict[str, str]


def read(paths: Paths, kernel: Kernel) -> Inventory:
    """Return the inventory for ``kernel``: the copy while it is current, else the database's content."""
    return _remembered(paths, kernel) or look(paths, kernel)


def _remembered(paths: Paths, kernel: Kernel) -> Inventory | None:
    """Return the copy while it is current; None for a broken or an old one, as the original is there."""
    try:
        data = atomic.read_json(paths.inventory)
        if data is not None and data.get("key") == _key(paths, kernel, str(data.get("database"))):
            return _load(data)
    except (atomic.Broken, ValueError, TypeError, KeyError):
        pass
    return None


def refresh(paths: Paths, kernel: Kernel) -> None:
    """Write the copy anew unless it is current, since a look into the database means an import of rpm.

    A copy that cannot be written only makes readers slower.
    """
    if _remembered(paths, kernel) is not None:
        return
    from . import installed

    # Taken before the look: a transaction that ends meanwhile makes the copy an old one.
    database = installed.folder(paths)
    key = _key(paths, kernel, database)
    found = look(paths, kernel)
    if not found.healthy or found.database != database:
        return
    try:
        atomic.write_json(paths.inventory, {**_dump(found), "key": key}, _load)
        _write_for_boot(paths, kernel, found)
    except OSError:
        return


def _write_for_boot(paths: Paths, kernel: Kernel, found: Inventory) -> None:
    """Write the copy for the next boot. Raises OSError."""
    from . import installed

    signers = {str(patch.nevra): installed.signer(paths, str(patch.nevra)) for patch in found.patches}
    key = _key(paths, kernel._replace(boot_id=""), found.database)
    atomic.write_json(paths.boot_inventory, {**_dump(found), "signers": signers, "key": key}, _load_at_boot)


def at_boot(paths: Paths, kernel: Kernel) -> AtBoot | None:
    """Return the copy of the boot before while nothing has changed since: no file of the rpm database, no
    profile, no manifest, not the kernel. None for any other, for a broken one, and for one that another user
    could have written.

    The copy becomes that of this boot, too, so that status need not read the database either.
    """
    try:
        data = atomic.read_json(paths.boot_inventory)
        if data is None or not _only_ours(paths.boot_inventory):
            return None
        found = _load_at_boot(data)
        if data.get("key") != _key(paths, kernel._replace(boot_id=""), found.stock.database):
            return None
        key = _key(paths, kernel, found.stock.database)
        atomic.write_json(paths.inventory, {**_dump(found.stock), "key": key}, _load)
    except (OSError, atomic.Broken, ValueError, TypeError, KeyError):
        return None
    return found


def _only_ours(path: str) -> bool:
    """Return whether ``path`` is a file that nobody but root, or the caller, can have written."""
    status = os.lstat(path)
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid in (0, os.geteuid())
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


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
    """Read the inventory from the rpm database."""
    from ...vendors import profiles
    from . import installed

    known, _ = profiles.load(paths.profile_dirs)
    found = installed.read(paths, known, kernel.release, kernel.build_id)
    if not found.healthy:
        return Inventory(found.patches, False, found.why, database=found.database)
    database = _open(paths)
    kernels, core = _others(database, paths, kernel.release)
    return Inventory(tuple(map(_with_build_ids, found.patches)), True, "", kernels, core, found.database)


def _with_build_ids(patch: InstalledPatch) -> InstalledPatch:
    """Add the build ids of the module files to ``patch``: a vendor may give each build's module one name."""
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

    from ...base.names import EVR, kernel_packages
    from .evr import compare

    kernels: set[tuple[str, str]] = set()
    for tag, key in (("providename", "kernel-uname-r"), *(("name", n) for n in kernel_packages(release))):
        for header in database.dbMatch(tag, key):
            # rpm cannot compare every version that a header can hold.
            if EVR.match(str(header["evr"])):
                kernels.add((str(header["name"]), str(header["evr"])))
    core = {
        (name, int(header["installtime"]))
        for name in sorted(_watched(paths))
        for header in database.dbMatch("name", name)
    }
    ascending = cmp_to_key(compare)
    return tuple(sorted(sorted(kernels), key=lambda row: ascending(row[1]))), tuple(sorted(core))


def _watched(paths: Paths) -> set[str]:
    """Return the names of core packages: ours, and the administrator's for dnf's needs-restarting."""
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


def _patch(data: dict[str, Any]) -> InstalledPatch:
    nevra = Nevra(*_texts(fields.row(data, "nevra", 5), 5))
    if not names.NEVRA.match(str(nevra)):
        raise fields.FieldError("nevra: no name of a package")
    return InstalledPatch(
        nevra=nevra,
        profile=_text(data, "profile"),
        kernel_release=_text(data, "kernel_release"),
        kind=_text(data, "kind"),
        loader=_text(data, "loader"),
        modules=fields.each(data, "modules", _module),
        cves=fields.texts(data, "cves", _LINE),
        unfixable=fields.rows(data, "unfixable", lambda row: Unfixable(*_texts(row, 2)), 2),
        build_time=fields.whole(data, "build_time", _MOST),
        scriptlet=data.get("scriptlet") is True,
    )


def _text(data: Any, key: str | int) -> str:
    return fields.text(data, key, _LINE, empty=True)


def _texts(row: list[Any], count: int) -> list[str]:
    return [_text(row, place) for place in range(count)]


def _module(data: dict[str, Any]) -> InstalledModule:
    text: str | None = data.get("manifest")
    return InstalledModule(
        _text(data, "name"),
        _text(data, "path"),
        _text(data, "digest"),
        None if text is None else manifest.parse(text),
        fields.text(data, "build_id", _LINE, ""),
    )


def _kernel(row: list[Any]) -> tuple[str, str]:
    return _text(row, 0), fields.text(row, 1, fields.EVR)


def _core(row: list[Any]) -> tuple[str, int]:
    return _text(row, 0), fields.whole(row, 1, _MOST)


def _load(data: dict[str, Any]) -> Inventory:
    return Inventory(
        patches=fields.each(data, "patches", _patch),
        healthy=True,
        kernels=fields.rows(data, "kernels", _kernel, 2),
        core=fields.rows(data, "core", _core, 2),
        database=_text(data, "database"),
    )


def _load_at_boot(data: dict[str, Any]) -> AtBoot:
    signers = fields.object_of(data, "signers")
    return AtBoot(_load(data), {nevra: _text(signers, nevra) for nevra in signers})
