# SPDX-License-Identifier: GPL-2.0-or-later
"""Every vendor's packages, by its own names, capabilities, files and scriptlets' behaviour."""

from __future__ import annotations

from typing import NamedTuple

from tests.dnf.support.lab import Update
from tests.dnf.support.rpms import Rpm

OPEN, CLOSED, BESIDE = "CVE-2024-0020", "CVE-2024-0030", "CVE-2024-0040"


def kernel(name: str, version: str, release: str, uname: str) -> Rpm:
    """A kernel with its boot image; two-dash releases cannot be capabilities."""
    capability = (f"kernel-uname-r = {uname}",) if uname.count("-") < 2 else ()
    return Rpm(
        name,
        version,
        release,
        (*capability, "installonlypkg(kernel)"),
        (),
        (),
        ((f"/boot/vmlinuz-{uname}", "kernel\n"), (f"/lib/modules/{uname}", None)),
    )


def kpatch(name: str, version: str, release: str, uname: str) -> Rpm:
    """A package as Red Hat's, whose scriptlet loads the module on its kernel, and always ends with 0."""
    if version == "0":
        return Rpm(
            name, version, release, (f"kpatch-patch = {uname}",), (f"kernel-uname-r = {uname}", "kpatch")
        )
    module = f"{name.replace('kpatch-patch', 'kpatch')}-{version}-{release.partition('.')[0]}"
    path = f"/usr/lib/kpatch/{uname}/{module}.ko"
    script = (
        f"%post -n {name}\n/usr/sbin/kpatch install -k {uname} {path}\n"
        f'if [ "$(uname -r)" = {uname} ]; then /usr/sbin/kpatch load {path}; fi\nexit 0\n'
        f"%postun -n {name}\n/usr/sbin/kpatch uninstall -k {uname} {module}\nexit 0"
    )
    return Rpm(
        name,
        version,
        release,
        (f"kpatch-patch = {uname}", f"kpatch-patch = {uname.rpartition('.')[0]}"),
        (f"kernel-uname-r = {uname}", "kpatch >= 0.6.1"),
        (f"Conflicts: {name} < {version}-{release}",),
        ((path, "module\n"),),
        script,
    )


def plain(name: str, version: str, release: str, *paths: str, **more: object) -> Rpm:
    """A package of modules whose loading is left to others."""
    return Rpm(name, version, release, files=tuple((path, "module\n") for path in paths), **more)  # type: ignore[arg-type]


class Vendor(NamedTuple):
    """``best`` is the one package that has to be added to a host that runs ``uname``.

    ``modules`` are those of ``best``, after who loads them: ``reconcile``, or the ``package`` itself by
    its scriptlets; none where a client does. ``text`` replaces the repository's updateinfo.
    ``build_id`` is the running kernel's.
    """

    profile: str
    uname: str
    kernel: Rpm
    newer: Rpm
    best: Rpm
    others: tuple[Rpm, ...]
    modules: tuple[tuple[str, str], ...] = ()
    text: str = ""
    build_id: str = ""

    @property
    def updates(self) -> tuple[Update, ...]:
        """Its advisories: the next kernel fixes both CVEs, and so does the best patch."""
        return (
            Update("KERNEL-OLD", (self.kernel,), ("CVE-2024-0001",)),
            Update("KERNEL-NEW", (self.newer,), (OPEN, CLOSED)),
            Update("PATCH", (self.best,), (OPEN, CLOSED)),
        )


EL, EL_NEXT = "5.14.0-427.13.1.el9_4.x86_64", "5.14.0-427.16.1.el9_4.x86_64"
KP = "kpatch-patch-5_14_0-427_13_1"
RED_HAT = Vendor(
    "kpatch",
    EL,
    kernel("kernel-core", "5.14.0", "427.13.1.el9_4", EL),
    kernel("kernel-core", "5.14.0", "427.16.1.el9_4", EL_NEXT),
    kpatch(KP, "1", "10.el9_4", EL),
    (
        kpatch(KP, "0", "0.el9_4", EL),
        kpatch(KP, "1", "9.el9_4", EL),
        kpatch("kpatch-patch-5_14_0-427_13", "1", "11.el9_4", "5.14.0-427.13.el9_4.x86_64"),
        kpatch("kpatch-patch-5_14_0-427_13_1_1", "1", "11.el9_4", "5.14.0-427.13.1.1.el9_4.x86_64"),
        Rpm("kernel-modules-extra", "5.14.0", "427.13.1.el9_4", (), (f"kernel-uname-r = {EL}",)),
    ),
    (("package", f"/usr/lib/kpatch/{EL}/kpatch-5_14_0-427_13_1-1-10.ko"),),
)

AMZN, AMZN_NEXT = "6.1.94-99.176.amzn2023.x86_64", "6.1.96-102.177.amzn2023.x86_64"
KL = "kernel-livepatch-6.1.94-99.176"
AMZN_MODULES = tuple(f"/usr/lib/kpatch/{AMZN}/livepatch-CVE_2024_00{n}0.ko" for n in (2, 3))
AMAZON = Vendor(
    "amazon",
    AMZN,
    kernel("kernel", "6.1.94", "99.176.amzn2023", AMZN),
    kernel("kernel", "6.1.96", "102.177.amzn2023", AMZN_NEXT),
    plain(KL, "1.0", "10.amzn2023", *AMZN_MODULES),
    (
        plain(KL, "1.0", "0.amzn2023"),
        plain(KL, "1.0", "9.amzn2023", AMZN_MODULES[0]),
        plain("kernel-livepatch-6.1.94-99.17", "1.0", "11.amzn2023", "/usr/lib/kpatch/x/other.ko"),
        plain("kernel-livepatch-repo-s3", "2023.1", "0.amzn2023", "/etc/yum.repos.d/kernel-livepatch"),
    ),
    tuple(("reconcile", path) for path in AMZN_MODULES),
)

LEAP = "5.14.21-150500.55.7-default"
SL = "kernel-livepatch-5_14_21-150500_55_7-default"
SUSE_MODULE = f"/lib/modules/{LEAP}/livepatch/livepatch-5_14_21-150500_55_7-default.ko"
SUSE_INFO = "/usr/share/livepatch/info/livepatch-5_14_21-150500_55_7-default-0123456789ABCDEF01234567"
SUSE = Vendor(
    "suse",
    LEAP,
    kernel("kernel-default", "5.14.21", "150500.55.7.1", LEAP),
    kernel("kernel-default", "5.14.21", "150500.55.12.1", "5.14.21-150500.55.12-default"),
    Rpm(SL, "10", "150500.2.1", files=((SUSE_MODULE, "module\n"), (SUSE_INFO, f"CVEs: {OPEN} {CLOSED}\n"))),
    (
        plain(SL, "1", "150500.9.6.1"),
        plain(SL, "9", "150500.2.1", SUSE_MODULE),
        plain(SL.replace("default", "rt"), "11", "150500.2.1", "/lib/modules/x/livepatch/rt.ko"),
        plain("kernel-livepatch-5_14_21-150500_55-default", "11", "1.1", "/lib/modules/y/livepatch/y.ko"),
        plain("kernel-livepatch-tools", "99", "1", "/usr/bin/klp"),
    ),
    (("reconcile", SUSE_MODULE),),
)

SLE12 = "4.12.14-122.77-default"
KG = "kgraft-patch-4_12_14-122_77-default"
KGRAFT_MODULE = f"/lib/modules/{SLE12}/livepatch/livepatch-4_12_14-122_77-default.ko"
KGRAFT = Vendor(
    "suse-kgraft",
    SLE12,
    kernel("kernel-default", "4.12.14", "122.77.1", SLE12),
    kernel("kernel-default", "4.12.14", "122.80.1", "4.12.14-122.80-default"),
    plain(KG, "8", "2.1", KGRAFT_MODULE),
    (
        plain(KG, "1", "1.3"),
        plain("kernel-livepatch-4_12_14-122_77-default", "9", "2.1", "/lib/modules/z/z.ko"),
        plain("kgraft-patch-4_12_14-122_77-xen", "9", "2.1", "/lib/modules/x/x.ko"),
    ),
    (("reconcile", KGRAFT_MODULE),),
)

CM = "5.15.137.1-1.cm2"
AZ = f"livepatch-{CM}"
AZ_PATH = f"/usr/lib/livepatching/{CM}/livepatch_5_15_137_1_1_cm2_1_0_0_2_cm2.ko"
AZ_SCRIPT = f'%post -n {AZ}\nif [ "$(uname -r)" = {CM} ]; then /usr/sbin/kpatch load {AZ_PATH}; fi\nexit 0'
AZURE = Vendor(
    "azure",
    CM,
    kernel("kernel", "5.15.137.1", "1.cm2", CM),
    kernel("kernel", "5.15.138.1", "1.cm2", "5.15.138.1-1.cm2"),
    plain(
        AZ,
        "1.0.0",
        "2.cm2",
        AZ_PATH,
        provides=(f"livepatch = {CM}",),
        requires=("kpatch",),
        script=AZ_SCRIPT,
    ),
    (
        plain(
            "livepatch-5.15.137.1-10.cm2",
            "1.0.0",
            "3.cm2",
            "/usr/lib/livepatching/x.ko",
            provides=("livepatch = 5.15.137.1-10.cm2",),
        ),
        plain("livepatch-runtime", "9", "1.cm2", "/usr/bin/livepatch-x"),
        plain("livepatch-tools", "9", "1.cm2", "/usr/bin/livepatch-y"),
        plain("livepatch", "5.15", "1.cm2", "/usr/bin/livepatch-z"),
    ),
    (("package", AZ_PATH),),
)

OE = "6.6.0-72.0.0.76.oe2403sp1.x86_64"
PK = "patch-kernel-6.6.0-72.0.0.76.oe2403sp1"


def oe_advisory(identifier: str, collection: str, row: str, *cves: str) -> str:
    """One record of openEuler's updateinfo; ``row`` are the attributes of its package."""
    said = "".join(f'<reference href="x" id="{cve}" title="x" type="cve"/>' for cve in cves)
    return f""" <update from="openeuler.org" type="security" status="stable" version="1">
  <id>openEuler-{identifier}</id><title>kernel</title><severity>Important</severity>
  <issued date="2025-03-07"/>
  <references>{said}</references>
  <pkglist><{collection}><name>oe</name>
   <package arch="x86_64" {row}><filename>a.rpm</filename></package></{collection}></pkglist>
 </update>
"""


def oe_text(cves: tuple[str, ...], *hot: tuple[Rpm, str]) -> str:
    """openEuler's updateinfo: ``cves`` of the newer kernel, and each hot patch with the CVE that it closes.

    A patch whose name says so already has its version and release in the advisory's name once more.
    """
    old = 'name="kernel" epoch="0" version="6.6.0" release="72.0.0.76.oe2403sp1"'
    new = old.replace("72.0.0.76", "73.0.0.77")
    rows = [
        oe_advisory("SA-2025-0001", "collection", old, "CVE-2024-0001"),
        oe_advisory("SA-2025-0002", "collection", new, *cves),
    ]
    for number, (rpm, cve) in enumerate(hot):
        name = f"{rpm.name}-{rpm.version}-{rpm.release}" if rpm.name.endswith("-ACC") else rpm.name
        row = f'name="{name}" version="{rpm.version}" release="{rpm.release}"'
        rows.append(oe_advisory(f"HotPatchSA-2025-{1011 + number}", "hot_patch_collection", row, cve))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n{"".join(rows)}</updates>\n'


def hot_patch(name: str, release: str, base: str = PK) -> Rpm:
    """One of openEuler's packages of hot patches."""
    path = f"/usr/lib/syscare/patches/{name}-1-{release}/vmlinux.ko"
    return plain(f"{base}-{name}", "1", release, path, requires=("syscare",))


NEXT_OE, REDIS = "patch-kernel-6.6.0-74.0.0.78.oe2403sp1", "patch-redis-6.2.5-1.oe2403sp1"
OPENEULER = Vendor(
    "openeuler",
    OE,
    kernel("kernel", "6.6.0", "72.0.0.76.oe2403sp1", OE),
    kernel("kernel", "6.6.0", "73.0.0.77.oe2403sp1", "6.6.0-73.0.0.77.oe2403sp1.x86_64"),
    hot_patch("ACC", "3"),
    (hot_patch("ACC", "1"), hot_patch("ACC", "9", NEXT_OE), hot_patch("ACC", "9", REDIS)),
    text=oe_text((OPEN, CLOSED), (hot_patch("ACC", "3"), OPEN)),
)

THREE = (OPEN, CLOSED, BESIDE)
#: Single patches stand beside each other: of this kernel's, the newest of each name has to be added.
SINGLES = tuple(hot_patch(name, "10") for name in ("SGL_CVE_2024_0020", "SGL_CVE_2024_0030", "HP001"))
OPENEULER_SINGLE = OPENEULER._replace(
    profile="openeuler-single",
    best=SINGLES[0],
    others=(
        *SINGLES[1:],
        hot_patch("SGL_CVE_2024_0020", "9"),
        hot_patch("SGL_CVE_2024_0020", "11", NEXT_OE),
        hot_patch("SGL_CVE_2024_0020", "12", REDIS),
    ),
    text=oe_text(THREE, *zip(SINGLES, THREE)),
)
#: Cumulative and single patches of one kernel, each with a fix of its own.
BOTH = (OPENEULER.best, *SINGLES[1:])
OPENEULER_BOTH = OPENEULER_SINGLE._replace(
    profile="openeuler-both",
    best=BOTH[0],
    others=BOTH[1:],
    text=oe_text(THREE, *zip(BOTH, THREE)),
)

UEK = "5.15.0-208.159.3.2.el8uek.x86_64"
ORACLE = Vendor(
    "ksplice",
    UEK,
    kernel("kernel-uek-core", "5.15.0", "208.159.3.2.el8uek", UEK),
    kernel("kernel-uek-core", "5.15.0", "209.161.7.1.el8uek", "5.15.0-209.161.7.1.el8uek.x86_64"),
    plain(f"uptrack-updates-{UEK}", "20241022", "0", "/var/cache/uptrack/a.tar", arch="noarch"),
    (
        plain(f"uptrack-updates-{UEK}", "20240922", "0", "/var/cache/uptrack/b.tar", arch="noarch"),
        plain(
            "uptrack-updates-5.15.0-208.159.3.el8uek.x86_64",
            "20241122",
            "0",
            "/var/cache/uptrack/c.tar",
            arch="noarch",
        ),
        plain("uptrack-offline", "1.2.83", "0", "/usr/bin/uptrack-x", arch="noarch"),
    ),
)

XEN, XEN_ID = "4.19.0+1", "0123456789abcdef0123456789abcdef01234567"


def xen(version: str, *bases: tuple[str, str]) -> Rpm:
    """One package of patches for several kernels, each told by its build id."""
    return plain(
        "kernel-livepatch",
        version,
        "1",
        *(f"/usr/lib/kernel-livepatch/{build_id}/livepatch.ko" for _, build_id in bases),
        provides=tuple(
            f"livepatch(component/kernel/base/4.19.19-{base}.xs8/to/4.19.19-8.0.40.xs8/base-buildid/{build_id})"
            for base, build_id in bases
        ),
    )


XENSERVER = Vendor(
    "xcp-ng",
    XEN,
    kernel("kernel", "4.19.19", "8.0.32.xs8", XEN),
    kernel("kernel", "4.19.19", "8.0.40.xs8", "4.19.0+2"),
    xen("1.0.4", ("8.0.31", "ab" * 20), ("8.0.32", XEN_ID)),
    (xen("1.0.3", ("8.0.31", "ab" * 20)),),
    (("reconcile", f"/usr/lib/kernel-livepatch/{XEN_ID}/livepatch.ko"),),
    build_id=XEN_ID,
)

VENDORS = (RED_HAT, AMAZON, SUSE, KGRAFT, AZURE, OPENEULER, ORACLE, XENSERVER)

#: Our own package for the kernel of Red Hat, as a second repository offers it.
OWN = Rpm(
    "livepatch-corp-1",
    "2",
    "1",
    (f"livepatch(kernel-uname-r:{EL})", f"livepatch-cve({OPEN})", f"livepatch-cve({CLOSED})"),
    (f"kernel-uname-r = {EL}",),
    (),
    ((f"/usr/lib/modules/{EL}/livepatch/corp.ko", "module\n"),),
)
TOOLS = Rpm(
    "kpatch",
    "0.9.7",
    "1",
    ("/bin/sh",),
    other=("Recommends: kpatch-dnf",),
    files=(("/usr/lib/kpatch/README", "stand-in\n"),),
)
#: The live patch of Red Hat's next kernel.
NEXT = kpatch("kpatch-patch-5_14_0-427_16_1", "1", "1.el9_4", EL_NEXT)
TOOLS_DNF = Rpm("kpatch-dnf", "0.9.7_0.4", "1")
SYSCARE = Rpm("syscare", "1.2.1", "1", files=(("/usr/lib/syscare/README", "stand-in\n"),))
BYSTANDER = Rpm("bystander", "1", "1")

STATES = {
    "start": ((BYSTANDER, TOOLS, TOOLS_DNF, SYSCARE), ()),
    "tools": ((TOOLS, TOOLS_DNF), ()),
    "kpatch-next": (
        (BYSTANDER, TOOLS, RED_HAT.kernel, RED_HAT.newer, RED_HAT.best, *RED_HAT.others, NEXT),
        (*RED_HAT.updates, Update("NEXT", (NEXT,), (CLOSED,))),
    ),
    "kpatch-alone": ((BYSTANDER, RED_HAT.kernel, RED_HAT.newer, RED_HAT.best), RED_HAT.updates),
}
for one in (*VENDORS, OPENEULER_SINGLE, OPENEULER_BOTH):
    STATES[f"{one.profile}-start"] = ((BYSTANDER, TOOLS, SYSCARE, one.kernel), ())
    content = (BYSTANDER, TOOLS, SYSCARE, one.kernel, one.newer, one.best, *one.others)
    STATES[f"{one.profile}-fix"] = (content, one.updates, one.text)  # type: ignore[assignment]
    empty = tuple(other for other in one.others if other.name == one.best.name and not other.files)
    if empty:
        STATES[f"{one.profile}-empty"] = ((BYSTANDER, TOOLS, one.kernel, one.newer, *empty), one.updates[:2])
STATES["own"] = ((OWN,), (Update("OWN", (OWN,), (OPEN, CLOSED)),))
ALL = tuple(dict.fromkeys(rpm for content, *_ in STATES.values() for rpm in content))
BASE = ["bystander", "kpatch", "syscare"]
