# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms of the package and the arrows between them, for test_rooms.py and scripts/architecture."""

# The rooms that each room may import; an import of another room fails. What may be imported stands above.
SHARED = ("base", "messages")
PACKAGES = (*SHARED, "vendors", "formats")
CVES = (*PACKAGES, "exposure")
READING = ("host/read", "host/program", "host/kernel", "host/clients", "host/files", "host/packages")
ARROWS = {
    "base": (),
    "messages": ("base",),
    "vendors": SHARED,
    "formats": SHARED,
    "exposure": SHARED,
    "planning": CVES,
    "host/read": ("base",),
    "host/output": ("base",),
    "host/program": SHARED,
    "host/kernel": (*PACKAGES, *READING[:2]),
    "host/clients": (*PACKAGES, *READING[:3]),
    "host/files": (*CVES, *READING[:3]),
    "host/packages": (*CVES, *READING[:5]),
    "host/look": (*CVES, *READING),
    "host/reconcile": (*CVES, *READING, "host/output", "host/look"),
    "host/report": (*CVES, *READING, "host/look", "host/reconcile"),
    "host/cli": (*CVES, *READING, "host/output", "host/look", "host/reconcile", "host/report"),
    "host/after_transaction": (*CVES, *READING, "host/look", "host/reconcile", "host/report"),
    "host/for_planning": (
        *CVES,
        *READING,
        "planning",
        "host/look",
        "host/reconcile",
        "host/report",
        "host/after_transaction",
    ),
    "dnf4": (*CVES, "planning", "host/for_planning", "host/cli", "host/program", "host/output"),
    "toolkit": SHARED,
    "rpmtool/readers": (*PACKAGES, "toolkit"),
    "rpmtool/kernel": (*PACKAGES, "toolkit", "rpmtool/readers"),
    "rpmtool/module": (*PACKAGES, "toolkit", "rpmtool/readers", "rpmtool/kernel"),
    "rpmtool/package": (*PACKAGES, "toolkit", "rpmtool/readers", "rpmtool/kernel", "rpmtool/module"),
    "rpmtool": (
        *PACKAGES,
        "toolkit",
        "rpmtool/readers",
        "rpmtool/kernel",
        "rpmtool/module",
        "rpmtool/package",
    ),
    "repotool/repository": (*CVES, "toolkit"),
    "repotool/lint": (*CVES, "toolkit", "repotool/repository"),
    "repotool": (*CVES, "toolkit", "repotool/repository", "repotool/lint"),
}


def room(name):
    """The room of a module: its folder, or the folder or file below where a folder has rooms of its own."""
    parts = name[: -len(".py")].split("/")[1:]
    if parts[0] in ("host", "rpmtool", "repotool") and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] == "host" and parts[-1] != "__init__":
        return "/".join(parts[:2])
    return parts[0]
