# SPDX-License-Identifier: GPL-2.0-or-later
"""The exposure cache: dnf runs write the repositories' facts about kernels, and everybody may read them.

One JSON file has the ``Inputs`` of the running kernel and of the kernels that may be booted next. Readers
take it as hostile: the size is bounded, every field is checked, and a file with one bad field counts as
absent.
"""

from __future__ import annotations

from ...base import fields
from ...base.model import EXACT, ISSUED, LOWER_BOUND, UNKNOWN, UPDATED, Debt, Unfixable
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ...exposure.compute import Inputs, OnOffer
from . import atomic

if TYPE_CHECKING:
    from typing import Any


SCHEMA = 2
MAX_BYTES = 8 << 20
MAX_KERNELS = 16
MAX_ITEMS = 20000


def bounded(inputs: Inputs, most: int = MAX_ITEMS) -> Inputs:
    """``inputs`` as far as the cache can hold them; what is left out makes them a lower bound.

    At most ``most`` rows of each kind are kept.
    """
    if len(inputs.debt) > most:
        quality = LOWER_BOUND if inputs.quality != UNKNOWN else UNKNOWN
        reason = f"more than {most} CVEs are listed"
        inputs = inputs._replace(debt=inputs.debt[:most], quality=quality, reason=reason)
    return inputs._replace(cover=inputs.cover[:most], unfixable=inputs.unfixable[:most])


def dump(*kernels: Inputs) -> dict[str, Any]:
    """Return the cache's JSON object for ``kernels``."""
    entries: list[dict[str, Any]] = []
    for inputs in map(bounded, kernels[:MAX_KERNELS]):
        entry: dict[str, Any] = dict(inputs._asdict())
        entry["repositories"] = [{"id": name, "revision": rev} for name, rev in inputs.repositories]
        entry["debt"] = [row._asdict() for row in inputs.debt]
        entry["cover"] = [{"nevra": nevra, "cves": list(cves)} for nevra, cves in inputs.cover]
        offer = inputs.on_offer
        entry["on_offer"] = None if offer is None else {**offer._asdict(), "builds": list(offer.builds)}
        entry["unfixable"] = [item._asdict() for item in inputs.unfixable]
        entries.append(entry)
    return {"kernels": entries}


def _debt(data: dict[str, Any]) -> Debt:
    return Debt(
        fields.text(data, "cve", fields.CVE),
        fields.text(data, "advisory", default=""),
        fields.text(data, "severity", default=""),
        fields.text(data, "fixed_in", fields.EVR),
        fields.text(data, "dated", fields.DATE, ""),
        fields.choice(data, "date_kind", ("", ISSUED, UPDATED)),
    )


def _cover(data: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    nevra = fields.text(data, "nevra", fields.NEVRA)
    return nevra, fields.texts(data, "cves", fields.CVE, MAX_ITEMS, [])


def _repository(data: dict[str, Any]) -> tuple[str, str]:
    return fields.text(data, "id", default=""), fields.text(data, "revision", default="")


def _unfixable(data: dict[str, Any]) -> Unfixable:
    return Unfixable(fields.text(data, "cve", fields.CVE), fields.text(data, "reason", default=""))


def _on_offer(data: dict[str, Any]) -> OnOffer:
    return OnOffer(
        fields.text(data, "kernel", fields.EVR, ""),
        fields.text(data, "hidden", fields.EVR, ""),
        fields.text(data, "patch", fields.NEVRA, ""),
        fields.text(data, "kept", fields.NEVRA, ""),
        fields.shown(data, "why", 1024, ""),
        fields.shown(data, "prefers", 256, ""),
        fields.texts(data, "builds", fields.NEVRA, MAX_ITEMS, []),
    )


def _inputs(data: dict[str, Any]) -> Inputs:
    return Inputs(
        kernel_release=fields.text(data, "kernel_release", fields.RELEASE),
        kernel_package=fields.text(data, "kernel_package", fields.NEVRA, ""),
        quality=fields.choice(data, "quality", (EXACT, LOWER_BOUND, UNKNOWN)),
        reason=fields.text(data, "reason", default=""),
        as_of=fields.text(data, "as_of", fields.MOMENT, ""),
        repositories=fields.each(data, "repositories", _repository, MAX_ITEMS, []),
        debt=fields.each(data, "debt", _debt, MAX_ITEMS, []),
        cover=fields.each(data, "cover", _cover, MAX_ITEMS, []),
        unfixable=fields.each(data, "unfixable", _unfixable, MAX_ITEMS, []),
        support_end=fields.text(data, "support_end", fields.DATE, ""),
        window_end=fields.text(data, "window_end", fields.DATE, ""),
        read_in_vain=fields.text(data, "read_in_vain", fields.MOMENT, ""),
        on_offer=fields.inside(data, "on_offer", _on_offer) if data.get("on_offer") is not None else None,
    )


def parse(data: dict[str, Any]) -> tuple[Inputs, ...]:
    """Return the inputs in the cache's JSON object, one for each kernel. Raises FieldError only."""
    return fields.each(data, "kernels", _inputs, MAX_KERNELS, [])


def save(paths: Paths, *kernels: Inputs) -> bool:
    """Write the cache; return False when it cannot be written, as in an unprivileged dnf run.

    Where long texts make it larger than its readers take, fewer rows are kept.
    """
    import json

    # On one line: json's indenting encoder is not written in C, and every dnf upgrade would pay for that.
    text = json.dumps({"schema": SCHEMA, **dump(*kernels)}, sort_keys=True) + "\n"
    most = MAX_ITEMS
    while len(text) > MAX_BYTES and most:
        most //= 4
        less = dump(*(bounded(inputs, most) for inputs in kernels))
        text = json.dumps({"schema": SCHEMA, **less}, sort_keys=True) + "\n"
    try:
        parse(json.loads(text))
        atomic.write_bytes(paths.exposure, text.encode("ascii"))
    except (OSError, ValueError):
        return False
    return True


def load_all(paths: Paths) -> tuple[tuple[Inputs, ...], str]:
    """Return the cached inputs of all kernels, and why the cache cannot be believed, "" where it can."""
    try:
        data = atomic.read_json(paths.exposure, MAX_BYTES, SCHEMA, SCHEMA)
        return (parse(data) if data is not None else ()), ""
    except atomic.Broken as error:
        return (), str(error)
    except fields.FieldError as error:
        return (), f"{paths.exposure} cannot be believed: {error}"


def load(paths: Paths, release: str) -> tuple[Inputs | None, str]:
    """Return the cached inputs for the kernel ``release``, or None and why there are none."""
    kernels, why = load_all(paths)
    for inputs in kernels:
        if inputs.kernel_release == release:
            return inputs, ""
    why = why or f"no dnf run has read the advisories for kernel {release} yet"
    return None, f"{why}; run 'dnf livepatch update --check'"
