# SPDX-License-Identifier: GPL-2.0-or-later
"""The report as a static web site: no external resources, readable without JavaScript."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import urllib.parse
import uuid
from typing import NamedTuple

import jinja2

from ..base import times
from ..toolkit import output, ticker
from ..toolkit.errors import ToolError
from .report import KernelPage, Site, as_data
from .repository import modes

MATRIX_KERNELS = 24
MATRIX_CVES = 200
FEED = 50
LONGEST_SLUG = 200
MARKER = ".livepatch-report.json"
NEW = ".new"
_NAMESPACE = uuid.UUID("5f3c5b0e-6f0d-5a7e-9a53-7c2b1f6b9d10")


class Bar(NamedTuple):
    """One kernel's support window on the timeline, in percent of its width."""

    page: KernelPage
    left: float
    width: float


def slug(name: str) -> str:
    """``name`` as a file name: the same for the same name, and safe for any web server."""
    plain = re.sub(r"[^A-Za-z0-9._-]", lambda found: f"~{ord(found[0]):x}", name)
    if len(plain) <= LONGEST_SLUG:
        return plain
    # No file system takes longer names, and a stranger may give a package any name.
    return f"{plain[: LONGEST_SLUG - 17]}~{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _href(folder: str, name: str) -> str:
    return f"{folder}/{urllib.parse.quote(slug(name))}.html"


def _day(text: str) -> int | None:
    """The day of a date or moment in seconds; None where there is none."""
    return times.parse(text[:10])


def _year(seconds: int) -> int:
    return int(times.later(times.EPOCH, seconds)[:4])


def timeline(site: Site) -> dict[str, object]:
    """The bars of all kernels with a known end of support, and the place of today."""
    now = _day(site.generated) or 0
    spans = []
    for page in site.kernels:
        last_day, issued = _day(page.support_end), _day(page.first_issued)
        if last_day is not None:
            end = last_day + times.DAY
            spans.append((page, min(now if issued is None else issued, end), end))
    if not spans:
        return {"bars": [], "today": 0.0, "years": []}
    first = min([now, *(start for _, start, _ in spans)])
    last = max([now, *(end for _, _, end in spans)])
    whole = max(last - first, 1)

    def percent(seconds: int) -> float:
        return round(100 * (seconds - first) / whole, 2)

    bars = [Bar(page, percent(start), max(percent(end) - percent(start), 0.5)) for page, start, end in spans]
    years = [
        (year, percent(_day(f"{year}-01-01") or 0)) for year in range(_year(first) + 1, _year(last) + 1)
    ]
    return {"bars": bars, "today": percent(now), "years": years}


@functools.cache
def _environment() -> jinja2.Environment:
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["href"] = _href
    found.filters["states"] = lambda cells: {cell.kernel: cell.state for cell in cells}
    found.filters["day"] = lambda text: text[:10]
    found.filters["short"] = lambda release: re.sub(r"\.(?:el|fc|amzn)\d.*", "", release)
    found.filters["uuid"] = lambda name: str(uuid.uuid5(_NAMESPACE, name))
    return found


def pages(site: Site) -> dict[str, str]:
    """Every file of the site by its path."""
    environment = _environment()
    recent = [page for page in sorted(site.patches, key=lambda one: one.issued, reverse=True)][:FEED]
    columns = [page for page in site.kernels if page.cells and page.supported is not False][:MATRIX_KERNELS]
    shown = {page.name for page in columns}
    rows = [page for page in site.cves if any(cell.kernel in shown for cell in page.cells)]
    shared = {"site": site, "recent": recent}
    found = {
        "index.html": environment.get_template("index.html.j2").render(
            **shared, root="", columns=columns, rows=rows[:MATRIX_CVES], all_rows=len(rows), **timeline(site)
        ),
        "search.html": environment.get_template("search.html.j2").render(**shared, root=""),
        "feed.xml": environment.get_template("feed.xml.j2").render(**shared, root=site.base_url),
        "data.json": output.as_json(as_data(site)),
    }
    for name in ("style.css", "search.js"):
        with open(
            os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates", name), encoding="utf-8"
        ) as file:
            found[name] = file.read()
    by_name = {page.nevra: page for page in site.patches}
    for folder, template, items in (
        ("kernels", "kernel", [(page.name, page) for page in site.kernels]),
        ("cves", "cve", [(page.id, page) for page in site.cves]),
        ("patches", "patch", [(page.nevra, page) for page in site.patches]),
    ):
        one = environment.get_template(template + ".html.j2")
        for name, page in ticker.over(items, f"writing the pages of {folder}"):
            found[f"{folder}/{slug(name)}.html"] = one.render(
                **shared, page=page, root="../", patches=by_name
            )
    return {name: output.plain(text) for name, text in found.items()}


def write(site: Site, folder: str) -> int:
    """Write the site; returns the number of pages. Only files of an earlier report are removed."""
    marker = os.path.join(folder, MARKER)
    try:
        modes.make(folder)
        if os.listdir(folder) and not os.path.isfile(marker):
            raise ToolError("settings-fault", file=folder, fault="holds other files than a report")
        before: set[str] = set(_listed(marker))
        files = pages(site)
        _put(marker, json.dumps({"schema": 1, "files": sorted({*before, *files})}))
        for name, text in ticker.over(list(files.items()), "writing the files"):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            modes.share(os.path.dirname(path), folder)
            _put(path, text)
            modes.share(path, folder)
        for name in before - set(files):
            # A report that was killed may have left the file under its first name.
            for left in (name, name + NEW):
                if os.path.isfile(os.path.join(folder, left)):
                    os.unlink(os.path.join(folder, left))
        _put(marker, json.dumps({"schema": 1, "files": sorted(files)}))
        modes.share(marker, folder)
    except OSError as error:
        raise ToolError("disk", reason=f"{error.strerror}: {error.filename or folder}") from None
    return sum(1 for name in files if name.endswith(".html"))


def _listed(marker: str) -> list[str]:
    try:
        with open(marker, encoding="utf-8") as file:
            names = json.load(file)["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    if not isinstance(names, list):
        return []
    below = (n for n in names if isinstance(n, str) and not n.startswith("/") and ".." not in n.split("/"))
    return [name for name in below if "\0" not in name]


def _put(path: str, text: str) -> None:
    with open(path + NEW, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + NEW, path)
