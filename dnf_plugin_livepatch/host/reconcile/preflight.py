# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings about a module and the host before a load; an error among them forbids the load.

Nothing is changed. A fact that cannot be read (debugfs without root, a kernel without lockdown) gives no
finding, because the kernel itself refuses what it must.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from ...base.model import InstalledModule, Kernel, Manifest, Problem
from ...base.paths import Paths
from ...base.typed import NamedTuple
from ...messages.catalogue import problem
from ...messages.message import several
from ..kernel import livepatches, module_file, packed, probes, running, signature, tasks
from ..kernel.module_file import ModInfo, ModuleError
from ..packages import installed
from ..read import read_text


def _file(path: str, descriptor: int) -> Problem | None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
        return problem("module-writable", path=path)
    return None


def _signature(paths: Paths, module: InstalledModule, info: ModInfo) -> Problem | None:
    locked = running.lockdown(paths)
    if not (running.sig_enforce(paths) or locked in ("integrity", "confidentiality")):
        return None
    if info.signed:
        if not signature.unknown(paths, info.signer):
            return None
        return problem("module-key-unknown", module=module.name, signer=info.signer)
    why = "module.sig_enforce is on" if running.sig_enforce(paths) else f"lockdown is {locked}"
    return problem("module-unsigned", module=module.name, why=why)


def module(paths: Paths, kernel: Kernel, wanted: InstalledModule) -> tuple[tuple[Problem, ...], str]:
    """Return the findings about the module file ``wanted``, and its build id ("" for none)."""
    try:
        descriptor = module_file.open_file(wanted.path)
    except ModuleError as error:
        return (problem("module-missing", path=wanted.path, why=error),), ""
    try:
        with opened(paths, kernel, wanted, descriptor) as seen:
            return seen.found, seen.build_id
    finally:
        os.close(descriptor)


class Opened(NamedTuple):
    """The findings about an open module file, its build id, and a descriptor of the plain module in it."""

    found: tuple[Problem, ...]
    build_id: str
    plain: int


@contextlib.contextmanager
def opened(paths: Paths, kernel: Kernel, wanted: InstalledModule, descriptor: int) -> Iterator[Opened]:
    """As ``module``, about the module file ``wanted`` that is open as ``descriptor``."""
    seen = _opened(paths, kernel, wanted, descriptor)
    try:
        yield seen
    finally:
        module_file.close(seen.plain, descriptor)


def _opened(paths: Paths, kernel: Kernel, wanted: InstalledModule, descriptor: int) -> Opened:
    """Look at a module file; a compressed one is unpacked only if the rpm database knows that very file."""
    by = module_file.algorithm(wanted.digest)
    fault = _file(wanted.path, descriptor)
    if fault is not None:
        return Opened((fault,), "", descriptor)
    inside = descriptor
    try:
        told = module_file.digest(descriptor, by) if packed.kind(descriptor) else ""
        if told and wanted.digest and told != wanted.digest:
            return Opened((problem("module-changed", path=wanted.path),), "", descriptor)
        inside = module_file.plain(descriptor, wanted.path, (_folder(paths, kernel), paths.run_dir))
        info = module_file.facts(inside, by)
    except (ModuleError, OSError) as error:
        module_file.close(inside, descriptor)
        return Opened((problem("module-unusable", path=wanted.path, why=error),), "", descriptor)
    info = info._replace(digest=told or info.digest)
    return Opened(_findings(paths, kernel, wanted, info), info.build_id, inside)


def _folder(paths: Paths, kernel: Kernel) -> str:
    """The folder from which SELinux policy lets the modules of ``kernel`` be loaded."""
    return os.path.dirname(paths.module_dir(kernel.release))


def _findings(paths: Paths, kernel: Kernel, wanted: InstalledModule, info: ModInfo) -> tuple[Problem, ...]:
    found: list[Problem] = []
    if not wanted.digest:
        found.append(problem("module-unchecked", path=wanted.path))
    elif info.digest != wanted.digest:
        found.append(problem("module-changed", path=wanted.path))
    if not info.livepatch:
        found.append(problem("module-no-livepatch", path=wanted.path))
    if info.name and info.name.replace("-", "_") != wanted.name:
        found.append(problem("module-other-name", path=wanted.path, name=info.name))
    if info.vermagic.partition(" ")[0] != kernel.release:
        found.append(
            problem("module-vermagic", path=wanted.path, vermagic=info.vermagic, release=kernel.release)
        )
    if wanted.manifest is not None:
        found += _against_manifest(kernel, wanted, wanted.manifest, info)
        found += probes.on_functions(paths, wanted.manifest)
        found += _targets(paths, wanted.manifest)
    unsigned = _signature(paths, wanted, info)
    if unsigned is not None:
        found.append(unsigned)
    return tuple(found)


def _against_manifest(
    kernel: Kernel, wanted: InstalledModule, declared: Manifest, info: ModInfo
) -> list[Problem]:
    found = []
    if declared.build_id != info.build_id:
        found.append(
            problem(
                "module-build-id", path=wanted.path, found=info.build_id or "none", told=declared.build_id
            )
        )
    if declared.sha256 and declared.sha256 != info.sha256:
        found.append(problem("module-changed", path=wanted.path))
    if declared.kernel_build_id and declared.kernel_build_id != kernel.build_id:
        found.append(
            problem(
                "kernel-build-id",
                module=wanted.name,
                found=kernel.build_id or "none",
                told=declared.kernel_build_id,
            )
        )
    return found


def _targets(paths: Paths, declared: Manifest) -> list[Problem]:
    """Note the target modules that are not loaded. They are no fault: the kernel patches them on arrival."""
    objects = sorted({function.object for function in declared.functions} - {"vmlinux"})
    absent = [name for name in objects if not os.path.isdir(f"{paths.modules}/{name.replace('-', '_')}")]
    return [problem("target-pending", module=declared.module, targets=several(absent, 10))] if absent else []


def host(paths: Paths) -> tuple[Problem, ...]:
    """Return the findings about the host, which count for every module."""
    found = [problem("rival-product", rival=name) for name in running.other_products(paths)]
    if _kpatch_dnf(read_text(paths.at("/etc/dnf/plugins/kpatch.conf"))):
        found.append(problem("kpatch-dnf-on"))
    if os.path.exists(paths.at("/run/ostree-booted")):
        found.append(problem("host-ostree"))
    return tuple(found)


def busy(paths: Paths) -> Problem | None:
    """Return the finding that another patch's transition is under way, or None."""
    name = livepatches.transition(paths)
    if not name:
        return None
    late = tasks.in_the_way(paths, name)
    return problem("transition-running", module=name, tasks=late, how=late.remedy)


def _kpatch_dnf(text: str) -> bool:
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals and key.strip() == "autoupdate" and value.strip().lower() in ("1", "yes", "true", "on"):
            return True
    return False


def errors(found: Sequence[Problem]) -> bool:
    """Return whether the findings forbid the load."""
    return any(item.severity == "error" for item in found)


def signer(paths: Paths, release: str, nevra: str) -> tuple[Problem, ...]:
    """The finding that the package ``nevra`` is signed with another key than the running kernel, if it is.

    To be asked for a package that nothing vouches for but its own repository's listing.
    """
    signers = installed.signer(paths, nevra), installed.kernel_signer(paths, release)
    mine, kernels = map(installed.key_of, signers)
    if mine and mine == kernels:
        return ()
    return (problem("signer-differs", nevra=nevra, key=mine or "no key", kernel=kernels or "no known key"),)
