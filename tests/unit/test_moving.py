# SPDX-License-Identifier: GPL-2.0-or-later
"""A load or a removal that is under way: a state of its own, with its beginning, in every form of status."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Action, Problem, ReconcileResult
from dnf_plugin_livepatch.base.times import moment
from dnf_plugin_livepatch.host import look
from dnf_plugin_livepatch.host.cli import main
from dnf_plugin_livepatch.host.files import atomic, guard_file, mailbox
from dnf_plugin_livepatch.host.kernel import running
from dnf_plugin_livepatch.host.packages import rpm_lock
from dnf_plugin_livepatch.host.report import status as status_of
from dnf_plugin_livepatch.messages import catalogue
from tests.unit.support.fakehost import QUICK
from tests.unit.support.reporting import Telling

#: When everything here began: later than any now of these tests, so that nothing is overdue by the way.
ASKED_AT = int(time.time()) + 3600
LONG_AGO = "2026-01-02T03:04:05Z"


@pytest.fixture
def host(tmp_path, monkeypatch) -> Iterator[Telling]:
    made = Telling(str(tmp_path), monkeypatch)
    made.know((1000, "Important"))
    yield made


def ask(host: Telling, age: float = 0.0) -> str:
    """A request of that age; the stamp."""
    stamp = f"{int((time.clock_gettime(time.CLOCK_BOOTTIME) - age) * 1e9)}-77"
    host.host.put("/run/livepatch/request", stamp + "\n")
    os.utime(host.paths.request, (ASKED_AT, ASKED_AT))
    return stamp


def answer(host: Telling, stamp: str, *problems: Problem, actions: tuple[Action, ...] = ()) -> None:
    kernel = running.running(host.paths)
    facts = {"ok": not problems, "problems": problems, "actions": actions}
    result: ReconcileResult = mailbox.new_result(stamp, kernel, **facts)
    atomic.write_json(host.paths.result, mailbox.dump(result), mailbox.load)


def lock(host: Telling, held: bool) -> None:
    """The lock's file, and the kernel's list of locks with or without it."""
    host.host.put("/run/livepatch/lock", "")
    os.utime(host.paths.lock, (ASKED_AT, ASKED_AT))
    found = os.stat(host.paths.lock)
    mark = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    rows = ["1: POSIX  ADVISORY  READ 901 00:1a:77 0 EOF", "2: FLOCK  ADVISORY  WRITE 12 00:1b:5 0 EOF"]
    rows += [f"3: FLOCK  ADVISORY  WRITE 4711 {mark} 0 EOF"] if held else []
    host.host.put("/proc/locks", "\n".join(rows) + "\n")


def status(capsys, code: int) -> dict:
    assert main.main(["status", "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_locks_of_others_hide_no_run(host):
    """Any user may hold thousands of ranges of a file of their own."""
    lock(host, True)
    with open(host.paths.at("/proc/locks"), "r+", encoding="ascii") as file:
        own = file.read()
        file.seek(0)
        file.write("1: POSIX  ADVISORY  WRITE 4712 00:1b:9 0 0\n" * 60000 + own)
    assert mailbox.under_way(host.paths, None) is not None
    lock(host, False)
    assert mailbox.under_way(host.paths, None) is None


STALLED = catalogue.problem(
    "transition-stalled", module="lp_1", timeout=60, tasks="sleep (pid 12)", how="stop these processes"
)


@pytest.mark.parametrize("old", ["", "1-1"])
@pytest.mark.parametrize(("age", "held"), [(0.0, False), (40.0, False), (0.0, True), (500.0, True)])
def test_a_load_that_was_asked_for_is_under_way(host, capsys, age, held, old):
    """A result from before the request, with its error, is no news any more."""
    host.patch("1", "CVE-2026-1000")
    if old:
        answer(host, old, STALLED)
    ask(host, age)
    lock(host, held)
    found = status(capsys, 0)
    assert (found["state"], found["since"]) == ("loading", moment(ASKED_AT))
    (row,) = found["patches"]
    assert (row["state"], row["since"], row["in_force"]) == (look.LOADING, moment(ASKED_AT), False)
    assert found["problems"] == [] and [row["cve"] for row in found["exposure"]["open"]] == ["CVE-2026-1000"]


@pytest.mark.parametrize("age", [61.0, 100_000.0])
def test_a_request_that_nobody_takes_up_is_no_load_under_way(host, capsys, age):
    host.patch("1", "CVE-2026-1000")
    ask(host, age)
    lock(host, False)
    found = status(capsys, 5)
    assert (found["state"], found["since"], found["patches"][0]["state"]) == ("failed", "", look.NOT_LOADED)


@pytest.mark.parametrize("text", ["", "nonsense", "9" * 30 + "-1", f"{10**18 * 9}-1", "-5"])
def test_a_request_that_is_no_stamp_of_this_boot_is_none(host, capsys, text):
    host.patch("1", "CVE-2026-1000")
    host.host.put("/run/livepatch/request", text)
    assert status(capsys, 5)["state"] == "failed"


def test_a_request_that_was_answered_is_over(host, capsys):
    host.patch("1", "CVE-2026-1000")
    answer(host, ask(host), STALLED)
    found = status(capsys, 5)
    assert (found["state"], found["problems"][0]["id"]) == ("failed", "transition-stalled")


def test_a_new_try_without_a_request_keeps_the_reason_of_the_last_failure(host, capsys):
    host.patch("1", "CVE-2026-1000")
    answer(host, ask(host), STALLED)
    lock(host, True)
    found = status(capsys, 5)
    assert found["state"] == "failed" and found["patches"][0]["state"] == look.LOADING


def test_a_run_by_hand_is_under_way_since_it_holds_the_lock(host, capsys):
    host.patch("1", "CVE-2026-1000")
    lock(host, True)
    found = status(capsys, 0)
    assert (found["state"], found["since"]) == ("loading", moment(ASKED_AT))


@pytest.mark.parametrize(("enabled", "state"), [("1", "loading"), ("0", "unloading")])
@pytest.mark.parametrize("asked", [True, False])
def test_a_transition_is_under_way_by_itself(host, capsys, enabled, state, asked):
    patch = host.patch("1", "CVE-2026-1000")
    host.load(patch)
    host.sysfs(patch.modules[0].name, "transition", "1")
    host.sysfs(patch.modules[0].name, "enabled", enabled)
    if asked:
        ask(host)
    found = status(capsys, 0)
    assert (found["state"], found["since"]) == (state, moment(ASKED_AT) if asked else "")
    assert found["patches"][0]["state"] == look.TRANSITION


@pytest.mark.parametrize("transition", ["0", "1"])
def test_a_removal_is_under_way_and_what_is_in_force_until_then_counts(host, capsys, transition):
    patch = host.patch("1", "CVE-2026-1000")
    host.load(patch)
    host.host.install()
    host.sysfs(patch.modules[0].name, "transition", transition)
    ask(host)
    found = status(capsys, 0)
    assert (found["state"], found["since"]) == ("unloading", moment(ASKED_AT))
    (row,) = found["patches"]
    assert (row["state"], row["in_force"]) == (look.UNLOADING, transition == "0")


@pytest.mark.parametrize(("enabled", "transition"), [("1", "0"), ("0", "1")])
@pytest.mark.parametrize("way", ["block", "unload"])
def test_a_patch_that_a_verb_takes_out_is_being_unloaded(host, capsys, enabled, transition, way):
    """The package stays, the verb has its turn, and the kernel has or has not begun yet."""
    patch = host.patch("1", "CVE-2026-1000")
    host.load(patch)
    host.sysfs(patch.modules[0].name, "enabled", enabled)
    host.sysfs(patch.modules[0].name, "transition", transition)
    if way == "block":
        guard_file.block(host.paths, str(patch.nevra), "why")
    else:
        guard_file.keep_unloaded(host.paths, str(patch.nevra), "")
    lock(host, True)
    found = status(capsys, 0)
    assert (found["state"], found["since"]) == ("unloading", moment(ASKED_AT))
    assert found["patches"][0]["state"] == look.UNLOADING


def test_a_replaced_patch_stays_in_force_until_the_next_takes_its_place(host, capsys):
    old = host.patch("1", "CVE-2026-1000")
    host.load(old)
    host.host.install()
    host.patch("2", "CVE-2026-1000")
    ask(host)
    found = status(capsys, 0)
    assert found["state"] == "loading"
    assert [row["state"] for row in found["patches"]] == [look.LOADING, look.IN_FORCE]


@pytest.mark.parametrize("mode", ["install-only", "report"])
def test_where_nothing_is_loaded_nothing_is_under_way(host, capsys, mode):
    host.patch("1", "CVE-2026-1000")
    host.host.put("/etc/dnf/plugins/livepatch.conf", f"[main]\nmode = {mode}\n")
    ask(host)
    assert status(capsys, 0)["patches"][0]["state"] == look.NOT_LOADED


def test_every_form_tells_it(host, capsys):
    host.patch("1", "CVE-2026-1000")
    ask(host)

    def out(*words: str, code: int = 0) -> str:
        assert main.main(list(words)) == code
        return capsys.readouterr().out

    when = f"{moment(ASKED_AT)}, until {moment(ASKED_AT + 240)} at the latest"
    shown = out("status")
    assert f"State          : LOADING: live patch lp-1-1.x86_64 is being loaded since {when}\n" in shown
    assert f"installed, being loaded since {when}, module" in shown
    assert "Next           : livepatch status    (again, when the loading has ended)\n" in shown
    assert "FAILED" not in shown and "NOT in force" not in shown
    line = out("check", code=1)
    assert (
        line.startswith("LIVEPATCH WARNING - ")
        and f"live patch lp-1-1.x86_64 is being loaded since {when}, " in line
    )
    numbers = out("metrics")
    assert 'livepatch_state{state="loading"} 1' in numbers and 'livepatch_state{state="failed"} 0' in numbers
    assert f"livepatch_change_timestamp_seconds {ASKED_AT}\n" in numbers
    assert f"livepatch_change_deadline_seconds {ASKED_AT + 240}\n" in numbers
    assert f"Live patch lp-1-1.x86_64 is being loaded since {when}.\nNext: livepatch status" in out("motd")
    assert look.LOADING in out("list")


@pytest.mark.parametrize(
    ("problem", "helps"),
    [
        (STALLED, True),
        (catalogue.problem("record-unwritable", why="no space"), True),
        (catalogue.problem("load-no-key", module="lp_1", signer="a key"), False),
        (catalogue.problem("module-vermagic", path="/lp_1.ko", vermagic="6.1", release="6.12"), False),
        (catalogue.problem("patch-without-module", nevra="lp-1-1.x86_64", release="6.12"), False),
    ],
)
def test_reconcile_is_the_next_step_only_where_another_run_can_help(host, capsys, problem, helps):
    patch = host.patch("1", "CVE-2026-1000")
    answer(host, ask(host), problem, catalogue.not_in_force(str(patch.nevra), ()))
    assert main.main(["status"]) == 5
    step = capsys.readouterr().out.rpartition("Next           : ")[2]
    assert step.startswith("livepatch reconcile" if helps else "dnf upgrade    (")


# --- races ---


@pytest.mark.parametrize("age", [0.0, 100.0])
def test_a_run_that_ends_while_status_looks_is_no_alarm(host, capsys, monkeypatch, age):
    """The patch was out of force when sysfs was read. The run has put it in force since."""
    patch = host.patch("1", "CVE-2026-1000")
    stamp = ask(host, age)
    real, looks = look.look, []

    def slow(*words, **more) -> look.Look:
        seen = real(*words, **more)
        if not looks:
            host.load(patch)
            answer(host, stamp)
        looks.append(1)
        return seen

    monkeypatch.setattr(look, "look", slow)
    found = status(capsys, 0)
    assert (found["state"], found["patches"][0]["state"]) == ("ok", look.IN_FORCE) and len(looks) == 2


def test_runs_without_end_do_not_keep_status_waiting(host, capsys, monkeypatch):
    host.patch("1", "CVE-2026-1000")
    real, looks = look.look, []

    def slow(*words, **more) -> look.Look:
        looks.append(1)
        answer(host, ask(host), STALLED)
        return real(*words, **more)

    monkeypatch.setattr(look, "look", slow)
    assert status(capsys, 0)["state"] == "loading" and len(looks) == status_of.MAX_LOOKS


def test_a_transaction_that_ends_while_status_looks_is_no_alarm(host, capsys, monkeypatch):
    """Its lock is gone when status asks for it, and the request of its file trigger is there."""
    host.patch("1", "CVE-2026-1000")
    monkeypatch.setattr(rpm_lock, "held", lambda *words: bool(ask(host)) and False)
    assert status(capsys, 0)["state"] == "loading"


# --- a change that does not end ---


def hang(host: Telling, since: str) -> str:
    """The kernel has been loading the installed patch since then, as the guard's file knows."""
    patch = host.patch("1", "CVE-2026-1000")
    entry = guard_file.GuardEntry("loading", host.host.boot_id, since, modules=("lp_1",))
    guard_file.change(host.paths, lambda guard: guard.entries.update({str(patch.nevra): entry}))
    host.host.put("/sys/module/lp_1/initstate", "coming\n")
    return str(patch.nevra)


def overdue(capsys, identifier: str, command: str) -> None:
    """Every form alarms, with the same reason and a step that changes something."""
    found = status(capsys, 5)
    assert (found["state"], found["since"], found["until"]) == ("failed", "", "")
    assert [row["id"] for row in found["problems"]] == [identifier]
    assert found["next"]["command"] == command
    assert main.main(["check"]) == 2 and "LIVEPATCH CRITICAL" in capsys.readouterr().out
    assert main.main(["doctor"]) == 1 and found["problems"][0]["text"] in capsys.readouterr().out
    assert main.main(["motd"]) == 0 and f"Next: {command}" in capsys.readouterr().out


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_a_load_past_its_time_is_an_error(host, capsys, busy, told):
    """Also where a new run waits for the load, and where the last run said that the load goes on."""
    nevra = hang(host, LONG_AGO)
    if told:
        answer(host, "1-1", catalogue.problem("load-goes-on", nevra=nevra, since=LONG_AGO))
    lock(host, busy)
    overdue(capsys, "load-overdue", f"livepatch block {nevra}; systemctl reboot")


@pytest.mark.parametrize("busy", [False, True])
def test_a_load_within_its_time_is_none(host, capsys, busy):
    hang(host, moment(time.time() - 100))
    lock(host, busy)
    assert status(capsys, 0)["state"] == "loading"


@pytest.mark.parametrize("change", ["load", "removal", "transition"])
def test_a_run_past_its_time_is_an_error(host, capsys, change):
    patch = host.patch("1", "CVE-2026-1000")
    if change != "load":
        host.load(patch)
    if change == "removal":
        host.host.install()
    if change == "transition":
        host.sysfs("lp_1", "transition", "1")
    lock(host, True)
    assert status(capsys, 0)["state"] == ("unloading" if change == "removal" else "loading")
    os.utime(host.paths.lock, (time.time() - 250,) * 2)
    overdue(capsys, "change-overdue", "systemctl restart livepatch-reconcile.service")
    host.host.put("/etc/dnf/plugins/livepatch.conf", "[main]\ntransition_timeout = 100\n")
    assert status(capsys, 0)["until"] != "", "the time is that of the configuration"


# --- every form alike ---

SENTENCES = {"loading": "is being loaded", "unloading": "is being taken out of force"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    installed=st.sampled_from(["", "1", "2"]),
    loaded=st.sampled_from(["", "1", "2"]),
    enabled=st.booleans(),
    transition=st.booleans(),
    asked=st.sampled_from([None, 0.0, 40.0, 500.0]),
    held=st.booleans(),
    last=st.sampled_from(["none", "good", "stalled"]),
    kept=st.sampled_from(["", "block", "unload"]),
    mode=st.sampled_from(["load", "load", "install-only"]),
    known=st.booleans(),
)
def test_every_form_tells_the_same_of_the_same_host(
    monkeypatch, capsys, installed, loaded, enabled, transition, asked, held, last, kept, mode, known
):
    with tempfile.TemporaryDirectory(dir=QUICK) as root:
        host = Telling(root, monkeypatch)
        if known:
            host.know((1000, "Important"))
        if loaded:
            patch = host.patch(loaded, "CVE-2026-1000")
            host.load(patch)
            host.sysfs(patch.modules[0].name, "enabled", str(int(enabled)))
            host.sysfs(patch.modules[0].name, "transition", str(int(transition)))
        if not installed:
            host.host.install()
        elif installed != loaded:
            host.patch(installed, "CVE-2026-1000")
        nevra = f"lp-{installed or loaded or 1}-1.x86_64"
        if kept == "block":
            guard_file.block(host.paths, nevra, "why")
        elif kept:
            guard_file.keep_unloaded(host.paths, nevra, "")
        host.host.put("/etc/dnf/plugins/livepatch.conf", f"[main]\nmode = {mode}\n")
        if last != "none":
            answer(host, "1-1", *([STALLED] if last == "stalled" else []))
        if asked is not None:
            ask(host, asked)
        lock(host, held)
        state = agree(capsys)
        if mode == "load" and (asked in (0.0, 40.0) or (held and last != "stalled")):
            assert state != "failed", "whatever is out of force now, a run is at work on it"
        if mode == "load" and (held or asked in (0.0, 40.0)) and kept and loaded == installed != "":
            assert state in ("unloading", "failed")


def agree(capsys) -> str:
    """All forms tell one state, with its times; a change that is under way alarms nobody."""

    def out(*words: str) -> tuple[int, str]:
        code = main.main(list(words))
        return code, capsys.readouterr().out

    code, text = out("status", "--json")
    found = json.loads(text)
    state, span = found["state"], [moment for moment in (found["since"], found["until"]) if moment]
    moves = state in SENTENCES
    assert span == [] or moves
    shown = {verb: out(verb) for verb in ("status", "check", "motd", "metrics", "list")}
    assert shown["status"][0] == code and code == {"failed": 5}.get(state, 0)
    assert shown["status"][1].startswith(f"State          : {state.upper()}:")
    states = re.findall(r'^livepatch_state\{state="(\w+)"\} 1$', shown["metrics"][1], re.MULTILINE)
    assert states == [state]
    for word, moment_ in (("timestamp", found["since"]), ("deadline", found["until"])):
        assert (f"livepatch_change_{word}_seconds " in shown["metrics"][1]) is bool(moment_)
    for verb in ("status", "check", "motd"):
        told = [word for word, sentence in SENTENCES.items() if sentence in shown[verb][1].split("\n")[0]]
        assert told == ([state] if moves else []), (verb, shown[verb])
        assert all(moment_ in shown[verb][1] for moment_ in span), (verb, shown[verb])
    level = shown["check"][0]
    assert level == 1 if moves else (level == 2) is (state == "failed")
    for row in found["patches"]:
        assert row["state"] in shown["list"][1]
        assert (row["since"] in shown["status"][1]) and (row["until"] in shown["status"][1])
    assert isinstance(state, str)
    return state
