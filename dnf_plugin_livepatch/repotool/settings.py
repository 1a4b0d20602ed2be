# SPDX-License-Identifier: GPL-2.0-or-later
"""The publisher's files: livepatch-repo.yml, and advisory.yml for the texts of one publish."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..base.model import Unfixable
from ..base.names import CVE, RELEASE
from ..toolkit.errors import ToolError
from . import yamlfile
from .lint.context import Waiver
from .repository.metadata import COMPRESSIONS
from .repository.view import SEVERITIES

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~+-]{1,127}\Z")
_CHECK = re.compile(r"[a-z][a-z0-9-]{2,60}\Z")
_REFERENCES = ("bugzilla", "cve", "other", "self", "vendor")
_UNFIXABLE = yamlfile.record(
    {"cve": yamlfile.pattern(CVE, "a CVE identifier"), "reason": yamlfile.text(1000)}, ("cve", "reason")
)
_KERNEL = yamlfile.record({"support_end": yamlfile.time, "unfixable": yamlfile.listing(_UNFIXABLE)})
_STEP = yamlfile.record({"after": yamlfile.span, "percent": yamlfile.number(0, 100)}, ("after", "percent"))
_WAIVER = yamlfile.record(
    {
        "check": yamlfile.pattern(_CHECK, "the id of a check"),
        "subject": yamlfile.text(500),
        "reason": yamlfile.text(1000),
    },
    ("check", "reason"),
)
_KEYS: dict[str, yamlfile.Check] = {
    "sign_with": yamlfile.text(),
    "gpg_home": yamlfile.text(1000),
    "keys": yamlfile.listing(yamlfile.text(1000), 100),
    "compression": yamlfile.choice(*COMPRESSIONS),
    "grace": yamlfile.span,
    "keep": yamlfile.number(1, 10000),
    "advisory_prefix": yamlfile.pattern(_ID, "letters, digits and . _ : ~ + -"),
    "from": yamlfile.text(),
    "rights": yamlfile.text(1000, True),
    "base_url": yamlfile.text(1000),
    "base_dir": yamlfile.text(1000),
    "title": yamlfile.text(),
    "kernels_from": yamlfile.listing(yamlfile.text(1000), 100),
    "kernels": yamlfile.table(RELEASE, _KERNEL),
    "rollout": yamlfile.listing(_STEP, 100),
    "waive": yamlfile.listing(_WAIVER),
}
_REFERENCE = yamlfile.record(
    {
        "type": yamlfile.choice(*_REFERENCES),
        "id": yamlfile.text(),
        "href": yamlfile.text(1000),
        "title": yamlfile.text(500),
    },
    ("type", "id", "href"),
)
_ENTRY: dict[str, yamlfile.Check] = {
    "id": yamlfile.pattern(_ID, "an advisory id"),
    "packages": yamlfile.listing(yamlfile.text(500)),
    "title": yamlfile.text(500),
    "severity": yamlfile.choice(*SEVERITIES),
    "type": yamlfile.choice("security", "bugfix", "enhancement"),
    "summary": yamlfile.text(4000, True),
    "description": yamlfile.text(20000, True),
    "solution": yamlfile.text(4000, True),
    "issued": yamlfile.time,
    "rights": yamlfile.text(1000, True),
    "cves": yamlfile.listing(yamlfile.pattern(CVE, "a CVE identifier")),
    "references": yamlfile.listing(_REFERENCE),
}
_ADVISORY_FILE: dict[str, yamlfile.Check] = {
    "schema": yamlfile.number(1, 1),
    "advisories": yamlfile.listing(yamlfile.record(_ENTRY)),
    "kernels": yamlfile.table(RELEASE, _KERNEL),
    "rollout": yamlfile.listing(_STEP, 100),
}


class KernelText(NamedTuple):
    """The publisher's notes on a kernel release."""

    support_end: str = ""
    unfixable: tuple[Unfixable, ...] = ()


class Settings(NamedTuple):
    """livepatch-repo.yml; ``grace`` is in seconds, ``rollout`` (seconds after issue, percent)."""

    sign_with: str = ""
    gpg_home: str = ""
    keys: tuple[str, ...] = ()
    compression: str = "gz"
    grace: int = 2 * 86400
    keep: int = 3
    advisory_prefix: str = "LIVEPATCH"
    sender: str = "livepatch-repo"
    rights: str = ""
    base_url: str = ""
    base_dir: str = ""
    title: str = "Live patches"
    kernels_from: tuple[str, ...] = ()
    kernels: Mapping[str, KernelText] = {}
    rollout: tuple[tuple[int, int], ...] = ()
    waivers: tuple[Waiver, ...] = ()

    def serving(self, root: str) -> Settings:
        """The settings with a base_dir: by default ``root``, or the folder above its {arch}."""
        if self.base_dir:
            return self
        before, arch, _ = root.partition("{arch}")
        return self._replace(base_dir=os.path.abspath(os.path.dirname(before + "_") if arch else root))

    def address(self, folder: str) -> str:
        """The address of ``folder`` for clients; "" without a base_url, or outside of base_dir."""
        inside = os.path.relpath(folder, self.base_dir or folder)
        if not self.base_url or inside.split(os.sep)[0] == os.pardir:
            return ""
        url = self.base_url.rstrip("/")
        return url if inside == os.curdir else f"{url}/{inside}"


#: The settings of a publisher without a file.
DEFAULTS = Settings()


class AdvisoryFile(NamedTuple):
    """advisory.yml: checked entries, kernels, a rollout (None: that of the settings), and the path."""

    advisories: tuple[Mapping[str, Any], ...] = ()
    kernels: Mapping[str, KernelText] = {}
    rollout: tuple[tuple[int, int], ...] | None = None
    path: str = ""


def _kernels(data: Mapping[str, Mapping[str, Any]]) -> dict[str, KernelText]:
    return {
        release: KernelText(
            entry.get("support_end", ""),
            tuple(Unfixable(item["cve"], item["reason"]) for item in entry.get("unfixable", [])),
        )
        for release, entry in data.items()
    }


def _steps(data: list[Mapping[str, int]]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((step["after"], step["percent"]) for step in data))


def kernel_text(support_end: str, unfixable: Mapping[str, str]) -> KernelText:
    """The text about a kernel from the command line. Raises ToolError."""
    data: dict[str, Any] = {"unfixable": [{"cve": cve, "reason": why} for cve, why in unfixable.items()]}
    if support_end:
        data["support_end"] = support_end
    try:
        return _kernels({"": _KERNEL(data, "kernel")})[""]
    except yamlfile.Fault as fault:
        raise ToolError("settings-fault", file="kernels", fault=fault) from None


def read(path: str) -> Settings:
    """The settings in ``path``; its relative paths are below its folder. Raises ToolError."""
    try:
        data = yamlfile.mapping(yamlfile.load(path), "settings", _KEYS)
    except yamlfile.Fault as fault:
        raise ToolError("settings-fault", file=path, fault=fault) from None
    below = os.path.dirname(os.path.abspath(path))
    waivers = [
        Waiver(item["check"], item.get("subject", "*"), item["reason"]) for item in data.pop("waive", [])
    ]
    places = {name: tuple(data.pop(name, ())) for name in ("keys", "kernels_from")}
    for name in ("gpg_home", "base_dir"):
        if name in data:
            data[name] = os.path.normpath(os.path.join(below, data[name]))
    return Settings(
        keys=tuple(os.path.join(below, key) for key in places["keys"]),
        kernels_from=tuple(
            place if "://" in place else os.path.join(below, place) for place in places["kernels_from"]
        ),
        kernels=_kernels(data.pop("kernels", {})),
        rollout=_steps(data.pop("rollout", [])),
        waivers=tuple(waivers),
        sender=data.pop("from", "livepatch-repo"),
        **data,
    )


def read_advisories(path: str) -> AdvisoryFile:
    """The advisory.yml in ``path``. Raises ToolError."""
    try:
        data = yamlfile.mapping(yamlfile.load(path), "advisory file", _ADVISORY_FILE)
        if "schema" not in data:
            raise yamlfile.Fault("schema: 1 is missing")
    except yamlfile.Fault as fault:
        raise ToolError("advisory-fault", file=path, fault=fault) from None
    _reached(path, data.get("advisories", []))
    return AdvisoryFile(
        tuple(data.get("advisories", [])),
        _kernels(data.get("kernels", {})),
        _steps(data["rollout"]) if "rollout" in data else None,
        path,
    )


def _reached(path: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Raise ToolError for an entry of the advisory file that no live patch can come to.

    A live patch has the first entry that fits.
    """
    taken: set[str] = set()
    for number, entry in enumerate(entries):
        globs = set(entry.get("packages") or ["*"])
        if globs <= taken or "*" in taken:
            fault = f"advisories[{number}] is for packages that an earlier entry is for"
            raise ToolError("advisory-fault", file=path, fault=fault)
        taken |= globs
