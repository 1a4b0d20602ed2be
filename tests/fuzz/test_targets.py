# SPDX-License-Identifier: GPL-2.0-or-later
"""Every function of the product that turns bytes into something is reached by a target of the fuzzer.

The functions are found in the code: those that decode, unpack, or read a file or a program's answer. A new
one without a target fails this test.
"""

import ast
import os
import re
import sys

import pytest

from tests.fuzz.target import TOP
from tests.fuzz.targets import TARGETS

PRODUCT = os.path.join(TOP, "dnf_plugin_livepatch")
DECODES = re.compile(
    r"(?:.*\.)?(?:decode|document|parsed|read_json|read_text|read_bytes|frombuf|fetchone|from_bytes"
    r"|unpack_from|iter_unpack|ParserCreate|safe_load|decompressobj|LZMADecompressor|BZ2File)"
    r"|(?:json\.loads?|struct\.unpack|program\.run|gzip\.open|lzma\.open|bz2\.open)"
    r"|cr\.(?:Repomd|package_from_rpm|xml_parse_\w+)|\w+\.(?:hdrFromFdno|locate_and_load_xml)"
)
#: Functions without a target, by the reason.
WITHOUT = {
    "reads what this program itself has just made": "formats/repository_record.bucket "
    "host/files/advisories.save host/files/atomic.write_json repotool/repository/metadata.write "
    "rpmtool/package/make._bytes rpmtool/package/make.publish rpmtool/package/make.spec "
    "rpmtool/readers/recipe.again rpmtool/module/build.inspect_module rpmtool/module/build.make "
    "rpmtool/module/sign.sign_module rpmtool/module/sign.verify_module",
    "starts a program, whose answer a target reads": "host/program.run host/kernel/oops.in_journal "
    "rpmtool/module/engines.kpatch_build repotool/repository/rpms._checked",
    "starts a program, and shows its answer to a person or ignores it": "host/cli/show._from_uname "
    "host/reconcile/loader._run host/reconcile/timers._run "
    "toolkit/programs.run",
    "copies or hashes, and looks at nothing": "host/reconcile/copies._content host/reconcile/copies._copy "
    "host/reconcile/copies._digest host/reconcile/adopt._copied repotool/repository/store._copy "
    "repotool/repository/rpms._armoured",
    "compares a word": "dnf4/plugin._noted "
    "host/reconcile/loader._in_transition "
    "host/reconcile/loader.load host/reconcile/loader.remove host/reconcile/loader.unload "
    "repotool/repository/signing.same_key",
    "leaves the reading to SQLite, librpm or DNF": "host/files/journal.transaction_of "
    "host/packages/installed._headers host/packages/installed.damage repotool/repository/client.check",
    "reads a source tree, after programs of that tree have run": "rpmtool/kernel/kernelsource._name",
    "writes": "base/texts.encodable",
}


def reads(call):
    """Is ``call`` one that decodes, or that opens a file to read?"""
    if isinstance(call.func, ast.Name) and call.func.id == "open":
        modes = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
        return not any(
            isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax") for mode in modes
        )
    return bool(DECODES.fullmatch(ast.unparse(call.func)))


def functions(node, way=()):
    """(name, first line) of each function below ``node`` that decodes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            yield from functions(child, (*way, child))
            continue
        if way and isinstance(child, ast.Call) and reads(child) and isinstance(way[-1], ast.FunctionDef):
            first = min([way[-1].lineno, *(mark.lineno for mark in way[-1].decorator_list)])
            yield ".".join(part.name for part in way), first
        yield from functions(child, way)


def decoders():
    for folder, _, files in os.walk(PRODUCT):
        for file in sorted(files):
            path = os.path.join(folder, file)
            if file.endswith(".py"):
                with open(path, encoding="utf-8") as source:
                    tree = ast.parse(source.read())
                for name, line in functions(tree):
                    yield f"{os.path.relpath(path, PRODUCT)[:-3]}.{name}", (path, line)


@pytest.fixture(scope="module")
def reached():
    """(file, first line) of each function of the product that the valid inputs of all targets reach."""
    found = set()

    def watch(frame, _event, _argument):
        found.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        for target in TARGETS.values():
            for valid in (target.seed, *target.more):
                target.run(valid)
    finally:
        sys.setprofile(before)
    return found


def test_each_function_that_decodes_is_reached_by_a_target(reached):
    left = {name for name, place in decoders() if place not in reached}
    assert left == {name for names in WITHOUT.values() for name in names.split()}
