# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of one live-patch module, for faults that a host or its kernel would find only later."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Callable, NamedTuple

from ...base.model import Function
from ...base.names import MODULE
from ...toolkit.errors import Finding
from ..kernel.target import Kernel, Target, crcs, kernel_modules, module_file, module_functions
from ..readers import klp_module
from ..readers.elf import Elf, signature
from ..readers.lint_catalogue import finding
from ..readers.recipe import Override


class Wanted(NamedTuple):
    """The builder's expectations of a module. ``replace`` None: either; ``taken``: name -> its owner."""

    replace: bool | None = None
    depends: tuple[str, ...] = ()
    signed: bool = False
    taken: tuple[tuple[str, str], ...] = ()


class Subject(NamedTuple):
    """One module under the checks."""

    name: str
    elf: Elf
    found: klp_module.Patched
    target: Target
    wanted: Wanted


def function_names(functions: Iterable[Function]) -> list[str]:
    """``functions`` as OBJECT:NAME, with the position where it matters, sorted."""
    return sorted(f"{f.object}:{f.name}" + (f",{f.sympos}" if f.sympos else "") for f in functions)


def _identity(item: Subject) -> Iterable[Finding]:
    info = item.elf.modinfo()
    if info.get("livepatch") != "Y":
        yield finding("not-livepatch", module=item.name)
    if not item.elf.build_id():
        yield finding("no-build-id", module=item.name)
    vermagic = info.get("vermagic", "").split(" ")[0]
    if item.target.release and vermagic != item.target.release:
        yield finding(
            "vermagic-mismatch", module=item.name, found=vermagic or "no kernel", wanted=item.target.release
        )
    depends = tuple(name for name in info.get("depends", "").split(",") if name)
    undeclared = [name for name in depends if name not in item.wanted.depends]
    if undeclared:
        yield finding("depends-undeclared", module=item.name, found=", ".join(undeclared))
    if not item.elf.symbols:
        yield finding("symbols-stripped", module=item.name)


def _naming(item: Subject) -> Iterable[Finding]:
    said = item.elf.modinfo().get("name", "")
    if len(item.name) > 55 or len(said) > 55:
        yield finding("name-too-long", module=item.name, length=max(len(item.name), len(said)))
    elif not MODULE.match(item.name):
        yield finding("name-invalid", module=item.name)
    if said and said != item.name:
        yield finding("name-mismatch", module=item.name, found=said)
    taken = dict(item.wanted.taken)
    if item.target.symvers and item.name in kernel_modules(item.target.symvers):
        taken.setdefault(item.name, "a module of the kernel")
    if item.name in taken:
        yield finding("name-taken", module=item.name, owner=taken[item.name])


def _late(item: Subject) -> Iterable[Finding]:
    for what in klp_module.relocation_faults(item.elf)[:20]:
        yield finding("klp-relocation-invalid", module=item.name, what=what)
    for section in klp_module.jump_tables(item.elf):
        yield finding("jump-table-relocation", module=item.name, section=section)


def _replace(item: Subject) -> Iterable[Finding]:
    if item.wanted.replace is None or not item.found.shape:
        return
    if item.found.replace is None:
        yield finding("replace-unknown", module=item.name)
    elif item.found.replace != item.wanted.replace:
        yield finding(
            "replace-mismatch",
            module=item.name,
            found=str(item.found.replace).lower(),
            wanted=str(item.wanted.replace).lower(),
        )


def _crcs(item: Subject) -> Iterable[Finding]:
    used = item.elf.crcs()
    if not used:
        yield finding("crc-unchecked", module=item.name, why="the module carries none")
        return
    if not item.target.symvers:
        yield finding("crc-unchecked", module=item.name, why="no Module.symvers was given")
        return
    known = crcs(item.target.symvers)
    # module_layout stands for the layout of struct module and is in no Module.symvers of some kernels.
    missing = sorted(name for name in used if name not in known and name != "module_layout")
    other = sorted(name for name in used if name in known and known[name] != used[name])
    for identifier, names in (("crc-unknown", missing), ("crc-mismatch", other)):
        if names:
            yield finding(identifier, module=item.name, count=len(names), symbols=", ".join(names[:5]))


def _functions(item: Subject) -> Iterable[Finding]:
    if not item.found.functions:
        carried = {"callbacks": item.found.callbacks, "states": item.found.states}
        what = " and ".join(name for name, there in carried.items() if there)
        identifier = "patches-no-function" if what else "patches-nothing"
        yield finding(identifier, module=item.name, what=what)
        return
    objects: dict[str, list[Function]] = {}
    for function in item.found.functions:
        objects.setdefault(function.object, []).append(function)
    for name, functions in objects.items():
        yield from (_in_kernel if name == "vmlinux" else _in_module)(item, functions)


def _unchecked(item: Subject, functions: Sequence[Function], why: str) -> Finding:
    names = [function.name for function in functions]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    told = ", ".join(names[:5]) + more
    return finding("target-unchecked", module=item.name, functions=told, object=functions[0].object, why=why)


def _in_kernel(item: Subject, functions: Sequence[Function]) -> Iterable[Finding]:
    if not item.target.vmlinux:
        yield _unchecked(item, functions, "no vmlinux was given")
        return
    kernel = Kernel(item.target.vmlinux)
    for function in functions:
        places = kernel.functions.get(function.name, [])
        wrong = _count(item.name, function.name, function.sympos, len(places))
        yield from wrong or _place(item.name, kernel, function.name, places[max(0, function.sympos - 1)])


def _in_module(item: Subject, functions: Sequence[Function]) -> Iterable[Finding]:
    """``functions`` of one module of the kernel; whether ftrace reaches them is not looked up there."""
    owner = functions[0].object
    path = module_file(item.target, owner)
    release = item.target.release or item.elf.modinfo().get("vermagic", "").split(" ")[0]
    known = module_functions(path, release) if path else {}
    if not known:
        why = f"{path} tells no functions of this kernel" if path else f"no {owner}.ko was given"
        yield _unchecked(item, functions, why)
        return
    for function in functions:
        name, sections = f"{owner}:{function.name}", known.get(function.name, [])
        wrong = _count(item.name, name, function.sympos, len(sections))
        if not wrong and sections[max(0, function.sympos - 1)].startswith(".init"):
            wrong = [finding("target-init", module=item.name, function=name)]
        yield from wrong


def _count(module: str, name: str, sympos: int, count: int) -> list[Finding]:
    """The fault, if any, of a patched function that its object has ``count`` times."""
    if not count or sympos > count:
        return [finding("target-missing", module=module, function=name)]
    if count > 1 and not sympos:
        return [finding("target-ambiguous", module=module, function=name, count=count, sympos=0)]
    return []


def _place(module: str, kernel: Kernel, name: str, place: tuple[int, int]) -> Iterable[Finding]:
    address, size = place
    if kernel.init[0] <= address < kernel.init[1]:
        yield finding("target-init", module=module, function=name)
    elif kernel.traced:
        index = bisect.bisect_left(kernel.traced, address - 16)
        # The hook lies at the function's start, or just before it where calls are padded.
        if index == len(kernel.traced) or kernel.traced[index] >= address + max(size, 16):
            yield finding("target-notrace", module=module, function=name)


def _signature(item: Subject) -> Iterable[Finding]:
    state = signature(bytes(item.elf.data))
    if state == "broken":
        yield finding("signature-broken", module=item.name)
    elif state == "none":
        found = finding("signature-missing", module=item.name)
        yield found._replace(severity="error") if item.wanted.signed else found


_CHECKS: tuple[Callable[[Subject], Iterable[Finding]], ...] = (
    _identity,
    _naming,
    _late,
    _replace,
    _crcs,
    _functions,
    _signature,
)


def lint(name: str, elf: Elf, target: Target, wanted: Wanted) -> tuple[klp_module.Patched, list[Finding]]:
    """The functions that the module ``elf`` patches, and all findings about loading it as ``name``."""
    found = klp_module.patched(elf)
    item = Subject(name, elf, found, target, wanted)
    return found, [result for check in _CHECKS for result in check(item)]


def together(modules: Sequence[tuple[str, klp_module.Patched]]) -> list[Finding]:
    """The findings about one package's ``modules``, (name, what it patches), as a whole."""
    replacing = [name for name, found in modules if found.replace]
    return [finding("replace-several", modules=", ".join(replacing))] if len(replacing) > 1 else []


def apply(findings: Sequence[Finding], overrides: Sequence[Override]) -> list[Finding]:
    """``findings`` with the builder's severities; errors first, otherwise in order."""
    chosen: dict[str, Override] = {item.check: item for item in overrides}
    judged = [
        item._replace(severity=chosen[item.check].severity, waived=chosen[item.check].reason)
        if item.check in chosen
        else item
        for item in findings
    ]
    return sorted(judged, key=lambda item: ("error", "warning", "note").index(item.severity))
