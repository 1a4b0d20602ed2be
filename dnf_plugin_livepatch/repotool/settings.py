# SPDX-License-Identifier: GPL-2.0-or-later
"""What a publisher sets: livepatch-repo.yml, and advisory.yml for the texts of one publish."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..base.model import Unfixable
from ..base.names import CVE, RELEASE
from . import yamlfile as y
from .errors import ToolError
from .repository.metadata import COMPRESSIONS

SEVERITIES = ("Low", "Moderate", "Important", "Critical")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~+-]{1,127}\Z")
_CHECK = re.compile(r"[a-z][a-z0-9-]{2,60}\Z")
_REFERENCES = ("bugzilla", "cve", "other", "self", "vendor")
_UNFIXABLE = y.record({"cve": y.pattern(CVE, "a CVE identifier"), "reason": y.text(1000)}, ("cve", "reason"))
_KERNEL = y.record({"support_end": y.time, "unfixable": y.listing(_UNFIXABLE)})
_STEP = y.record({"after": y.span, "percent": y.number(0, 100)}, ("after", "percent"))
_WAIVER = y.record(
    {"check": y.pattern(_CHECK, "the id of a check"), "subject": y.text(500), "reason": y.text(1000)},
    ("check", "reason"),
)
_KEYS: dict[str, y.Check] = {
    "sign_with": y.text(),
    "gpg_home": y.text(1000),
    "keys": y.listing(y.text(1000), 100),
    "compression": y.choice(*COMPRESSIONS),
    "grace": y.span,
    "keep": y.number(1, 10000),
    "advisory_prefix": y.pattern(_ID, "letters, digits and . _ : ~ + -"),
    "from": y.text(),
    "rights": y.text(1000, True),
    "base_url": y.text(1000),
    "base_dir": y.text(1000),
    "title": y.text(),
    "kernels_from": y.listing(y.text(1000), 100),
    "kernels": y.table(RELEASE, _KERNEL),
    "rollout": y.listing(_STEP, 100),
    "waive": y.listing(_WAIVER),
}
_REFERENCE = y.record(
    {"type": y.choice(*_REFERENCES), "id": y.text(), "href": y.text(1000), "title": y.text(500)},
    ("type", "id", "href"),
)
_ADVISORY = y.record(
    {
        "id": y.pattern(_ID, "an advisory id"),
        "packages": y.listing(y.text(500)),
        "title": y.text(500),
        "severity": y.choice(*SEVERITIES),
        "type": y.choice("security", "bugfix", "enhancement"),
        "summary": y.text(4000, True),
        "description": y.text(20000, True),
        "solution": y.text(4000, True),
        "issued": y.time,
        "rights": y.text(1000, True),
        "cves": y.listing(y.pattern(CVE, "a CVE identifier")),
        "references": y.listing(_REFERENCE),
    }
)
_ADVISORY_FILE: dict[str, y.Check] = {
    "schema": y.number(1, 1),
    "advisories": y.listing(_ADVISORY),
    "kernels": y.table(RELEASE, _KERNEL),
    "rollout": y.listing(_STEP, 100),
}


class Waiver(NamedTuple):
    """A finding that the publisher accepts: a check, a glob over subjects, and why."""

    check: str
    subject: str
    reason: str


class KernelText(NamedTuple):
    """What the publisher says of a kernel release."""

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
        """With a base_dir: where none is set, base_url is the address of ``root``, up to an {arch} in it."""
        if self.base_dir:
            return self
        before, arch, _ = root.partition("{arch}")
        return self._replace(base_dir=os.path.abspath(os.path.dirname(before + "_") if arch else root))

    def address(self, folder: str) -> str:
        """Where clients find ``folder``; "" where that is not said, or where it lies outside of base_dir."""
        inside = os.path.relpath(folder, self.base_dir or folder)
        if not self.base_url or inside.split(os.sep)[0] == os.pardir:
            return ""
        url = self.base_url.rstrip("/")
        return url if inside == os.curdir else f"{url}/{inside}"


class AdvisoryFile(NamedTuple):
    """advisory.yml: the entries as checked mappings, kernels, a rollout (None: as set), and its path."""

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


def read(path: str) -> Settings:
    """The settings in ``path``; its relative paths are below its folder. Raises ToolError."""
    try:
        data = y.mapping(y.load(path), "settings", _KEYS)
    except y.Fault as fault:
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
        data = y.mapping(y.load(path), "advisory file", _ADVISORY_FILE)
        if "schema" not in data:
            raise y.Fault("schema: 1 is missing")
    except y.Fault as fault:
        raise ToolError("advisory-fault", file=path, fault=fault) from None
    return AdvisoryFile(
        tuple(data.get("advisories", [])),
        _kernels(data.get("kernels", {})),
        _steps(data["rollout"]) if "rollout" in data else None,
        path,
    )
