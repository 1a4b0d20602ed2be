# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of others on their way to a person: every verb and form, with hostile texts in every place.

``poisoned`` adds such a text to every text that a verb is about to print, whatever the readers would have
let through. The files of the host hold such texts too, and other nonsense.
"""

from __future__ import annotations

import ast
import functools
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from dnf_plugin_livepatch.base import texts
from dnf_plugin_livepatch.base.model import Problem
from dnf_plugin_livepatch.host import output
from dnf_plugin_livepatch.host.cli import context
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import journal, mailbox
from dnf_plugin_livepatch.host.packages import inventory
from dnf_plugin_livepatch.host.reconcile import run, settle
from dnf_plugin_livepatch.host.report import doctor, exports, history, status
from tests.unit.support.reporting import Telling

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: C0, DEL, C1, the bidirectional ones, both separators, a lone surrogate, what UTF-8 makes of a raw byte.
BAD = (
    "".join(map(chr, (*range(32), 0x7F, *range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F))))
    + "".join(map(chr, (*range(0x2066, 0x206A), 0x2028, 0x2029, 0xD800, 0xDC9B)))
    + "\x1b[8m\x1b]0;title\x07\x9b2J|%s{}\\\"<'"
)
#: As a shell can hand it to a program: every byte but NUL has a character of its own.
ARGUMENT = BAD.replace("\0", "").replace("\ud800", "")
FORBIDDEN = {c for c in BAD if not c.isprintable()} - {"\n"}
OURS = re.compile(r"\033\[(?:31;1|3[123])m([^\033]*)\033\[0m")
#: Fields with a value of a closed set, by which the code decides.
CLOSED = {"state", "severity", "quality", "event", "outcome", "date_kind", "issued_kind", "ok", "arch"}


def poisoned(data: Any) -> Any:
    """``data`` with BAD behind every text in it that is no word of a closed set."""
    if isinstance(data, str):
        return data + BAD
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        rows = {name: value if name in CLOSED else poisoned(value) for name, value in data._asdict().items()}
        return type(data)(**rows)
    if isinstance(data, dict):
        return {key: poisoned(value) for key, value in data.items()}
    return type(data)(map(poisoned, data)) if isinstance(data, (list, tuple)) else data


def harmless(text: str, coloured: bool = False) -> None:
    if coloured:
        text = OURS.sub(r"\1", text)
    assert not FORBIDDEN & set(text), sorted(map(ascii, FORBIDDEN & set(text)))
    assert all(row.isprintable() for row in text.split("\n")) and "Traceback" not in text


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    found = Telling(str(tmp_path), monkeypatch)
    found.know((1000, "Important"), (2000, "Low"), (3000, "Critical"))
    found.kernel_installed("6.12.1-1")
    found.load(found.patch("1", "CVE-2026-1000"))
    assert run.reconcile(found.paths, found.host.config).ok
    return found


VERBS = (
    *[[verb, *more] for verb in cli.VERBS for more in ([], ["--json"]) if verb != "profiles"],
    ["status", "--functions"],
    ["status", "--functions", "--json"],
    ["cves", "--plain"],
    ["doctor", "--profiles"],
    ["uname", "-a"],
    ["reconcile", "--force"],
    ["profiles", "list"],
    ["profiles", "list", "--json"],
    ["profiles", "match", "--kernel", "6.12.1-1.x86_64"],
    ["profiles", "match"],
)
FILES = (["cves"], ["cves", "--plain"], ["metrics"], ["vex"], ["motd"], ["motd", "--json"])


def poison(monkeypatch: pytest.MonkeyPatch, *places: tuple[Any, str]) -> None:
    """Have the functions of ``places`` answer with hostile texts in everything that they answered."""
    for module, name in places:

        def answer(*facts: Any, real: Callable[..., Any] = getattr(module, name)) -> Any:
            return poisoned(real(*facts))

        monkeypatch.setattr(module, name, answer)


def hostile(monkeypatch: pytest.MonkeyPatch, host: Telling) -> None:
    poison(
        monkeypatch,
        (status, "gather"),
        (doctor, "examine"),
        (journal, "read"),
        (run, "reconcile"),
        (run, "unload"),
        (exports, "vex"),
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"kernel-1-1.x86_64{BAD}\na\x9b-1-1.x\n"))
    profile = f"[profile]\ntitle = x{BAD}\nsupport-days = {BAD}\n"
    for name in ("good", "b\x1bad", "b\u202ead"):
        host.host.put(f"/etc/livepatch/profiles.d/{name}.conf", profile.encode("utf-8", "surrogatepass"))
    host.host.put("/etc/dnf/plugins/livepatch.conf", f"[main]\nx{BAD} = {BAD}\n".encode("utf-8", "replace"))
    host.host.put("/etc/os-release", f"ID={BAD}\n".encode("utf-8", "replace"))


@pytest.mark.parametrize("coding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_no_verb_passes_on_what_others_wrote(
    host: Telling, words: list[str], coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ["lp-1-1.x86_64"] if words[0] in ("unload", "block", "unblock") else []
    if words[0] == "block":
        named += ["--reason", BAD]
    if words[0] == "unblock":
        assert cli.main(["block", *named]) == 0
    hostile(monkeypatch, host)
    out, err = (io.TextIOWrapper(io.BytesIO(), coding, newline="\n") for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(context.Context, "colour", coding == "utf-8")
        cli.main([*words[:1], *named, *words[1:]])
        out.flush(), err.flush()
    shown, told = (stream.buffer.getvalue().decode(coding) for stream in (out, err))  # type: ignore[attr-defined]
    harmless(shown, coloured=coding == "utf-8")
    harmless(told)
    assert shown or told or words[0] == "reconcile"
    if "--json" in words or words == ["vex"] or words == ["profiles", "match"]:
        for text in shown.splitlines() if words[0] == "profiles" and "match" in words else [shown]:
            json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("words", FILES, ids=" ".join)
def test_no_file_of_output_passes_it_on(
    host: Telling, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hostile(monkeypatch, host)
    monkeypatch.setattr(context.Context, "width", 80)
    target = tmp_path / "out" / "file"
    assert cli.main([*words, "--output", str(target)]) == 0
    harmless(target.read_text(encoding="utf-8"))


def test_every_verb_was_asked() -> None:
    assert {words[0] for words in VERBS} == set(cli.VERBS)


@pytest.mark.parametrize(
    "words",
    [
        [ARGUMENT],
        ["status", ARGUMENT],
        ["status", "--x" + ARGUMENT],
        ["block", ARGUMENT],
        ["unblock", ARGUMENT],
        ["unload", ARGUMENT],
        ["unload", "m", ARGUMENT],
        ["profiles", ARGUMENT],
        ["profiles", "match", "--kernel", ARGUMENT],
        ["profiles", "match", "x" + ARGUMENT],
        ["cves", "--json=" + ARGUMENT],
        ["cves", "--output", "/proc/" + ARGUMENT + "/x"],
    ],
    ids=ascii,
)
def test_a_mistyped_word_is_shown_harmless(
    host: Telling, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = cli.main(words)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    told = capsys.readouterr()
    assert code in (1, 2) and told.out == "" and told.err
    harmless(told.err)


def test_a_hostile_root_is_shown_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVEPATCH_ROOT", str(tmp_path / "a\x1b[2J\u202e\nb"))
    for verb in cli.VERBS:
        more = ["x"] if verb in ("unload", "block", "unblock") else ["list"] if verb == "profiles" else []
        cli.main([verb, *more])
        told = capsys.readouterr()
        harmless(told.out)
        harmless(told.err)


#: The host's files, below its root, each with a file that holds texts.
STATE = (
    "/var/lib/livepatch/exposure.json",
    "/var/lib/livepatch/guard.json",
    "/var/lib/livepatch/notices.json",
    "/var/lib/livepatch/journal.jsonl",
    "/var/lib/livepatch/journal.jsonl.1",
    "/var/lib/livepatch/clean-shutdown",
    "/run/livepatch/result.json",
    "/run/livepatch/inventory.json",
    "/run/livepatch/converged.json",
    "/run/livepatch/request",
    "/etc/dnf/plugins/livepatch.conf",
    "/etc/livepatch/profiles.d/x.conf",
    "/usr/share/livepatch/6.12.1-1.x86_64/lp_1.json",
    "/etc/os-release",
    "/proc/cmdline",
    "/proc/stat",
    "/proc/uptime",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/tainted",
    "/proc/sys/kernel/random/boot_id",
    "/sys/kernel/notes",
    "/sys/kernel/oops_count",
    "/sys/kernel/livepatch/lp_1/enabled",
    "/sys/kernel/livepatch/lp_1/transition",
    "/sys/kernel/livepatch/lp_1/f\x1b[8m,1/x",
    "/sys/kernel/livepatch/o\u202e/f,1/x",
    "/sys/module/lp_1/srcversion",
    "/sys/module/lp_1/notes/.note.gnu.build-id",
    "/dev/kmsg",
    "/etc/dnf/plugins/needs-restarting.d/x.conf",
)
_LINE = '{{"schema": 1, "time": "2026-11-22T21:00:00Z", "event": "load", "boot_id": "b", {}}}\n'
CONTENTS = (
    b"",
    b"\0" * 300,
    bytes(range(256)) * 4,
    BAD.encode("utf-8", "surrogatepass") * 3,
    b"[" * 100000,
    b'{"schema": 1, "x": ' + b"[" * 700 + b"]" * 700 + b"}",
    b'{"schema": 1, "x": ' + b"9" * 4200 + b"}",
    b'{"schema": ' + b"9" * 400 + b"}",
    b'{"schema": 1e999, "x": NaN}',
    _LINE.format('"outcome": "done", "seconds": NaN').encode(),
    _LINE.format('"outcome": "done", "seconds": 1e999').encode(),
    _LINE.format(f'"outcome": "done", "seconds": {"9" * 400}').encode(),
    _LINE.format(f'"outcome": "done", "seconds": -{"9" * 4200}').encode(),
    _LINE.format(f'"reason": {"[" * 450}"\\"\\\\"{"]" * 450}').encode(),
    _LINE.format('"cves": [["a", {}], NaN, null, {"a": 1}], "nevra": ["\\ud800", "\\u001b"]').encode(),
    _LINE.format('"issued": "9999-99-99", "cves": ["\\u202e"], "outcome": "done"').encode(),
    _LINE.format('"issued": ["2026-01-01"], "module": {"a": 1}, "dnf_history": "\\u009b"').encode(),
    _LINE.format(f'"reason": {json.dumps(BAD)}, "nevra": {json.dumps(BAD)}').encode(),
)


ACTS = (["unload", "lp_1"], ["unblock", "lp-1-1.x86_64"], ["reconcile"])


def whole(data: Any) -> Any:
    """``data``, JSON, with BAD behind every text in it, the names of fields excepted."""
    if isinstance(data, dict):
        return {key: whole(value) for key, value in data.items()}
    return list(map(whole, data)) if isinstance(data, list) else poisoned(data)


@pytest.mark.parametrize("path", STATE, ids=ascii)
def test_no_file_of_the_host_ends_a_verb_or_reaches_a_terminal(
    host: Telling, path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "inventory" in path:
        inventory.refresh(host.paths, status.gather(host.paths, host.host.config).kernel)
    contents = list(CONTENTS)
    if path.endswith(".json") and os.path.exists(host.paths.at(path)):
        real = json.loads(Path(host.paths.at(path)).read_bytes())
        contents += [json.dumps(whole(real)).encode(), json.dumps({**whole(real), "schema": 1}).encode()]
        contents += [json.dumps({**real, key: whole(value)}).encode() for key, value in real.items()]
    acts = [lambda: settle.main(host.paths), *(functools.partial(cli.main, words) for words in ACTS)]
    for act in acts:
        for content in contents[len(CONTENTS) :]:
            host.host.put(path, content)
            act()
    for content in contents:
        host.host.put(path, content)
        for words in (["status"], ["status", "--functions"], ["doctor"], ["history"], ["history", "--json"],
                      ["metrics"], ["motd"], ["cves"], ["vex"], ["list", "--json"], ["facts"]):  # fmt: skip
            cli.main(words)
            told = capsys.readouterr()
            harmless(told.out)
            harmless(told.err)
            if "--json" in words:
                json.loads(told.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("found", [[], [Problem("x", "error", "text" + BAD, "remedy" + BAD)]])
def test_what_reconcile_and_the_settle_watch_say(
    host: Telling, found: list[Problem], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error" + BAD, "/x" + BAD)

    poison(monkeypatch, (run, "reconcile"))
    if found:
        monkeypatch.setattr(mailbox, "new_result", lambda *_, **__: pytest.fail("not reached"))
        refused = run.Refused("reconcile-running", seconds=1)
        refused.problem = found[0]
        monkeypatch.setattr(run, "reconcile", lambda *_: (_ for _ in ()).throw(refused))
    run.main([host.paths.root])
    monkeypatch.setattr(settle, "check", lambda *_: ([], ["x"], False))
    settle.main(host.paths)
    monkeypatch.setattr(settle, "check", refuse)
    assert settle.main(host.paths) == 1
    told = capsys.readouterr()
    assert told.err
    harmless(told.out)
    harmless(told.err)


def test_a_label_of_a_metric_is_one_value() -> None:
    for text in ('a"} 1\nlivepatch_cves{state="open"} 0\n#', "\\", '\\"', BAD):
        *_, row = exports._metric("x", "h", [((("kernel", text),), 1.0)])
        assert re.fullmatch(r'livepatch_x\{kernel="(?:[^"\\\n]|\\[\\"n])*"\} 1', row)
        harmless(row)


def test_a_package_url_is_ascii_in_bytes() -> None:
    assert exports._quote("a-1 é漢") == "a-1%20%C3%A9%E6%BC%A2"
    assert re.fullmatch(r"(?:[A-Za-z0-9.~_-]|%[0-9A-F]{2})*", exports._quote(BAD))


def test_a_fact_of_a_line_is_what_a_writer_writes(host: Telling) -> None:
    for text in (
        '"seconds": NaN',
        '"seconds": 1e400',
        '"x": [[1]]',
        '"x": [1, 2]',
        '"x": {"a": 1}',
        '"x": null',
    ):
        assert journal._entry(_LINE.format(text).encode()) == ("2026-11-22T21:00:00Z", "load", "b", {}), text
    entry = journal._entry(_LINE.format('"seconds": 1.5, "cves": ["a"], "x": "y", "kept": true').encode())
    assert entry is not None and entry.facts == {"seconds": 1.5, "cves": ("a",), "x": "y", "kept": 1}
    assert history.rows([entry], {})[0][4] == "1.5 s"


@pytest.mark.parametrize(
    "name", ["\x1b", "\x9b", "\u202e", "\u2028", "\ud800", "\x7f", "\n", "\r", "\u061c"]
)
def test_the_one_way_out(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.show([f"a{name}b", texts.coloured("x", name, "31", name)], colour=True)
    output.write(f"a{name}b\n")
    output.progress(name)
    told = capsys.readouterr()
    within = "a\nb\n" if name == "\n" else "a?b\n"
    assert told.out == "a?b\nx\033[31m?\033[0m?\n" + within and told.err == "\r\033[K?"


def test_nothing_else_prints_or_speaks_to_dnf() -> None:
    """The streams are written to in host/output.py, and DNF's loggers are asked for in dnf4/log.py."""
    found = []
    for folder, _, names in os.walk(os.path.join(TOP, "dnf_plugin_livepatch")):
        for name in names:
            path = os.path.join(folder, name)
            if not name.endswith(".py") or re.search("/(?:rpmtool|repotool|toolkit)/", path):
                continue
            with open(path, encoding="utf-8") as file:
                tree = ast.parse(file.read())
            for node in ast.walk(tree):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if called in ("print", "logging.getLogger") or called.endswith(
                    ("stdout.write", "stderr.write")
                ):
                    found.append((name, called))
                named = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
                if named in ("sys.stdout", "sys.stderr"):
                    found.append((name, named))
    streams = {("output.py", "sys.stdout"), ("output.py", "sys.stderr"), ("log.py", "logging.getLogger")}
    # These ask whether a stream is a terminal, flush it, or have argparse print the help.
    asking = {("context.py", "sys.stdout"), ("act.py", "sys.stderr"), ("voice.py", "sys.stderr"),
              ("main.py", "sys.stdout"), ("main.py", "sys.stderr")}  # fmt: skip
    assert set(found) == streams | asking


@pytest.mark.parametrize(
    "evr", ["6.12.9\udcff-1", "6.12.9\x1b[8m-1", "6.12.9-1\u202e", "-", "", "1:-1", "6 - 9-1"], ids=ascii
)
def test_a_kernel_of_an_odd_version_costs_its_own_row(
    host: Telling, evr: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """rpm hands bytes of a header that are no UTF-8 on as surrogates, and compares no such version."""
    host.kernel_installed("6.12.2-1")
    host.kernel_installed(evr)
    for words in (["status"], ["reboot-check"], ["motd"], ["facts"], ["doctor"], ["reconcile"]):
        cli.main(words)
        told = capsys.readouterr()
        harmless(told.out)
        harmless(told.err)
    found = inventory.look(host.paths, status.gather(host.paths, host.host.config).kernel)
    assert [row[1] for row in found.kernels] == ["6.12.1-1", "6.12.2-1"]
