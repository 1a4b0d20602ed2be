# SPDX-License-Identifier: GPL-2.0-or-later
"""A live patch on offer that upgrades do not take, since they fail or ask for other things."""

from __future__ import annotations

import json
import re

import pytest

from tests.dnf.support import programs, rpms, stock
from tests.dnf.support.lab import SOURCE, Host, Update, lines, shared, unharmed

LIVEPATCH = f"python3 {SOURCE}/bin/livepatch "
P1, P2 = str(stock.P1), str(stock.P2)
APP1, APP2 = rpms.Rpm("app", "1", "1"), rpms.Rpm("app", "2", "1", (), ("no-such-library",))
CLASH1, CLASH2 = (
    rpms.Rpm("clash", v, "1", files=(("/usr/share/clash" if v == "2" else "/usr/share/x", v),)) for v in "12"
)
OWNER = rpms.Rpm("owner", "1", "1", files=(("/usr/share/clash", "mine\n"),))
BASE = (*stock.START, APP1, CLASH1, OWNER)
TOLD = (
    stock.ADV10, stock.ADV20, stock.ADV30, stock.ADVP1, stock.ADVP2, stock.ADVBY,
    Update("APP-2", (APP2,), ("CVE-2024-7001",)), Update("CLASH-2", (CLASH2,), ("CVE-2024-7002",)),
)  # fmt: skip


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    states = {
        "start": (BASE, (stock.ADV10,)),
        "depsolve": ((*BASE, APP2, stock.BY2, stock.P1), TOLD),
        "newer": ((*BASE, APP2, stock.BY2, stock.P1, stock.P2), TOLD),
        "files": ((*BASE, CLASH2, stock.P1), TOLD),
        "files-newer": ((*BASE, CLASH2, stock.P1, stock.P2), TOLD),
        "nothing": ((*BASE, APP2, stock.BY2), TOLD),
        "good": ((*BASE, stock.BY2, stock.P1), TOLD),
        "needy": ((*BASE, stock.BY2, stock.NEEDY), TOLD),
        "dragging": ((*BASE, stock.BY2, stock.DRAGGING, stock.HELPER), TOLD),
        "older": ((*BASE, stock.BY2, stock.P1, stock.NEEDY), TOLD),
        "both": ((*BASE, APP2, stock.BY2, stock.NEEDY), TOLD),
        "both-older": ((*BASE, APP2, stock.BY2, stock.P1, stock.NEEDY), TOLD),
    }
    packages = [
        *BASE,
        APP2,
        CLASH2,
        stock.BY2,
        stock.P1,
        stock.P2,
        stock.NEEDY,
        stock.DRAGGING,
        stock.HELPER,
    ]
    return shared(tmp_path_factory, "failing", packages, states, [*stock.BASE, "app", "clash", "owner"])


@pytest.fixture
def host(failing):
    one = failing.host()
    yield one
    one.drop()


def offered(host: Host) -> tuple[str, str] | None:
    """What status knows to be offered and not taken: the package, and since when."""
    found = json.loads(host.sh(LIVEPATCH + "status --json").out)
    problems = [row for row in found["problems"] if row["id"] == "patch-not-taken"]
    assert [row["subject"] for row in problems] == ([found["offered"]["nevra"]] if found["offered"] else [])
    return (found["offered"]["nevra"], found["offered"]["since"]) if found["offered"] else None


def left(answer) -> list[str]:
    head = "livepatch: Live patch "
    return [line[len(head) :].split()[0] for line in lines(answer) if "because this upgrade failed" in line]


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("depsolve", "upgrade"),
        ("depsolve", "upgrade --security"),
        ("depsolve", "upgrade app"),
        ("files", "upgrade"),
        ("files", "upgrade-minimal"),
        ("files", "upgrade --security clash"),
    ],
)
def test_an_upgrade_that_fails_names_the_patch_that_it_leaves_out(host, state, command):
    host.repos(base=state)
    answer = host.sh(f"dnf -y {command}")
    unharmed(answer)
    assert answer.code == 1 and not answer.new
    assert left(answer) == [P1] and offered(host)[0] == P1, answer.text
    alone = host.dnf("livepatch", "update")
    assert alone.code == 0 and alone.new == {P1} and offered(host) is None, alone.text


def test_every_form_of_status_knows_and_the_date_is_of_the_first_night(host):
    host.repos(base="depsolve")
    host.dnf("upgrade")
    since = offered(host)[1]
    host.sh(f"sed -i s/{since}/2026-10-01T02:03:04Z/ /var/lib/livepatch/notices.json")
    host.repos(base="newer")
    host.dnf("upgrade")
    assert offered(host) == (P2, "2026-10-01T02:03:04Z"), "a newer build does not set the date back"
    shown = host.sh(LIVEPATCH + "status").out
    assert f"Live patch {P2} is offered and not installed" in shown and "2026-10-01T02:03:04Z" in shown
    assert re.search(r"^Next +: dnf livepatch update$", shown, re.MULTILINE)
    assert "dnf-livepatch.timer" in shown
    motd = host.sh(LIVEPATCH + "motd").out
    assert (
        "A live patch is offered since 2026-10-01 and not installed." in motd and "livepatch update" in motd
    )
    check = host.sh(LIVEPATCH + "check")
    assert check.code in (1, 2) and f"{P2} is offered and not installed" in check.out
    metric = "livepatch_patch_offered_timestamp_seconds{"
    assert metric in host.sh(LIVEPATCH + "metrics").out
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups "
    assert P2 in host.sh(nobody + LIVEPATCH + "status").out


@pytest.mark.parametrize(
    "how",
    [
        f"dnf -y install {P1}",
        "dnf -y livepatch update",
        "dnf -y upgrade --nobest",
        f"rpm -i {{states}}/depsolve/{P1}.rpm",
        f"{LIVEPATCH} block {P1}",
        "repository",
        "exclude",
    ],
)
def test_it_is_over_when_the_patch_is_taken_or_nobody_offers_it(host, how):
    host.repos(base="depsolve")
    host.dnf("upgrade")
    assert offered(host)[0] == P1
    if how == "repository":
        host.repos(base="nothing")
        how = "dnf -y upgrade"
    elif how == "exclude":
        how = "dnf -y upgrade --exclude=kpatch-patch*"
    host.sh(how.format(states=host.lab.states))
    assert offered(host) is None


def test_what_was_taken_and_removed_is_not_offered_since_the_first_time(host):
    host.repos(base="depsolve")
    host.dnf("upgrade")
    host.dnf("livepatch", "update")
    host.dnf("remove", stock.P1.name)
    assert offered(host) is None


@pytest.mark.parametrize("option", ["--assumeno", "--downloadonly"])
def test_a_patch_that_was_declined_is_offered_and_no_line_speaks_of_failure(host, option):
    host.repos(base="good")
    answer = host.dnf("upgrade", option)
    assert left(answer) == [] and offered(host)[0] == P1, answer.text
    assert host.dnf("upgrade").code == 0 and offered(host) is None


@pytest.mark.parametrize("command", ["install app-2", "distro-sync", "downgrade other"])
def test_a_failing_command_that_is_no_upgrade_says_nothing(host, command):
    host.repos(base="depsolve")
    answer = host.sh(f"dnf -y {command}")
    assert answer.code == 1 and lines(answer) == [], answer.text


def test_where_patches_are_only_reported_the_offer_is_a_note(host):
    host.conf("mode = report\n")
    host.repos(base="good")
    host.dnf("upgrade")
    found = json.loads(host.sh(LIVEPATCH + "status --json").out)
    (row,) = [row for row in found["problems"] if row["subject"] == P1]
    assert (row["id"], row["severity"]) == ("patch-offered", "note")


def test_a_failing_upgrade_by_the_api_is_remembered_too(host):
    host.repos(base="depsolve")
    answer = host.python(programs.API)
    assert answer.code == 1 and "DepsolveError" in answer.err and not answer.new
    assert offered(host)[0] == P1


# --- a live patch that cannot be installed at all ---

NEEDY, ALONE = str(stock.NEEDY), "cannot be installed, not even by itself: "


def advised(host: Host) -> list[str]:
    """The advice of status and of reboot-check to run dnf."""
    shown = host.sh(LIVEPATCH + "status").out + host.sh(LIVEPATCH + "reboot-check").out
    return re.findall(r"dnf (?:livepatch update|upgrade)[^'\n]*", shown)


@pytest.mark.parametrize(
    "command", ["upgrade", "upgrade bystander", "livepatch update", "upgrade --assumeno"]
)
@pytest.mark.parametrize("state", ["needy", "dragging"])
def test_a_patch_that_cannot_be_installed_is_not_called_offered(host, state, command):
    host.repos(base=state)
    answer = host.sh(f"dnf -y {command}")
    unharmed(answer)
    assert offered(host) is None and advised(host) == [], answer.text


@pytest.mark.parametrize("command", ["upgrade --assumeno", "upgrade bystander --assumeno"])
def test_the_newest_patch_that_can_be_installed_is_the_one_that_is_offered(host, command):
    host.repos(base="older")
    host.sh(f"dnf -y {command}")
    assert offered(host)[0] == P1
    alone = host.dnf("livepatch", "update")
    assert alone.new == {P1} and offered(host) is None, alone.text
    assert advised(host) == []


def test_no_advice_follows_the_install_of_a_patch_whose_successor_cannot_be_installed(host):
    host.repos(base="older")
    assert host.dnf("install", P1).new == {P1}
    assert offered(host) is None and advised(host) == []


@pytest.mark.parametrize("command", ["upgrade", "upgrade --security", f"upgrade {stock.P1.name}"])
def test_an_upgrade_that_fails_by_the_patch_itself_says_so(host, command):
    host.repos(base="good")
    host.dnf("install", P1)
    host.repos(base="needy")
    answer = host.sh(f"dnf -y {command}")
    unharmed(answer)
    (line,) = lines(answer)
    assert answer.code == 1 and left(answer) == [], answer.text
    assert NEEDY in line and ALONE in line and "no-such-thing" in line, answer.text
    assert offered(host) is None and advised(host) == []
    followed = host.sh("dnf -y " + re.findall(r"'dnf (upgrade --exclude=[^']*)'", line)[0])
    assert followed.code == 0 and followed.new == {str(stock.BY2)}, followed.text


@pytest.mark.parametrize(("state", "goes"), [("both", []), ("both-older", [P1])])
def test_where_two_things_fail_only_what_the_advice_would_take_is_called_left_out(host, state, goes):
    host.repos(base=state)
    answer = host.dnf("upgrade")
    assert answer.code == 1 and left(answer) == goes, answer.text
    assert any(NEEDY in line and ALONE in line for line in lines(answer)), answer.text
    assert [offered(host)[0]] == goes if goes else offered(host) is None
    assert host.dnf("livepatch", "update").new == set(goes)


# --- a live patch that DNF itself takes, and another one than the one on offer ---


@pytest.mark.parametrize("command", ["upgrade", "upgrade --security", f"upgrade clash {stock.P1.name}"])
def test_an_upgrade_of_an_installed_patch_that_fails_names_it_too(host, command):
    host.repos(base="files")
    host.dnf("install", P1)
    host.repos(base="files-newer")
    answer = host.sh(f"dnf -y {command}")
    unharmed(answer)
    assert answer.code == 1 and not answer.new and left(answer) == [P2], answer.text
    alone = host.dnf("livepatch", "update")
    assert alone.new == {P2} and offered(host) is None, alone.text


@pytest.mark.parametrize("command", ["upgrade other clash", "upgrade clash"])
def test_a_failing_upgrade_does_not_call_an_installed_patch_left_out(host, command):
    host.repos(base="files")
    host.write("/etc/stand-in", "fail")
    assert host.dnf("install", P1).code == 5, "it is installed, and missing"
    answer = host.sh(f"dnf -y {command}")
    assert answer.code == 1 and left(answer) == [], answer.text


@pytest.mark.parametrize("how", [f"install {P1}", f"install {{states}}/newer/{P1}.rpm"])
def test_the_date_is_that_of_the_last_patch_that_was_taken(host, how):
    host.repos(base="newer")
    host.dnf("upgrade")
    since = offered(host)[1]
    host.sh(f"sed -i s/{since}/2026-10-01T02:03:04Z/ /var/lib/livepatch/notices.json")
    assert host.sh("dnf -y " + how.format(states=host.lab.states)).new == {P1}
    nevra, now = offered(host)
    assert nevra == P2 and since <= now, "a dnf run has taken a patch meanwhile"
    host.sh(f"sed -i s/{now}/2026-10-02T02:03:04Z/ /var/lib/livepatch/notices.json")
    host.dnf("install", "other")
    assert offered(host) == (P2, "2026-10-02T02:03:04Z"), "another package is no live patch"


@pytest.mark.parametrize("state", ["start", "good"])
def test_the_remedy_for_a_damaged_file_of_notices_helps(host, state):
    host.repos(base=state)
    host.dnf("upgrade")
    host.write("/var/lib/livepatch/notices.json", "{broken")
    remedy = re.search("As root, run '(dnf [^']*)'", host.sh(LIVEPATCH + "status").out)
    assert remedy, "the damage is told with a remedy"
    host.sh(remedy[1].replace("dnf ", "dnf -y ", 1))
    assert json.loads(host.read("/var/lib/livepatch/notices.json"))
    assert host.read("/var/lib/livepatch/notices.json.spoiled") == "{broken"
