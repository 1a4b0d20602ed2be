# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of `livepatch-rpm`, and the plain tuples that the rooms below get of them. Pure."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

from .kernel.target import KernelFiles
from .package.request import Request
from .readers.recipe import ENGINES

#: The severities of an advisory, as DNF knows them.
SEVERITIES = ("Low", "Moderate", "Important", "Critical")


class Verb(NamedTuple):
    """One verb: ``arguments`` adds its options to a parser, ``run`` does the work, returning exit status."""

    name: str
    help: str
    arguments: Callable[[Any], None]
    run: Callable[[argparse.Namespace], int]


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
        choices=ENGINES,
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
    add("--allow-init", action="store_true", help="do not refuse diffs that change init code")
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


def build(verb: Any) -> None:
    """The arguments of `build`."""
    add = verb.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="diffs in order, a .c file or folder, or .ko files")
    _kernel(add, True)
    _engine(add)
    _naming(add)
    _checks(add)
    _replace(verb)
    _module_key(add)
    _rpm_key(add)
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


def empty(verb: Any) -> None:
    """The arguments of `empty`."""
    add = verb.add_argument
    add("--kernel", default="", metavar="RELEASE", help="the kernel's release")
    add("--kernel-devel", default="", metavar="DIR|RELEASE", help="its development files")
    add("--arch", default="", help="the package's architecture (default: this machine's)")
    add("--patch-release", default="0", help="0 (default), or 0.1, 0.2, ... to build the package anew")
    _naming(add)
    _rpm_key(add)


def stage(verb: Any) -> None:
    """The arguments of `stage`."""
    add = verb.add_argument
    add("--recipe", required=True, metavar="FILE", help="livepatch.json beside the sources")
    add("--output", required=True, metavar="DIR", help="a new folder for modules and manifests")
    _kernel(add, True)
    _engine(add)
    _module_key(add)


def lint(verb: Any) -> None:
    """The arguments of `lint`."""
    add = verb.add_argument
    add("files", nargs="*", metavar="FILE", help=".ko or .rpm")
    add("--list", action="store_true", help="list all checks")
    _kernel(add, False)
    _checks(add)
    _replace(verb)


def inspect(verb: Any) -> None:
    """The arguments of `inspect`."""
    add = verb.add_argument
    add("file", metavar="FILE", help=".rpm or .ko")
    _kernel(add, False)


def diff(verb: Any) -> None:
    """The arguments of `diff`."""
    add = verb.add_argument
    add("old", metavar="OLD")
    add("new", metavar="NEW")


def sign(verb: Any) -> None:
    """The arguments of `sign`."""
    add = verb.add_argument
    add("files", nargs="+", metavar="FILE", help=".rpm or .ko")
    add("--kernel", default="", help=argparse.SUPPRESS)
    add("--vmlinux", default="", help=argparse.SUPPRESS)
    add("--kernel-devel", default="", metavar="DIR|RELEASE", help="where sign-file is")
    _module_key(add)
    _rpm_key(add)


def parser(version: str, verbs: Sequence[Verb]) -> argparse.ArgumentParser:
    """The parser of the whole command line. Its result has the verb's function as ``run``."""
    top = argparse.ArgumentParser(
        prog="livepatch-rpm",
        description="From a source diff or a module to a linted, signed live-patch RPM.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"livepatch-rpm {version}")
    choices = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in verbs:
        sub = choices.add_parser(verb.name, help=verb.help, description=verb.help, allow_abbrev=False)
        sub.add_argument("--json", action="store_true", help="print JSON (schema 1) and nothing else")
        sub.set_defaults(run=verb.run)
        verb.arguments(sub)
    return top


def kernel_files(args: argparse.Namespace) -> KernelFiles:
    """The kernel and its files that ``args`` name; not every verb has an option for each."""
    return KernelFiles(
        release=args.kernel,
        devel=args.kernel_devel,
        tree=getattr(args, "source_tree", ""),
        vmlinux=getattr(args, "vmlinux", ""),
        config=getattr(args, "config", ""),
        build_id=getattr(args, "kernel_build_id", ""),
        source_rpm=getattr(args, "kernel_srpm", ""),
        debuginfo=getattr(args, "debuginfo", ""),
    )


def request(args: argparse.Namespace) -> Request:
    """The package that the ``args`` of `build` ask for."""
    return Request(
        inputs=tuple(args.inputs),
        module=args.name,
        version=args.patch_version,
        release=args.patch_release,
        dist=args.dist,
        profile=args.profile,
        engine=args.engine,
        replace=args.replace,
        depends=tuple(args.depends),
        overrides=tuple(args.override),
        cves=tuple(args.cve),
        unfixable=tuple(args.unfixable),
        dropped=tuple(args.allow_drop),
        advisory=args.advisory,
        updateinfo=args.updateinfo,
        severity=args.severity,
        issued=args.issued,
        support_end=args.support_end,
    )
