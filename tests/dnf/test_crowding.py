# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository that is not trusted crowds out nobody: in a hold, among the names, among the advisories."""

from __future__ import annotations

import pytest

from tests.dnf.support import rpms, stock, strangers
from tests.dnf.support.lab import Update, lines, shared

RELEASE = rpms.release(10)
FIX = rpms.Rpm("bystander", "7", "1")
KERNEL = rpms.Rpm("kernel", "7", "1")
PLAIN = rpms.Rpm(
    "kpatch-patch-5_14_0-10", "1", "9.el9", (f"kpatch-patch = {RELEASE}",), (f"kernel-uname-r = {RELEASE}",)
)
CROWD = tuple(
    rpms.Rpm(f"aa{n:02}", "1", "1", (f"kpatch-patch = {RELEASE}", f"livepatch(kernel-uname-r:{RELEASE})"))
    for n in range(66)
)
HONEST = (*stock.START, stock.P1, stock.P2)
STATES = {
    **stock.STATES,
    "fix": ((*HONEST, stock.K20, stock.K30, FIX), (*stock.ALL_KERNELS, stock.ADVP1, stock.ADVP2)),
    "plain": ((*stock.START, PLAIN), (*stock.ALL_KERNELS, Update("PLAIN", (PLAIN,), (stock.CVE20,)))),
    "usurper": ((KERNEL,), ()),
    "crowd": (CROWD, ()),
}


@pytest.fixture(scope="session")
def crowd_lab(tmp_path_factory):
    return shared(
        tmp_path_factory, "crowd-lab", (*stock.ALL, FIX, KERNEL, PLAIN, *CROWD), STATES, stock.BASE
    )


@pytest.fixture
def host(crowd_lab):
    one = crowd_lab.host()
    yield one
    one.drop()


@pytest.mark.parametrize("policy", ["hold", "hold-when-covered"])
def test_a_strangers_kernel_keeps_no_package_of_others_out(host, policy):
    """Its kernel has the version, the release and the source RPM of an honest package."""
    host.repos(base="patches")
    host.dnf("upgrade", "--exclude=bystander")
    host.conf(f"kernel_update = {policy}\n")
    host.repos(base="fix", other="usurper")
    answer = host.dnf("upgrade")
    assert str(FIX) in answer.new, lines(answer)


def test_many_names_of_a_stranger_leave_the_honest_patch_its_advisories(host):
    """Only so many names are asked for; the advisory alone makes the patch a security update."""
    host.repos(base="plain", other="crowd")
    answer = host.dnf("upgrade", "--security", "--exclude=kernel*")
    assert str(PLAIN) in answer.new, lines(answer)


@pytest.mark.parametrize("words", ["--advisory=PATCH-2", "--cve=CVE-2024-0030", "--sec-severity=Important"])
def test_thousands_of_empty_advisories_leave_the_honest_one_in_sight(host, crowd_lab, words):
    rows = "".join(
        f'<update from="a" status="final" type="security" version="1"><id>A{n}</id><title>t</title><issued '
        f'date="2026-01-01 00:00:00"/><references/><pkglist><collection short="s"><name>n</name><package '
        f'name="{stock.P2.name}" version="9" release="{n}" epoch="0" arch="x86_64"><filename>f</filename>'
        "</package></collection></pkglist></update>"
        for n in range(2100)
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<updates>{rows}</updates>'
    host.repos(base="patches", other=strangers.state(crowd_lab, [stock.OTHER], (), text))
    answer = host.dnf("upgrade", words)
    assert str(stock.P2) in answer.new, lines(answer)
