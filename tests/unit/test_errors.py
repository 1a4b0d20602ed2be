# SPDX-License-Identifier: GPL-2.0-or-later
"""Every error of every verb: a message with an id, a state of the host and a remedy; no text of Python's."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.reconcile import settle
from dnf_plugin_livepatch.messages.catalogue import CATALOGUE
from dnf_plugin_livepatch.messages.message import fact
from tests.unit.support.fakehost import run
from tests.unit.support.reporting import Telling

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGE = os.path.join(TOP, "dnf_plugin_livepatch")
#: Exceptions that carry a message, and are raised with its id.
WITH_ID = {"Refused", "Refusal", "_Ambiguous"}
#: Exceptions that another place turns into a message: the ids of those messages.
BECOME = {
    "ModuleError": ("module-missing", "module-unusable"),
    "PackedError": ("module-unusable",),
    "Broken": ("guard-broken", "guard-unknown", "notices-unknown"),
    "within": ("guard-broken",),
    "FieldError": ("guard-broken", "guard-unknown", "notices-unknown"),
    "ManifestError": ("manifest-unusable",),
    "LookupError": ("rpmdb-unreadable",),
    "ValueError": ("no-such-package", "record-unwritable", "command-ended"),
    "OSError": ("record-unwritable", "state-unwritable", "command-ended"),
    "NotADirectoryError": ("health-check-not-asked",),
    "Unusable": ("client-failed", "health-check-failed"),
    "Killed": ("client-failed", "health-check-failed"),
    "NotStarted": ("client-absent", "client-failed", "health-check-not-asked"),
    "NotAsked": ("client-failed", "health-check-not-asked"),
    "Unreadable": ("record-broken",),
}
#: DNF's own exception, which prints its text: the text has to be a message's.
OF_DNF = {"CliError"}
#: argparse's own exception, which argparse prints behind the usage of the verb.
OF_ARGPARSE = {"ArgumentTypeError"}
#: The end of a run of DNF with a status of its own; the lines of the run are told before.
ENDS = {"SystemExit"}


def trees(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for base, _, files in os.walk(os.path.join(PACKAGE, folder)):
            for name in files:
                if name.endswith(".py"):
                    path = os.path.join(base, name)
                    with open(path, encoding="utf-8") as file:
                        yield os.path.relpath(path, PACKAGE), ast.parse(file.read())


def raises() -> list[tuple[str, str, ast.Call]]:
    """Place, class and call of each exception that the host side or the plugin raises anew."""
    found = []
    for name, tree in trees("host", "dnf4"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                function = node.exc.func
                # error.within(key) is the FieldError error with the place of the field.
                kind = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "?")
                found.append((f"{name}:{node.lineno}", kind, node.exc))
    return found


def literals(node: ast.expr) -> list[str]:
    """The ids that an argument may be: a literal, or the literals of a choice between two."""
    if isinstance(node, ast.IfExp):
        return [*literals(node.body), *literals(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_every_raise_has_a_message() -> None:
    found = raises()
    assert len(found) > 40, "the walk sees the raises"
    unknown = [row[:2] for row in found if row[1] not in {*WITH_ID, *BECOME, *OF_DNF, *OF_ARGPARSE, *ENDS}]
    assert unknown == [], "say in BECOME which message each of these becomes"
    for place, kind, call in found:
        if kind in ("Refused", "Refusal"):
            ids = literals(call.args[0])
            assert ids, f"{place}: the id is no literal"
            for identifier in ids:
                assert CATALOGUE[identifier].severity == "error", place
        if kind in OF_DNF:
            assert isinstance(call.args[0], ast.Call), f"{place}: a text without a message"
    assert {kind for _, kind, _ in found} >= {"Refusal", "Refused", "Broken"}


def test_every_error_tells_the_state_of_the_host_and_a_remedy() -> None:
    named = {identifier for ids in BECOME.values() for identifier in ids}
    for identifier in named | {name for name, row in CATALOGUE.items() if row.severity == "error"}:
        row = CATALOGUE[identifier]
        assert row.remedy, identifier
        assert len(row.text.split()) > 3 or row.text == "{fault}", identifier


def printed(tree: ast.Module) -> Iterator[ast.AST]:
    """Each part of the arguments of each call of ``output``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "output":
                for argument in (*node.args, *node.keywords):
                    yield from ast.walk(argument)


def test_no_verb_prints_an_exception_as_it_is() -> None:
    """What goes to a person is a message's text, or a text of report/: nothing is built of an ``error``."""
    bad = []
    for name, tree in trees("host"):
        whole = name.startswith(("host/cli", "host/report"))
        for node in ast.walk(tree) if whole else printed(tree):
            if isinstance(node, ast.FormattedValue):
                used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                used |= {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
                if used & {"error", "strerror"}:
                    bad.append(f"{name}:{node.lineno}")
    assert [place for place in bad if not place.startswith("host/cli/profiles.py")] == []


def test_an_error_of_the_system_has_its_path_once() -> None:
    error = OSError(28, "No space left on device", "/var/lib/livepatch/.guard.json.7")
    assert fact(error) == "/var/lib/livepatch/.guard.json.7: No space left on device"
    assert fact(OSError(22, "/x/y is not written")) == "/x/y is not written"
    assert fact(OSError(22, "/x/y is not written", "/x/y")) == "/x/y is not written"
    assert fact(ValueError("of ours")) == "of ours"


def no_root(host: Telling, patcher: pytest.MonkeyPatch) -> None:
    patcher.setenv("LIVEPATCH_ROOT", host.paths.at("/nowhere"))


def file_for_folder(host: Telling, patcher: pytest.MonkeyPatch) -> None:
    host.host.put("/var/lib/livepatch", "")


def torn(host: Telling, patcher: pytest.MonkeyPatch) -> None:
    for name in ("guard.json", "notices.json", "exposure.json", "journal.jsonl", "reboot.json"):
        host.host.put(f"/var/lib/livepatch/{name}", "\n")
    host.host.put("/run/livepatch/result.json", "\xff")


def deep(host: Telling, patcher: pytest.MonkeyPatch) -> None:
    for name in ("guard.json", "notices.json", "exposure.json"):
        host.host.put(f"/var/lib/livepatch/{name}", "[" * 100_000)


def read_only(host: Telling, patcher: pytest.MonkeyPatch) -> None:
    from dnf_plugin_livepatch.host.files import atomic

    def refuse(path: str, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", path)

    patcher.setattr(atomic, "write_bytes", refuse)


HARMS = (no_root, file_for_folder, torn, deep, read_only)
CALLS = (
    ["status"],
    ["cves"],
    ["cves", "--plain"],
    ["cves", "CVE-2026-1000"],
    ["list"],
    ["reconcile"],
    ["unload", "lp_1"],
    ["block", "lp-1-1.x86_64"],
    ["unblock", "lp-1-1.x86_64"],
    ["history"],
    ["doctor"],
    ["reboot-check"],
    ["metrics", "--output", "out/of/the/way"],
    ["check"],
    ["vex"],
    ["motd"],
)
PYTHON = ("Errno", "Traceback", "Expecting", "codec can't", "recursion depth", "No module named", "<class")


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_no_verb_speaks_python(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Telling, pytest.MonkeyPatch], None],
    words: list[str],
) -> None:
    host = Telling(str(tmp_path / "root"), monkeypatch)
    monkeypatch.chdir(tmp_path)
    host.patch("1", "CVE-2026-1000")
    harm(host, monkeypatch)
    code = cli.main(list(words))
    told = capsys.readouterr()
    text = told.out + told.err
    assert not any(word in text for word in PYTHON), text
    for line in text.splitlines() if words != ["check"] else ():  # the line of check has two messages
        paths = [word.strip(".,:;()") for word in line.split() if str(tmp_path) in word]
        assert len(paths) == len(set(paths)), line
    if told.err and code == 1 and told.err.startswith("livepatch: "):
        first, remedy = told.err.rstrip("\n").split("\n")[-2:]
        assert first.startswith("livepatch: ") and remedy.startswith("  ") and remedy.strip(), told.err


@pytest.mark.parametrize("words", [["cves", "--json"], ["reconcile", "--json"], ["status", "--json"]])
def test_a_refusal_in_json_has_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setenv("LIVEPATCH_ROOT", str(tmp_path / "nowhere"))
    assert cli.main(words) == 1
    (found,) = json.loads(capsys.readouterr().out)["problems"]
    assert found["id"] == "root-missing" and found["remedy"]


@pytest.mark.parametrize("harm", [torn, deep, read_only])
def test_the_settle_watch_speaks_as_the_verbs_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Telling, pytest.MonkeyPatch], None],
) -> None:
    host = Telling(str(tmp_path / "root"), monkeypatch)
    host.patch("1", "CVE-2026-1000")
    assert run(host.host).ok
    host.host.put("/proc/uptime", "100000.0 10.0\n")
    harm(host, monkeypatch)
    assert settle.main(host.paths) == 1
    first, remedy = capsys.readouterr().err.rstrip("\n").split("\n")
    assert not any(word in first for word in PYTHON), first
    message = CATALOGUE["record-unwritable" if harm is read_only else "guard-broken"]
    assert first.startswith("livepatch: " + message.text.partition("{")[0]), first
    assert remedy == "  " + message.remedy
