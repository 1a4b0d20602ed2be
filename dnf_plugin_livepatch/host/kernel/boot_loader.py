# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel that the boot loader starts next, as far as its files can be read. Nothing is changed.

GRUB goes by next_entry and saved_entry in its environment block (grub-editenv(1)) and by boot loader entries
or the menu in grub.cfg; systemd-boot by loader.conf and EFI variables (systemd-boot(7)). Only root may read
most of these files. Whatever is not understood is unknown.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
from collections.abc import Sequence

from ...base import names
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ..read import read_bytes, read_text

if TYPE_CHECKING:
    from ...base.model import Compare

MAX_ENTRIES = 256
MAX_ENTRY = 8192
MAX_CONFIG = 1 << 20
MAX_PATTERN = 256
#: The characters that a version has in rpm, of which rpmvercmp makes sense.
_VERSION = re.compile(r"[A-Za-z0-9._+~^]{1,256}\Z")
_EFI = "/sys/firmware/efi/efivars/{}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_KERNEL = re.compile(r"/vmlinu[zx]-([^\s/]{1,256}?)(?:\.gz)?\Z")
_BLOCK = re.compile(r"\s*(menuentry|submenu)\s+(?:'([^']*)'|\"([^\"]*)\")(.*)\{\s*\Z")
_ID = re.compile(r"(?:--id|\$\{?menuentry_id_option\}?)\s+'?\"?([^'\"\s]+)")
_DEFAULT = re.compile(r"set\s+default=([\"']?)([^\"']*)\1\Z")
#: grub2-tools' 08_fallback_counting falls back to the second entry after boots that failed.
_COUNTING = re.compile(r"if\s.*\bboot_counter\b")


class Entry(NamedTuple):
    """One entry of a boot menu. ``place`` is its index, as ``1>0`` in a submenu."""

    id: str
    title: str
    release: str
    place: str = ""


class Next(NamedTuple):
    """The kernel that is started next, and the command that makes another one the default.

    ``release`` is "" where that is not known. In ``command`` {release} stands for the other kernel.
    """

    release: str = ""
    command: str = ""


def next_kernel(paths: Paths, compare: Compare) -> Next:
    """Return the kernel that is started next; ``compare`` is rpm's comparison of builds."""
    entries = _loader_entries(paths)
    if _variable(paths, "LoaderInfo").startswith("systemd-boot"):
        return Next(_systemd_boot(paths, entries, compare), "bootctl list")
    grub, menu = _grub(paths)
    environment = _environment(paths, grub)
    if environment is None or not (entries or menu):
        return Next()
    fixed = _defaults(menu)
    plain = {word for word in fixed if "$" not in word}
    saved = not menu or any("saved_entry" in word for word in fixed)
    wanted = environment.get("next_entry", "")
    tool = "grub-" if grub == "/boot/grub" else "grub2-"
    if wanted:
        command = f"{tool}editenv - unset next_entry"
    elif saved:
        command = "grubby --set-default=/boot/vmlinuz-{release}"
        wanted = environment.get("saved_entry", "")
    elif len(plain) > 1:
        return Next()
    else:
        # A fixed default is written by the generator of grub.cfg alone.
        command = (
            "sed -i s/^GRUB_DEFAULT=.*/GRUB_DEFAULT=saved/ /etc/default/grub && "
            f"{tool}mkconfig -o {grub}/grub.cfg"
        )
        wanted = next(iter(plain), "")
    uses_entries = entries and (not menu or "blscfg" in menu)
    ordered = _ordered(entries, compare) if uses_entries else _menu(menu)
    return Next(_chosen(ordered, wanted), command)


def _grub(paths: Paths) -> tuple[str, str]:
    """Return the folder of GRUB's configuration and the text of its grub.cfg, "" where there is none.

    On UEFI hosts of EL8 and before, grub.cfg lies on the EFI system partition; later ones have a stub there
    that reads the other.
    """
    found = [folder for folder in _folders(paths) if os.path.isdir(paths.at(folder))]
    for folder in found:
        menu = read_text(paths.at(folder + "/grub.cfg"), MAX_CONFIG)
        if menu:
            return folder, menu
    return next(iter(found), ""), ""


def _folders(paths: Paths) -> list[str]:
    """Return the folders in which GRUB's files may lie, the most usual one first."""
    return ["/boot/grub2", "/boot/grub"] + [
        f"/boot/efi/EFI/{name}" for name in _names(paths.at("/boot/efi/EFI"), "")
    ]


def _defaults(menu: str) -> list[str]:
    """Return each value that ``menu`` sets ``default`` to, but for a boot after others that failed."""
    found: list[str] = []
    counting = 0
    for line in map(str.strip, menu.split("\n")):
        if counting or _COUNTING.match(line):
            counting += line.startswith("if ")
            counting -= line == "fi"
            continue
        default = _DEFAULT.match(line)
        if default:
            found.append(default.group(2))
    return found


def _chosen(entries: Sequence[Entry], wanted: str) -> str:
    """Return the release of the entry that ``wanted`` names; like GRUB, of the first one where none fits."""
    last = wanted.rpartition(">")[2]
    for entry in entries:
        if wanted and (entry.place == wanted or last in (entry.id, entry.title)):
            return entry.release
    return entries[0].release if entries else ""


def _release(text: str) -> str:
    return text if names.RELEASE.match(text) else ""


def _loader_entries(paths: Paths) -> list[Entry]:
    """Return the entries of the Boot Loader Specification: files of both types."""
    found: list[Entry] = []
    for folder in ("/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries"):
        for name in _names(paths.at(folder), ".conf")[: MAX_ENTRIES - len(found)]:
            lines = read_text(f"{paths.at(folder)}/{name}", MAX_ENTRY).split("\n")
            words = dict(reversed([line.strip().partition(" ")[::2] for line in lines]))
            kernel = _KERNEL.search(words.get("linux", "").strip())
            release = kernel.group(1) if kernel else words.get("version", "").strip()
            found.append(Entry(name[: -len(".conf")], words.get("title", "").strip(), _release(release)))
    for folder in ("/boot/efi/EFI/Linux", "/efi/EFI/Linux", "/boot/EFI/Linux"):
        for name in _names(paths.at(folder), ".efi"):
            found.append(
                Entry(name, "", _release(re.sub(r"\A[0-9a-f]{32}-|(?:\+[0-9-]+)?\.efi\Z", "", name)))
            )
    return found[:MAX_ENTRIES]


def _names(folder: str, ending: str) -> list[str]:
    try:
        found = sorted(name for name in os.listdir(folder) if name.endswith(ending) and name.isprintable())
        return found[:MAX_ENTRIES]
    except OSError:
        return []


def _ordered(entries: Sequence[Entry], compare: Compare) -> list[Entry]:
    """Sort ``entries`` as GRUB's blscfg does: by the three parts of the file's name, the newest first.

    The first part is a machine's id: the entries that another machine left may win.
    """

    def order(one: Entry, other: Entry) -> int:
        first, second = (["", "", *entry.id.rsplit("-", 2)][-3:] for entry in (one, other))
        pairs = zip(map(_version, first), map(_version, second))
        each = (compare(f"{mine}-0", f"{theirs}-0") for mine, theirs in pairs)
        return next((result for result in each if result), 0)

    plain = [entry for entry in entries if not entry.id.endswith(".efi")]
    ordered = sorted(plain, key=functools.cmp_to_key(order), reverse=True)
    return [entry._replace(place=str(place)) for place, entry in enumerate(ordered)]


def _version(text: str) -> str:
    """Return ``text`` where rpm can compare it; else a version that is older than all others."""
    return text if _VERSION.match(text) else "0"


def _environment(paths: Paths, grub: str) -> dict[str, str] | None:
    """Return the variables of GRUB's environment block; None where it is not there or cannot be read."""
    for folder in filter(None, (grub, *_folders(paths))):
        data = read_bytes(paths.at(folder + "/grubenv"), 65536)
        if data.startswith(b"# GRUB Environment Block"):
            lines = data.decode("utf-8", "replace").split("\n")[1:]
            return dict(line.partition("=")[::2] for line in lines if "=" in line and line[0] != "#")
    return None


def _menu(text: str) -> list[Entry]:
    """Return the entries of the menu in a grub.cfg that holds the entries itself."""
    found: list[Entry] = []
    open_blocks: list[tuple[str, int]] = []
    count = 0
    for line in text.split("\n"):
        block = _BLOCK.match(line)
        if block:
            kind, title = block.group(1), block.group(2) or block.group(3) or ""
            place = ">".join([*(str(number) for _, number in open_blocks), str(count)])
            if kind == "menuentry":
                named = _ID.search(block.group(4))
                found.append(Entry(named.group(1) if named else "", title, "", place))
            open_blocks.append((kind, count))
            count = 0
        elif line.strip() == "}" and open_blocks:
            count = open_blocks.pop()[1] + 1
        elif open_blocks and open_blocks[-1][0] == "menuentry":
            words = line.split()
            kernel = _KERNEL.search(words[1]) if len(words) > 1 and words[0].startswith("linux") else None
            if kernel:
                found[-1] = found[-1]._replace(release=_release(kernel.group(1)))
    return found


def _variable(paths: Paths, name: str) -> str:
    data = read_bytes(paths.at(_EFI.format(name)), 4096)
    return data[4:].decode("utf-16-le", "replace").rstrip("\0")


def _systemd_boot(paths: Paths, entries: Sequence[Entry], compare: Compare) -> str:
    patterns = [_variable(paths, "LoaderEntryOneShot"), _variable(paths, "LoaderEntryDefault")]
    for folder in ("/boot", "/boot/efi", "/efi"):
        for line in read_text(paths.at(folder + "/loader/loader.conf"), 65536).split("\n"):
            key, _, value = line.strip().partition(" ")
            patterns += [value.strip()] if key == "default" else []
    for pattern in filter(None, patterns):
        # Patterns with many stars take fnmatch for ever.
        if pattern.startswith("@") or pattern.count("*") > 3 or len(pattern) > MAX_PATTERN:
            return ""
        for entry in entries:
            if any(fnmatch.fnmatchcase(entry.id + end, pattern) for end in ("", ".conf")):
                return entry.release
    releases = [entry.release for entry in entries if "-" in entry.release]
    return max(releases, key=functools.cmp_to_key(compare), default="")
