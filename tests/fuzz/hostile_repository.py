# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository with metadata alone, as a stranger may write it: no tool has checked any of its texts."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

NAMES = ("primary", "filelists", "other", "updateinfo", "livepatch")
_RPM = 'xmlns:rpm="http://linux.duke.edu/metadata/rpm"'
_PACKAGE = """<package type="rpm"><name>{name}</name><arch>x86_64</arch>
<version epoch="0" ver={version} rel={release}/><checksum type="sha256" pkgid="YES">{key}</checksum>
<summary>s</summary><description>d</description><packager/><url/>
<time file="1" build="1"/><size package="1" installed="1" archive="1"/><location href={location}/>
<format><rpm:license>x</rpm:license><rpm:provides>
<rpm:entry name="livepatch(kernel-uname-r:6.12.0-1.x86_64)"/>
<rpm:entry name="livepatch-cve(CVE-2026-1&lt;script&gt;)"/></rpm:provides></format></package>"""


def parts(
    packages: Iterable[tuple[str, str, str]],
    advisory: str = "A-1",
    severity: str = "Low",
    record: str = '{"schema": 1, "kernels": {}}',
    date: str = "2026-01-01 00:00:00",
) -> dict[str, bytes]:
    """The metadata of ``packages``, (name, version, release), by its type."""
    listed = list(enumerate(packages, 1))
    primary, files, other, collection = "", "", "", ""
    for number, (name, version, release) in listed:
        facts = {"version": quoteattr(version), "release": quoteattr(release), "key": f"{number:064x}"}
        location = quoteattr(f"../../../tmp/{name}.rpm")
        primary += _PACKAGE.format(name=escape(name), location=location, **facts)
        head = f'<package pkgid="{number:064x}" name={quoteattr(name)} arch="x86_64">'
        head += f'<version epoch="0" ver={facts["version"]} rel={facts["release"]}/>'
        files += head + f"<file>/usr/lib/modules/R/livepatch/{escape(name)}.ko</file></package>"
        other += head + "</package>"
        collection += f'<package name={quoteattr(name)} epoch="0" version={facts["version"]} '
        collection += (
            f'release={facts["release"]} arch="x86_64"><filename>{escape(name)}</filename></package>'
        )
    count = len(listed)
    common, base = f'packages="{count}"', "http://linux.duke.edu/metadata/"
    texts = {
        "primary": f'<metadata xmlns="{base}common" {_RPM} {common}>{primary}</metadata>',
        "filelists": f'<filelists xmlns="{base}filelists" {common}>{files}</filelists>',
        "other": f'<otherdata xmlns="{base}other" {common}>{other}</otherdata>',
        "updateinfo": '<updates><update from="a" status="final" type="security" version="1">'
        f"<id>{escape(advisory)}</id><title>{escape(advisory)}</title><severity>{escape(severity)}</severity>"
        f'<issued date={quoteattr(date)}/><references><reference href="javascript:alert(1)" '
        f'id="CVE-2026-1000" type="cve" title={quoteattr(advisory)}/></references>'
        '<pkglist><collection short="x"><name>x</name>'
        f"{collection}</collection></pkglist></update></updates>",
        "livepatch": record,
    }
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return {
        kind: (text if kind == "livepatch" else head + text).encode("utf-8", "replace")
        for kind, text in texts.items()
    }


def repomd(files: dict[str, bytes]) -> bytes:
    """The repomd.xml over ``files``."""
    rows = ""
    for kind, data in files.items():
        total = hashlib.sha256(data).hexdigest()
        rows += f'<data type="{kind}"><checksum type="sha256">{total}</checksum>'
        rows += f'<location href="repodata/{_file(kind)}"/><timestamp>1</timestamp>'
        rows += f"<size>{len(data)}</size></data>"
    text = (
        f'<repomd xmlns="http://linux.duke.edu/metadata/repo" {_RPM}><revision>1</revision>{rows}</repomd>'
    )
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode()


def _file(kind: str) -> str:
    return kind + (".json" if kind == "livepatch" else ".xml")


def write(folder: pathlib.Path, files: dict[str, bytes], index: bytes = b"") -> pathlib.Path:
    """Write ``files`` and the repomd.xml ``index``, by default a fitting one, into ``folder``."""
    (folder / "repodata").mkdir(parents=True, exist_ok=True)
    for kind, data in files.items():
        (folder / "repodata" / _file(kind)).write_bytes(data)
    (folder / "repodata" / "repomd.xml").write_bytes(index or repomd(files))
    return folder


def make(folder: pathlib.Path, packages: Iterable[tuple[str, str, str]], **texts: str) -> pathlib.Path:
    """The repository of ``packages`` in ``folder``."""
    return write(folder, parts(packages, **texts))
