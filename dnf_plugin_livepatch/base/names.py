# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of packages, kernels, capabilities and CVEs: checked, taken apart, put together. Pure.

The facts come from the vendors' own packages: Red Hat, its rebuilds, Oracle and ELRepo append the
architecture to version-release; flavours follow it with a plus sign, and a dash inside the flavour
is an underscore in capabilities, because RPM refuses a second dash in a version. SUSE appends the
flavour with a dash and drops the last number of the RPM release, which counts rebuilds. Azure Linux
appends nothing.
"""

from __future__ import annotations

import re

from .model import Nevra

ARCHES = (
    "x86_64",
    "aarch64",
    "ppc64le",
    "s390x",
    "riscv64",
    "loongarch64",
    "i686",
    "ppc64",
    "armv7hl",
)
MAX_NEVRA = 512
# The form of each name. No name of another form is acted on.
CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}\Z")
MODULE = re.compile(r"[A-Za-z0-9_]{1,55}\Z")
RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^-]{0,127}\Z")
NEVRA = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~^:-]{2,511}\Z")
EVR = re.compile(r"(?:[0-9]{1,9}:)?[A-Za-z0-9._+~^]{1,128}-[A-Za-z0-9._+~^]{1,128}\Z")
CVE_CAPABILITY = "livepatch-cve("
_ANY_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}(?![0-9])")
_ONLY_MENTIONS = re.compile(
    r"\b(?:exploit\W{1,4}detection|detection\W{1,4}(?:of|for|only)|not\W{1,4}(?:yet\W{1,4})?(?:affected|fixed|closed|vulnerable)"
    r"|(?:does|do)(?:\W{1,4}not|n't)\W{1,4}(?:fix|close|affect)|un(?:fixed|affected))\b",
    re.IGNORECASE,
)
_LEADING = re.compile(rf"\s*(?:{_ANY_CVE.pattern}\s*(?:(?:[,;/&+]|and\b)\s*)?)+")
_PART = re.compile(r"[A-Za-z0-9._+~^%{}-]{1,256}\Z")
_EPOCH = re.compile(r"[0-9]{1,10}\Z")
_RPM_ARCH = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
_DIGITS = re.compile(r"[0-9]+\Z")
_TAILS = ("uki-virt-addons", "modules-extra", "modules-core", "uki-virt", "modules", "core")
_RT = re.compile(r"\.rt[0-9]")
_SUSE = re.compile(r"[0-9]+(?:\.[0-9]+)*\Z")
MODULE_FILE = re.compile(r"\.ko(?:\.([A-Za-z0-9]+))?\Z")
_UNAME = re.compile(
    r"(?P<version>[0-9]+(?:\.[0-9]+)+)-(?P<release>[0-9][A-Za-z0-9._~]*?)"
    r"(?:\.(?P<arch>" + "|".join(sorted(ARCHES, key=len, reverse=True)) + r"))?"
    r"(?:\+(?P<variant>[a-z0-9][a-z0-9-]*)|-(?P<flavour>[0-9]*[a-z][a-z0-9]*))?\Z"
)


def decimal(text: str, digits: int) -> int | None:
    """The number in ``text``, which is one to ``digits`` ASCII digits; None for any other text."""
    return int(text) if len(text) <= digits and _DIGITS.match(text) else None


def parse_nevra(text: str) -> Nevra:
    """The Nevra in ``text``. Raises ValueError with the reason.

    Understood: ``name-ver-rel.arch``, ``name-epoch:ver-rel.arch``, ``epoch:name-ver-rel.arch``, each
    with or without ``.rpm`` behind it and a path before it. Split from the right, since names hold
    dashes and dots of their own.
    """
    text = text.strip()
    if len(text) > MAX_NEVRA:
        raise ValueError(f"longer than {MAX_NEVRA} characters")
    if text.endswith(".rpm"):
        text = text[:-4].rpartition("/")[2]
    front, colon, rest = text.partition(":")
    epoch = ""
    if colon and _EPOCH.match(front):
        epoch, text = front, rest
    stem, dot, arch = text.rpartition(".")
    parts = stem.rsplit("-", 2)
    if not dot or len(parts) != 3:
        raise ValueError("not of the form name-[epoch:]version-release.arch")
    name, version, release = parts
    if ":" in version:
        if epoch:
            raise ValueError("two epochs")
        epoch, _, version = version.partition(":")
        if not _EPOCH.match(epoch):
            raise ValueError("the epoch is no number")
    if not all(_PART.match(part) for part in (name, version, release)) or not _RPM_ARCH.match(arch):
        raise ValueError("holds characters that no package name, version or architecture has")
    return Nevra(name, str(int(epoch or "0")), version, release, arch)


def capability_version(release: str) -> str:
    """``release`` as the version of a capability: a dash inside the flavour is an underscore.

    "" where RPM could not hold it (two dashes, as in SUSE's and Debian's releases).
    """
    head, plus, variant = release.partition("+")
    if plus and head.rpartition(".")[2] in ARCHES:
        release = f"{head}+{variant.replace('-', '_')}"
    return "" if release.count("-") > 1 else release


def release_of_capability(version: str) -> str:
    """The kernel release that a capability's ``version`` stands for; undoes capability_version()."""
    head, plus, variant = version.partition("+")
    flavoured = plus and head.rpartition(".")[2] in ARCHES
    return f"{head}+{variant.replace('_', '-')}" if flavoured else version


def own_capability(release: str) -> str:
    """The capability of every package that patches the kernel ``release``."""
    return f"livepatch(kernel-uname-r:{release})"


def kernel_release(nevra: Nevra) -> str:
    """The ``uname -r`` of the kernel in the package ``nevra``, "" where its name does not show it."""
    name, version, release, arch = nevra.name, nevra.version, nevra.release, nevra.arch
    if not (name == "kernel" or re.match(r"kernel(?:-|[0-9]+\.[0-9]+\Z)", name)) or arch not in ARCHES:
        return ""
    words = name.split("-", 1)[1] if "-" in name else ""
    if re.search(r"\.(?:cm|azl)[0-9]+\Z", release):
        return f"{version}-{release}" if not words else ""
    if _SUSE.match(release):
        if not re.match(r"[0-9]*[a-z][a-z0-9]*\Z", words) or "." not in release:
            return ""
        return f"{version}-{release.rpartition('.')[0]}-{words}"
    for tail in _TAILS:
        if words == tail or words.endswith("-" + tail):
            words = words[: -len(tail)].rstrip("-")
            break
    stem = f"{version}-{release}.{arch}"
    if words in ("", "lt", "ml", "uek"):
        return stem
    if _RT.search(release):
        words = {"rt": "", "rt-debug": "debug"}.get(words, "?")
    elif not re.match(r"(?:rt|64k|debug|zfcpdump|automotive|rt-64k)(?:-debug)?\Z", words):
        return ""
    return "" if words == "?" else stem + ("+" + words if words else "")


def kernel_packages(release: str) -> tuple[str, ...]:
    """Names that the package of the kernel ``release`` may have, most telling first; () if unknown."""
    found = _UNAME.match(release)
    if not found:
        return ()
    kernel, dist = found.groupdict(), found["release"]
    if kernel["flavour"]:
        return (f"kernel-{kernel['flavour']}",) if not kernel["arch"] else ()
    if re.search(r"\.(?:cm|azl)[0-9]+\Z", dist):
        return ("kernel",)
    if not kernel["arch"]:
        return ()
    if "uek" in dist:
        return () if kernel["variant"] else ("kernel-uek-core", "kernel-uek")
    if dist.endswith(".elrepo"):
        return ("kernel-ml-core", "kernel-ml", "kernel-lt-core", "kernel-lt")
    if "amzn" in dist:
        series = ".".join(kernel["version"].split(".")[:2])
        return ("kernel", "kernel" + series)
    variant = kernel["variant"] or ""
    if _RT.search(dist):
        variant = "rt" + ("-" + variant if variant else "")
    middle = "-" + variant if variant else ""
    return (f"kernel{middle}-core", f"kernel{middle}-uki-virt", f"kernel{middle}")


def _kernel_kind(name: str) -> str:
    return next((name[: -len(tail) - 1] for tail in _TAILS if name.endswith("-" + tail)), name)


def same_kernel(name: str, like: str) -> bool:
    """Whether the packages ``name`` and ``like`` hold builds of one kernel, as -core and -uki-virt do.

    A name without a tail, as ``kernel``, is the kernel of some vendors and has no files at others.
    """
    bootable = name.endswith(("-core", "-uki-virt")) and not name.endswith("-modules-core")
    return name == like or (bootable and _kernel_kind(name) == _kernel_kind(like))


def split_evr(evr: str) -> tuple[str, str, str]:
    """Epoch ("0" where there is none), version and release of ``[epoch:]version-release``."""
    epoch, colon, rest = evr.partition(":")
    version, _, release = (rest if colon else evr).rpartition("-")
    return epoch if colon else "0", version, release


def split_nevra(text: str) -> Nevra | None:
    """The parts of what ``str(Nevra)`` wrote, unchecked; None for any other text."""
    stem, _, arch = text.rpartition(".")
    parts = stem.rsplit("-", 2)
    return Nevra(parts[0], *split_evr(f"{parts[1]}-{parts[2]}"), arch) if len(parts) == 3 else None


def name_of(nevra: str) -> str:
    """The package name in the text of a NEVRA; "" when it is none."""
    found = split_nevra(nevra)
    return "" if found is None else found.name


def evr_of(nevra: str) -> str:
    """The ``[epoch:]version-release`` in the text of a NEVRA; "" when it is none."""
    parts = nevra.rpartition(".")[0].rsplit("-", 2)
    return f"{parts[1]}-{parts[2]}" if len(parts) == 3 else ""


def release_of(evr: str, like: str, like_evr: str) -> str:
    """The ``uname -r`` of the kernel build ``evr``, formed as ``like`` is from its own ``like_evr``.

    SUSE's releases leave out the last number of the package's release, which counts rebuilds.
    """
    new, old = evr.rpartition(":")[2], like_evr.rpartition(":")[2]
    if like.startswith(old):
        return new + like[len(old) :]
    old = old.rpartition(".")[0]
    return new.rpartition(".")[0] + like[len(old) :] if old and like.startswith(old) else new


def module_of(path: str) -> str:
    """The kernel's name, unchecked, for the module in the file at ``path``, compressed or not."""
    return MODULE_FILE.sub("", path.rpartition("/")[2]).replace("-", "_")


def leading_cves(text: str) -> tuple[tuple[str, ...], str]:
    """The CVEs with which a line of a vendor's text begins, and the rest of the line.

    ``CVE-2024-1, CVE-2024-2: Overflow in x`` begins with two. A CVE further on is only mentioned.
    """
    found = _LEADING.match(text)
    return (tuple(_ANY_CVE.findall(found[0])), text[found.end() :]) if found else ((), text)


def only_mentions(text: str) -> bool:
    """Whether ``text`` says of the CVEs in it that they are detected or open, not that they are fixed."""
    return bool(_ONLY_MENTIONS.search(text))


def cve_capability(cve: str) -> str:
    """The capability of a package that closes ``cve``."""
    return f"{CVE_CAPABILITY}{cve})"


def cve_order(cve: str) -> tuple[int, int, str]:
    """The key that sorts CVEs by year and number."""
    parts = cve.split("-")
    numbers = [decimal(part, 19) or 0 for part in parts[1:3]] + [0, 0]
    return numbers[0], numbers[1], cve


def declared_cve(capability: str) -> str:
    """The CVE in a ``livepatch-cve(CVE)`` capability, with or without a version; "" for any other."""
    if not capability.startswith(CVE_CAPABILITY):
        return ""
    cve = capability[len(CVE_CAPABILITY) :].partition(")")[0]
    return cve if CVE.match(cve) else ""
