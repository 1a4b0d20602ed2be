# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs `inspect` and `diff`: facts of a live-patch RPM or module, for both text and JSON."""

from __future__ import annotations

import os
from typing import Any

from ..base.model import Manifest
from ..base.names import MODULE_FILE, module_of
from ..formats import manifest
from ..toolkit.errors import Finding, refuse
from ..toolkit.files import contents
from ..toolkit.openpgp import WEAK
from .kernel.target import Target
from .module.lint import Wanted, function_names, lint
from .package import previous
from .readers.elf import MAX_MODULE, Elf, parse_module, signature
from .readers.lint_catalogue import finding, finding_facts
from .readers.recipe import Recipe, merge
from .readers.rpm_file import payload, read_header
from .readers.source import digest

MAX_MODULES = 64
#: The ends of the names of manifests, and of modules, plain and as kmod and others compress them.
_WANTED = (".json", ".ko", ".ko.xz", ".ko.zst", ".ko.gz", ".ko.bz2", ".ko.lz4")
_RPM_MAGIC = b"\xed\xab\xee\xdb"
# JSON calls the input files "patches"; a person would take these for functions.
_LABELS = {"patches": "inputs"}


def modules_of(path: str) -> tuple[list[tuple[str, bytes]], dict[str, Manifest]]:
    """(file name, content) of each module in ``path``, and manifests by module. Raises ToolError."""
    if not os.path.isfile(path):
        refuse("input-missing", path=path)
    with open(path, "rb") as file:
        if file.read(4) != _RPM_MAGIC:
            return [(os.path.basename(path), contents(path, MAX_MODULE, "module-unreadable"))], {}
    found, manifests = [], {}
    for name, data in sorted(payload(path, _WANTED).items()):
        if MODULE_FILE.search(name) and not name.startswith("/usr/lib/debug/"):
            found.append((name, data))
        elif name.startswith("/usr/share/livepatch/") and name.endswith(".json"):
            try:
                packaged = manifest.parse(data[: manifest.MAX_BYTES + 1].decode("utf-8", "replace"))
            except manifest.ManifestError as error:
                refuse("rpm-unreadable", file=path, reason=f"its manifest {name}: {error}")
            manifests[packaged.module] = packaged
    if len(found) > MAX_MODULES or len(manifests) > MAX_MODULES:
        refuse("rpm-unreadable", file=path, reason=f"it carries more than {MAX_MODULES} modules")
    return found, manifests


def _finding(item: Finding) -> dict[str, str]:
    return {key: value for key, value in finding_facts(item).items() if value}


def _against(elf: Elf, data: bytes, packaged: Manifest | None) -> list[Finding]:
    """A finding for each fact in which the manifest and its module differ."""
    if packaged is None:
        return []
    pairs = (("build id", packaged.build_id, elf.build_id()), ("sha256", packaged.sha256, digest(data)))
    return [
        finding("manifest-mismatch", module=packaged.module, what=what, found=found, wanted=wanted)
        for what, wanted, found in pairs
        if wanted and wanted != found
    ]


def module_facts(name: str, data: bytes, packaged: Manifest | None, target: Target) -> dict[str, Any]:
    """One module: identity, what it patches, its signature, its lint. Raises ToolError."""
    elf = parse_module(name, data)
    info = elf.modinfo()
    module = module_of(name)
    taken = packaged.replace if packaged is not None else None
    found, findings = lint(module, elf, target, Wanted(replace=taken))
    overridden = {check for check, _ in packaged.overrides} if packaged is not None else set()
    findings = [item for item in findings + _against(elf, data, packaged) if item.check not in overridden]
    return {
        "module": module,
        "kernel_release": info.get("vermagic", "").split(" ")[0],
        "machine": elf.machine,
        "build_id": elf.build_id(),
        "srcversion": info.get("srcversion", ""),
        "sha256": digest(data),
        "shape": found.shape,
        "replace": found.replace,
        "functions": function_names(found.functions),
        "callbacks": found.callbacks,
        "states": found.states,
        "signature": signature(bytes(elf.data)),
        "lint": [_finding(item) for item in findings],
        "overrides": [list(item) for item in packaged.overrides] if packaged is not None else [],
    }


def facts(path: str, target: Target) -> dict[str, Any]:
    """Everything about the RPM or module ``path``. Raises ToolError."""
    files, manifests = modules_of(path)
    result: dict[str, Any] = {"schema": 1, "file": os.path.basename(path)}
    with open(path, "rb") as file:
        is_rpm = file.read(4) == _RPM_MAGIC
    recipe = None
    if is_rpm:
        header = read_header(path)
        if header.nevra.arch == "src" and "livepatch.json" in map(os.path.basename, header.files):
            recipe = previous.read(path).recipe
        result["package"] = {
            "nevra": str(header.nevra),
            "provides": list(header.provides),
            "requires": [item for item in header.requires if not item.startswith("rpmlib(")],
            "conflicts": list(header.conflicts),
            "supplements": list(header.supplements),
            "scripts": list(header.scripts),
            "signed": header.signed,
            "digests": list(header.digests),
            "build_time": header.build_time,
            "subscribes": (header.nevra.version, header.nevra.release.split(".")[0]) == ("0", "0"),
        }
    every = list(manifests.values())
    result["cves"] = list(merge([item.cves for item in every]))
    result["unfixable"] = {item.cve: item.reason for entry in every for item in entry.unfixable}
    result["advisory"] = next((item.advisory for item in every if item.advisory), "")
    result["severity"] = next((item.severity for item in every if item.severity), "")
    result["issued"] = next((item.issued for item in every if item.issued), "")
    result["support_end"] = next((item.support_end for item in every if item.support_end), "")
    result["patches"] = {name: sha for item in every for name, sha in item.patches}
    if recipe is not None:
        result.update(_of_source(recipe))
    result["modules"] = [
        module_facts(name, data, manifests.get(module_of(name)), target) for name, data in files
    ]
    return result


def _of_source(recipe: Recipe) -> dict[str, Any]:
    """The facts in a source RPM's ``recipe`` about the package that is built from it."""
    return {
        "cves": list(recipe.cves),
        "unfixable": {item.cve: item.reason for item in recipe.unfixable},
        "advisory": recipe.advisory,
        "severity": recipe.severity,
        "issued": recipe.issued,
        "support_end": recipe.support_end,
        "patches": {item.name: item.sha256 for item in recipe.inputs},
        "source": {
            "kind": recipe.kind,
            "engine": recipe.engine,
            "kernel_release": recipe.kernel_release,
            "modules": list(recipe.modules),
        },
    }


def text(found: dict[str, Any]) -> list[str]:
    """The lines of ``found`` for a person."""
    lines = [found["file"]]
    package = found.get("package")
    if package:
        lines += [
            f"Package:   {package['nevra']}",
            f"Signed:    {'yes (OpenPGP header)' if package['signed'] else 'no'}"
            + ("; EL9 refuses its digest" if {*package["digests"]} & {*WEAK} else ""),
        ]
        lines += [f"Scripts:   {', '.join(package['scripts']) or 'none'}"]
    for key, label in (
        ("advisory", "Advisory"),
        ("severity", "Severity"),
        ("issued", "Issued"),
        ("support_end", "Supported until"),
    ):
        if found[key]:
            lines.append(f"{label + ':':<10} {found[key]}")
    lines.append(f"CVEs:      {', '.join(found['cves']) or 'none named'}")
    lines += [f"Not fixed: {cve}: {reason}" for cve, reason in sorted(found["unfixable"].items())]
    made = found.get("source")
    if made:
        lines.append(f"Source of: {', '.join(made['modules']) or 'no module'} for {made['kernel_release']}")
        lines += [f"  input     {name}" for name in found["patches"]]
    elif not found["modules"]:
        subscribes = package and package["subscribes"]
        lines.append(
            f"Modules:   none{': the package subscribes a kernel to its live patches' if subscribes else ''}"
        )
    for module in found["modules"]:
        replace = {True: "yes", False: "no", None: "unknown until loaded"}[module["replace"]]
        lines += [
            f"Module:    {module['module']}",
            f"  kernel    {module['kernel_release']} ({module['machine']})",
            f"  build id  {module['build_id'] or 'none'}",
            f"  signature {module['signature']}",
            f"  replace   {replace}",
        ]
        lines += [f"  patches   {name}" for name in module["functions"]]
        lines += [f"  carries   {name}" for name in ("callbacks", "states") if module[name]]
        lines += [f"  {item['severity']}: {item['text']} [{item['id']}]" for item in module["lint"]]
        lines += [f"  overridden {check}: {reason}" for check, reason in module["overrides"]]
    return lines


def compare(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The facts that only ``new`` has, and those that only ``old`` has, by kind of fact."""

    def functions(side: dict[str, Any]) -> list[str]:
        return sorted({name for module in side["modules"] for name in module["functions"]})

    sides = {
        "cves": (old["cves"], new["cves"]),
        "unfixable": (sorted(old["unfixable"]), sorted(new["unfixable"])),
        "functions": (functions(old), functions(new)),
        "patches": (sorted(old["patches"]), sorted(new["patches"])),
        "modules": tuple(sorted(m["module"] for m in side["modules"]) for side in (old, new)),
        "kernels": tuple(sorted({m["kernel_release"] for m in side["modules"]}) for side in (old, new)),
    }
    changes = {
        key: {"removed": [x for x in a if x not in b], "added": [x for x in b if x not in a]}
        for key, (a, b) in sides.items()
    }
    changes["patches"]["changed"] = [
        name
        for name in old["patches"]
        if new["patches"].get(name, old["patches"][name]) != old["patches"][name]
    ]
    return {"schema": 1, "old": old["file"], "new": new["file"], "changes": changes}


def compare_text(found: dict[str, Any]) -> list[str]:
    """The lines of ``compare``'s result for a person."""
    lines = [f"--- {found['old']}", f"+++ {found['new']}"]
    for key, change in found["changes"].items():
        lines += [
            f"{sign} {_LABELS.get(key, key)}: {name}"
            for word, sign in (("removed", "-"), ("added", "+"), ("changed", "~"))
            for name in change.get(word, [])
        ]
    return lines if len(lines) > 2 else [*lines, "no difference in content"]
