# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of `livepatch-rpm`. Pure."""

from __future__ import annotations

import argparse
import os
from typing import Any

#: The severities of an advisory, as DNF knows them.
SEVERITIES = ("Low", "Moderate", "Important", "Critical")


def _texts(add: Any, *rows: tuple[str, str, str]) -> None:
    """Options that take a text and are "" when not given: (name, metavar, help)."""
    for name, metavar, text in rows:
        add(name, default="", metavar=metavar, help=text)


def _lists(add: Any, *rows: tuple[str, str, str]) -> None:
    """Options that may be given several times: (name, metavar, help)."""
    for name, metavar, text in rows:
        add(name, action="append", default=[], metavar=metavar, help=text)


def _kernel(add: Any, everything: bool) -> None:
    _texts(
        add,
        ("--kernel", "RELEASE", "the kernel's release, as uname -r prints it"),
        ("--kernel-devel", "DIR|RELEASE", "its development files (kernel-devel, linux-headers)"),
        ("--vmlinux", "FILE", "its vmlinux: to build from diffs, and to check functions"),
    )
    if everything:
        _texts(
            add,
            ("--kernel-build-id", "HEX", "its build id, where no vmlinux is given"),
            ("--source-tree", "DIR", "its source tree"),
            ("--config", "FILE", "its configuration (default: .config of the source tree)"),
            ("--kernel-srpm", "FILE", "its source RPM, instead of --source-tree and --config"),
            ("--debuginfo", "FILE", "its kernel-debuginfo RPM, instead of --vmlinux"),
        )


def _engine(add: Any) -> None:
    add(
        "--engine",
        default="",
        choices=("kbuild", "kpatch-build", "klp-build"),
        help="default: kbuild for C source; for diffs klp-build from kernel 6.19 on, else kpatch-build",
    )
    _lists(add, ("--engine-option", "OPTION", "one more option for the engine"))
    add(
        "--jobs",
        "-j",
        type=_jobs,
        default=os.cpu_count() or 1,
        help="parallel jobs (default: all processors)",
    )
    add("--allow-data", action="store_true", help="do not refuse diffs that change static data or layouts")
    _texts(
        add,
        ("--log", "FILE", "append the full log here (default: beside the packages)"),
        ("--work", "DIR", "build below this folder instead of the temporary one"),
    )
    add("--keep-work", action="store_true", help="leave the work folder for a look")


def _jobs(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 4096:
        raise argparse.ArgumentTypeError("not between 1 and 4096")
    return number


def _module_key(add: Any) -> None:
    _texts(
        add,
        ("--module-key", "FILE|URI", "sign modules with this key: PEM or pkcs11:"),
        ("--module-cert", "FILE", "the key's X.509 certificate"),
        ("--sign-file", "PROGRAM", "the kernel's sign-file (default: of --kernel-devel)"),
    )
    add("--module-hash", default="sha256", help="sha256 (default), sha384 or sha512")


def _rpm_key(add: Any) -> None:
    _texts(add, ("--rpm-key", "KEYID", "sign packages with this GPG key"))


def _naming(add: Any) -> None:
    add("--profile", default="kpatch", help="name packages as this vendor does (default: kpatch, as RHEL)")
    add("--dist", default="", help="appended to the release, such as .el9")
    add("--vendor", default="", help="the package's Vendor tag")
    add("--issued", default="", metavar="DATE", help="the advisory's date: YYYY-MM-DD[THH:MM:SSZ]")
    add("--output", "-o", default=".", metavar="DIR", help="where the packages go (default: here)")


def _checks(add: Any) -> None:
    _lists(
        add,
        (
            "--override",
            "ID=SEVERITY:REASON",
            "give a lint check another severity; the reason lands in the manifest",
        ),
        ("--depends", "MODULE", "the patch may depend on this module"),
    )


def _replace(verb: Any) -> None:
    group = verb.add_mutually_exclusive_group()
    group.add_argument(
        "--replace",
        dest="replace",
        action="store_true",
        default=True,
        help="the patch is cumulative and replaces all others (default)",
    )
    group.add_argument(
        "--no-replace",
        "--non-replace",
        dest="replace",
        action="store_false",
        help="the patch is loaded beside others",
    )


def parser(version: str) -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="livepatch-rpm",
        description="From a source diff or a module to a linted, signed live-patch RPM.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"livepatch-rpm {version}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> Any:
        sub = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--json", action="store_true", help="print JSON (schema 1) and nothing else")
        return sub

    build = verb("build", "make RPM and source RPM from diffs, klp C source or finished modules")
    build.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="diffs in order, a .c file or folder, or .ko files"
    )
    _kernel(build.add_argument, True)
    _engine(build.add_argument)
    _naming(build.add_argument)
    _checks(build.add_argument)
    _replace(build)
    _module_key(build.add_argument)
    _rpm_key(build.add_argument)
    add = build.add_argument
    add("--name", default="", help="the module's name (default: from the source, or kernel and version)")
    add(
        "--patch-version", default="", help="the package's version (default: 1, or one more than the base's)"
    )
    add("--patch-release", default="1", help="the package's release (default: 1)")
    _texts(
        add,
        ("--base", "SRPM", "build upon the previous package: its diffs are built in, its CVEs carried"),
        ("--advisory", "ID", "the advisory that announces the patch"),
        ("--support-end", "DATE", "until when this kernel gets live patches"),
        ("--updateinfo", "FILE", "take the advisory's CVEs, severity and date from here"),
        ("--stage", "DIR", "leave module and manifest in this new folder, make no packages"),
    )
    _lists(
        add,
        ("--allow-drop", "CVE=REASON", "no longer fix a CVE of the base"),
        ("--cve", "CVE", "the patch fixes it (also read from diffs' headers)"),
        ("--unfixable", "CVE=REASON", "only a reboot can fix it"),
    )
    add("--severity", default="", choices=SEVERITIES, help="the advisory's severity")
    add("--quiet", "-q", action="store_true", help="no progress")

    empty = verb("empty", "make the 0-0 package that subscribes a kernel to its live patches")
    empty.add_argument("--kernel", default="", metavar="RELEASE", help="the kernel's release")
    empty.add_argument("--kernel-devel", default="", metavar="DIR|RELEASE", help="its development files")
    empty.add_argument("--arch", default="", help="the package's architecture (default: this machine's)")
    _naming(empty.add_argument)
    _rpm_key(empty.add_argument)

    stage = verb("stage", "build the modules of an unpacked source RPM (its %%build does this)")
    stage.add_argument("--recipe", required=True, metavar="FILE", help="livepatch.json beside the sources")
    stage.add_argument(
        "--output", required=True, metavar="DIR", help="a new folder for modules and manifests"
    )
    _kernel(stage.add_argument, True)
    _engine(stage.add_argument)
    _module_key(stage.add_argument)

    lint = verb("lint", "check modules, or the modules in packages")
    lint.add_argument("files", nargs="*", metavar="FILE", help=".ko or .rpm")
    lint.add_argument("--list", action="store_true", help="list all checks")
    _kernel(lint.add_argument, False)
    _checks(lint.add_argument)
    _replace(lint)

    inspect = verb("inspect", "tell what a package or module patches, for which kernel, signatures and lint")
    inspect.add_argument("file", metavar="FILE", help=".rpm or .ko")
    _kernel(inspect.add_argument, False)

    diff = verb("diff", "tell what changed from one package or module to another")
    diff.add_argument("old", metavar="OLD")
    diff.add_argument("new", metavar="NEW")

    sign = verb("sign", "sign packages or modules in place, and verify the signatures")
    sign.add_argument("files", nargs="+", metavar="FILE", help=".rpm or .ko")
    sign.add_argument("--kernel", default="", help=argparse.SUPPRESS)
    sign.add_argument("--vmlinux", default="", help=argparse.SUPPRESS)
    sign.add_argument("--kernel-devel", default="", metavar="DIR|RELEASE", help="where sign-file is")
    _module_key(sign.add_argument)
    _rpm_key(sign.add_argument)
    return top
