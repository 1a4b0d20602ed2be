# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of packages and modules, as their kernel gives them."""

from __future__ import annotations

import re

from ...base.names import MODULE
from ...base.paths import Paths
from ...toolkit.errors import refuse
from ...vendors.profiles import find, load, package_name

_RPM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\Z")


def package_of(release: str, profile: str) -> str:
    """The package name for ``release`` as the vendor ``profile`` names its own. Raises ToolError.

    A vendor has no name for the releases of another, such as Debian's, or for a flavour. The package then
    gets a name that no vendor's rule reads, and hosts find its kernel by the capabilities that it provides.
    """
    profiles, _faults = load(Paths().profile_dirs)
    try:
        name = package_name(release, find(profiles, profile))
    except KeyError:
        known = ", ".join(item.name for item in profiles if item.names)
        refuse("metadata-invalid", what=f"--profile {profile[:40]}: known are {known or 'none'}")
    name = name or "klp-patch-" + re.sub(r"[^A-Za-z0-9-]", "_", release)
    if not _RPM_NAME.match(name):
        refuse("metadata-invalid", what=f"--kernel {release[:60]}: makes no package name")
    return name


def module_name(text: str) -> str:
    """``text`` as the name of a module, dashes as underscores, as the kernel does. Raises ToolError."""
    name = text.replace("-", "_")
    if not MODULE.match(name):
        refuse("name-unfit", name=text[:80])
    return name


def default_module(release: str, version: str, number: str) -> str:
    """A module name made of kernel and patch version. Raises ToolError when it is too long."""
    return module_name(re.sub(r"[^A-Za-z0-9]", "_", f"livepatch_{release}_{version}_{number}"))
