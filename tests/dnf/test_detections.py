# SPDX-License-Identifier: GPL-2.0-or-later
"""A client's report that mentions a CVE and does not fix it."""

from __future__ import annotations

import json

import pytest

from tests.dnf.support import rpms, stock
from tests.dnf.support.lab import RUNNING, SOURCE, shared

PACKAGE = rpms.Rpm(f"uptrack-updates-{RUNNING}", "20260601", "0", arch="noarch")
BASE = (stock.K10, stock.BY1, stock.OTHER, stock.DISTRO)
STATES = {
    "start": (BASE, (stock.ADV10,)),
    "next": ((*BASE, stock.K20, PACKAGE), (stock.ADV10, stock.ADV20)),
}
SHOW = """#!/bin/sh
[ "$1" = --available ] && exec printf 'Available updates:\\nNone\\n'
printf 'Installed updates:\\n[oey64tu5] {text}\\n'
"""
LIVEPATCH = f"python3 {SOURCE}/bin/livepatch "


@pytest.fixture(scope="module")
def uptrack(tmp_path_factory):
    return shared(tmp_path_factory, "detections", [*BASE, stock.K20, PACKAGE], STATES, stock.BASE)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("Known exploit detection for CVE-2024-0020: Overflow in tun.", False),
        ("Enable detection of CVE-2023-0001, CVE-2024-0020", False),
        ("CVE-2023-0001: Information leak, follow-up of CVE-2024-0020.", False),
        ("CVE-2023-0001, CVE-2024-0020: Overflow in tun.", True),
    ],
)
def test_a_mention_closes_nothing(uptrack, text, closed):
    host = uptrack.host()
    host.write("/usr/sbin/uptrack-show", SHOW.format(text=text))
    host.write("/usr/sbin/uptrack-upgrade", "#!/bin/sh\nexit 0\n")
    host.sh("chmod 755 /usr/sbin/uptrack-*")
    host.repos(base="next")
    host.dnf("install", PACKAGE.name)
    host.dnf("livepatch", "update", "--check")
    found = json.loads(host.sh(LIVEPATCH + "cves --json").out)["exposure"]
    vex = json.loads(host.sh(LIVEPATCH + "vex").out)["statements"]
    host.drop()
    assert [row["cve"] for row in found["closed_live" if closed else "open"]].count("CVE-2024-0020") == 1
    states = {row["vulnerability"]["name"]: row["status"] for row in vex}
    assert states["CVE-2024-0020"] == ("not_affected" if closed else "affected")
