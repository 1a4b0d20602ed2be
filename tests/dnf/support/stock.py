# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages and the states of the repositories that the tests choose from."""

from __future__ import annotations

from tests.dnf.support import rpms
from tests.dnf.support.lab import Update

CVE20, CVE30 = "CVE-2024-0020", "CVE-2024-0030"
K10, K20, K30, K40 = (rpms.kernel(number) for number in (10, 20, 30, 40))
P1 = rpms.patch(10, "1-1", [CVE20])
P2 = rpms.patch(10, "1-2", [CVE20, CVE30])
P0 = rpms.patch(10, "0-0")
FOR40 = rpms.patch(40, "1-1", ["CVE-2024-0050"])
FOR20 = rpms.patch(20, "1-1", [CVE30])
OWN = f"kernel-uname-r = {rpms.release(10)}"
NEEDY = rpms.patch(10, "1-3", [CVE20, CVE30], requires=(OWN, "no-such-thing"))
DRAGGING = rpms.patch(10, "1-4", [CVE20, CVE30], requires=("helper",))
GREEDY = rpms.patch(10, "1-5", [CVE20, CVE30], other=("Obsoletes: bystander < 9",))
LYING = rpms.patch(10, "1-6", [CVE20, CVE30], requires=(f"kernel-uname-r = {rpms.release(20)}",))
HOSTILE = rpms.patch(10, "1-7", [CVE20], text='{"schema": 1, "module": "../../etc/shadow"}')
BAD_PRE = "%pre -n kpatch-patch-5_14_0-10 -p <lua>\nerror('no')"
FAILING = rpms.patch(10, "1-8", [CVE20, CVE30], script=BAD_PRE)
HELPER = rpms.Rpm("helper", "1", "1")
BY1, BY2 = (rpms.Rpm("bystander", version, "1") for version in "12")
OTHER = rpms.Rpm("other", "1", "1")
DISTRO = rpms.Rpm("distribution-release", "9", "1", ("system-release = 9",))
KMOD2 = rpms.Rpm("kmod-x", "2", "1", (), (f"kernel-uname-r = {rpms.release(40)}",))
TOOLS10, TOOLS40 = (rpms.Rpm("kernel-tools", "5.14.0", f"{number}.el9") for number in (10, 40))
KMOD = rpms.Rpm("kmod-x", "1", "1", (), (f"kernel-uname-r = {rpms.release(10)}",))

ADV10 = Update("KERNEL-10", (K10,), ("CVE-2024-0010",))
ADV20 = Update("KERNEL-20", (K20,), (CVE20,), severity="Critical")
ADV30 = Update("KERNEL-30", (K30,), (CVE30,))
ADV40 = Update("KERNEL-40", (K40,), (), "bugfix", "None")
ADVBY = Update("BYSTANDER-2", (BY2,), ("CVE-2024-9999",))
ADVP1 = Update("PATCH-1", (P1,), (CVE20,), severity="Critical")
ADVP2 = Update("PATCH-2", (P2,), (CVE20, CVE30))

ALL = (
    K10, K20, K30, K40, P1, P2, P0, FOR40, FOR20, NEEDY, DRAGGING, GREEDY, LYING, HOSTILE, FAILING,
    HELPER, BY1, BY2, OTHER, KMOD, KMOD2, TOOLS10, TOOLS40, DISTRO,
)  # fmt: skip
START = (K10, BY1, OTHER, DISTRO)
ALL_KERNELS = (ADV10, ADV20, ADV30, ADV40)
BASE = ["--releasever=9", "kernel-core", "bystander", "distribution-release"]

#: state of the repository -> (packages, advisories); START is the one the host was installed from.
STATES = {
    "start": (START, (ADV10,)),
    "update": ((*START, BY2), (ADV10, ADVBY)),
    "kernel": ((*START, K20, K30, K40, BY2), (*ALL_KERNELS, ADVBY)),
    "first": ((*START, P1), (ADV10, ADV20, ADVP1)),
    "patches": ((*START, P1, P2, BY2), (ADV10, ADV20, ADV30, ADVP1, ADVP2, ADVBY)),
    "all": ((*START, K20, K30, K40, P1, P2, FOR40, FOR20, BY2), (*ALL_KERNELS, ADVP1, ADVP2, ADVBY)),
    "uninformed": ((*START, P1, P2, BY2), ()),
    "unneeded": ((*START, P1, BY2), (ADV10, ADVBY)),
    "needy": ((*START, NEEDY, BY2), (*ALL_KERNELS, ADVBY)),
    "older": ((*START, P1, P2, NEEDY, BY2), (*ALL_KERNELS, ADVP1, ADVP2, ADVBY)),
    "dragging": ((*START, DRAGGING, HELPER, BY2), (*ALL_KERNELS, ADVBY)),
    "greedy": ((*START, GREEDY, BY2), (*ALL_KERNELS, ADVBY)),
    "lying": ((*START, LYING, K20, BY2), (*ALL_KERNELS, ADVBY)),
    "hostile": ((*START, HOSTILE, BY2), (*ALL_KERNELS, ADVBY)),
    "failing": ((*START, FAILING, BY2), (*ALL_KERNELS, ADVBY)),
    "subscription": ((*START, P0, BY2), (*ALL_KERNELS, ADVBY)),
    "before": ((*START, P1, P2, KMOD, TOOLS10), (ADV10, ADV20, ADV30, ADVP1, ADVP2)),
    "module": ((*START, K20, K30, K40, P1, P2, KMOD, KMOD2, BY2), (*ALL_KERNELS, ADVP1, ADVP2, ADVBY)),
    "tools": ((*START, K20, K30, K40, P1, P2, TOOLS10, TOOLS40, BY2), (*ALL_KERNELS, ADVP1, ADVP2)),
    "silent": ((*START, K20, K30, K40, P1, P2, BY2), ()),
    "usurper": ((K40, P1, P2), (ADVP1, ADVP2)),
    "only-patch": ((P1, P2), (ADVP1, ADVP2)),
}
