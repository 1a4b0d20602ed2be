# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of repositories, of the host's files and of a failed load, in the output and log of the real DNF."""

from __future__ import annotations

import json
import re

import pytest

from dnf_plugin_livepatch.messages import catalogue
from tests.dnf.support import records, stock, strangers
from tests.dnf.support.lab import SOURCE, Host, Update, unharmed

#: As JSON and Python have them; XML has no surrogates and no C0.
BAD = "\x1b]0;x\x07\x1b[8m\r\x7f\x85\x9b2J\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028\u2029"
IN_XML = "\x7f\x85\x9b2J\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028\u2029"
FORBIDDEN = {c for c in BAD if not c.isprintable()}

VERBS = (
    ["upgrade"],
    ["livepatch", "update", "--check"],
    ["livepatch", "update", "--check", "--json"],
    ["livepatch", "list", "--available"],
    ["livepatch", "list", "--available", "--json"],
    *[["livepatch", verb] for verb in ("status", "cves", "list", "history", "doctor", "motd", "check")],
    ["livepatch", "metrics"],
    ["livepatch", "vex"],
    ["livepatch", "status", "--json"],
    ["livepatch", "b\x1b[8m\u202ead"],
    ["livepatch", "block", "b\x1b[8m\u202ead"],
    ["livepatch", "update"],
    ["remove", stock.P1.name],
)


def harmless(text: str, where: object) -> None:
    assert not FORBIDDEN & set(text), (
        where,
        [ascii(row) for row in text.split("\n") if FORBIDDEN & set(row)],
    )


def ours(log: str) -> str:
    """The plugin's lines of ``log``. DNF itself writes packages and the command line as they are."""
    lines = (line for line in log.split("\n") if re.search("live ?patch", line, re.I))
    return "\n".join(line for line in lines if not re.search("DDEBUG [A-Z][a-z ]+: ", line))


def edited(host: Host, like: str, **kinds: tuple[bytes, bytes]) -> str:
    """A state as ``like`` in whose metadata ``kinds`` one text stands for another."""
    for kind, (old, new) in kinds.items():
        like = strangers.replaced(host.lab, like, kind, lambda data, o=old, n=new: re.sub(o, n, data))
    return like


def test_no_text_of_a_repository_reaches_the_terminal_or_the_log(host):
    """The record's reasons, the severity, id and title of advisories, and a NEVRA, in every verb."""
    host.conf(f"on_withdrawn = revert\nrepos = base\nb{IN_XML}d = {IN_XML}\n")
    host.repos(base="first")
    host.dnf("upgrade", "--exclude=bystander")
    told = records.told(
        host.lab,
        "patches",
        {str(stock.P1): records.withdrawn("w" + BAD), str(stock.P2): records.rollout((3600, 1))},
        unfixable=[{"cve": stock.CVE30, "reason": "r" + BAD}],
    )
    text = IN_XML.encode()
    told = edited(
        host,
        told,
        updateinfo=(rb"(<title>|<severity>|<id>)(\w)", rb"\g<1>\g<2>" + text),
        primary=(rb'(?s)(<name>bystander</name>.{0,80}ver="2)', rb"\1" + text),
    )
    host.repos(base=told)
    for words in VERBS:
        answer = host.dnf(*words)
        if words[0] == "livepatch":
            harmless(answer.text, words)
        else:
            harmless(ours(answer.text), words)
        unharmed(answer)
        assert "has failed" not in answer.text, "the repository was not even read"
        if "--json" in words:
            assert answer.out, answer
            assert json.loads(answer.out)["schema"] == 1
    harmless(ours(host.read("/var/log/dnf.log")), "dnf.log")


STATE = {
    "/var/lib/livepatch/notices.json": {
        "withdrawn": [{"nevra": str(stock.P1), "reason": BAD, "repository": BAD, "signed": True}],
        "trusted": [{"repository": BAD, "why": "named", "claims": True, "signed": True}],
    },
    "/var/lib/livepatch/guard.json": {
        "records": {str(stock.P2): {"state": "blocked", "reason": BAD, "modules": [BAD]}}
    },
    "/var/lib/livepatch/exposure.json": {"kernel_release": BAD, "reason": BAD, "quality": "unknown"},
    "/run/livepatch/result.json": {
        "ok": False, "problems": [{"id": "x", "severity": "error", "text": BAD, "remedy": BAD}],
        "boot_id": "", "skipped": BAD,
    },
    "/var/lib/livepatch/journal.jsonl": {
        "time": "2026-11-22T21:00:00Z", "event": "load", "boot_id": "b", "reason": BAD, "nevra": BAD,
    },
}  # fmt: skip


def test_no_text_of_a_state_file_reaches_the_terminal_or_the_log(host):
    host.repos(base="patches")
    for path, data in STATE.items():
        host.write(path, json.dumps({"schema": 1, **data}) + "\n")
    for words in VERBS:
        answer = host.dnf(*words)
        harmless(answer.text, words)
        unharmed(answer)
    harmless(ours(host.read("/var/log/dnf.log")), "dnf.log")


@pytest.mark.parametrize("how", ["a reason of reconcile", "a fault of the plugin", "on a terminal"])
def test_what_loading_says_is_harmless(host, how):
    """Reconcile's answer holds a program's output or a task's name; a fault may quote any of them."""
    host.repos(base="first")
    problem = catalogue.problem("module-not-in-force", nevra="n", instead="x")._replace(
        text="t" + BAD, remedy="r" + BAD
    )
    code = f"""
        import sys, dnf.cli.main
        from dnf_plugin_livepatch.base.model import Problem, ReconcileResult
        from dnf_plugin_livepatch.host import after_transaction
        def ask(paths, timeout, progress):
            if {how!r} == "a fault of the plugin":
                raise RuntimeError("e" + {BAD!r} + "\\n2026-11-27T00:00:00+0000 INFO forged")
            if progress:
                progress("task c" + {BAD!r})
            found = (Problem(*{tuple(problem)!r}),)
            return ReconcileResult("", "", "", "", False, "", (), (), found, "")
        after_transaction.ask = ask
        sys.exit(dnf.cli.main.main(["-y", "upgrade", "--exclude=bystander"]))
    """
    host.write("/root/run.py", "\n".join(line[8:] for line in code.split("\n")))
    terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    spawn = f"python3 -c '{terminal}' " if how == "on a terminal" else ""
    answer = host.sh(f"PYTHONPATH={SOURCE} {spawn}python3 /root/run.py")
    shown = answer.text.replace("\033[K", "")
    wanted = {"a fault of the plugin": "RuntimeError: e?]0;x", "on a terminal": "task c?]0;x"}
    assert wanted.get(how, "t?]0;x??[8m") in shown, answer.text
    # DNF itself moves the cursor of a terminal; the plugin's own lines hold none of that.
    harmless(ours(shown) if spawn else shown, how)
    log = host.read("/var/log/dnf.log")
    harmless(log, "dnf.log")
    assert not re.search("^2026-11-27T00:00:00.0000 INFO forged", log, re.M)


def test_an_advisory_of_odd_texts_is_one_row(host):
    update = Update("A-1", (stock.K20,), ("CVE-2024-7777",), severity="Low" + IN_XML)
    host.repos(base="kernel", other=strangers.state(host.lab, [stock.OTHER], [update]))
    host.dnf("upgrade", "--exclude=kernel*")
    shown = host.dnf("livepatch", "cves").out
    assert re.search(r"CVE-2024-7777 +Low", shown)
    harmless(shown, "cves")
