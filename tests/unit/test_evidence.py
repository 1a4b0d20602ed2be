# SPDX-License-Identifier: GPL-2.0-or-later
"""A verdict on a live patch needs the kernel's own word: which lines count, and which counts prove them."""

import json

import pytest

from dnf_plugin_livepatch.host.files import guard_file, journal
from dnf_plugin_livepatch.host.kernel import harm, oops
from dnf_plugin_livepatch.host.kernel.harm import Harm
from dnf_plugin_livepatch.host.reconcile import settle
from tests.unit.support.fakehost import Host, ids, run

#: Lines of real kernels, printed with words of unprivileged users: a mount option, a process's name.
FORGED = [
    "tmpfs: Unknown parameter 'BUG: a+0x1/0x2 [lp_1]'",
    "tmpfs: Unknown parameter 'BUG: a\\x0a f+0x1/0x2 [lp_1]'",
    "BUG: a+0x1/0x2 [123]: segfault at 0 ip 0000000000401126 sp 00007ffd error 6 in lp_1[401000+1000]",
    "traps: f+0x1/0x2 [lp_1][99] general protection fault ip:401126 sp:7ffd error:0 in a[401000+1000]",
    "traps: BUG: x[99] trap invalid opcode ip:401126 sp:7ffd error:0 in f+0x1/0x2 [lp_1][1+1]",
    "f+0x1/0x2 [lp_1]",
    'audit: type=1400 comm="BUG: " name=" f+0x1/0x2 [lp_1]"',
]
HEADER = "BUG: kernel NULL pointer dereference, address: 0000000000000000"
FRAMES = {
    "x86_64": "RIP: 0010:cmdline_proc_show+0x5/0x30 [lp_1]",
    "x86_64, caller": " cmdline_proc_show+0x5/0x30 [lp_1]",
    "x86_64, build id": " cmdline_proc_show+0x5/0x30 [lp_1 99f165ade8dc5c1d0aa6b26e8e2f2b2f6f9a3c11]",
    "x86_64, 3.10": " [<ffffffffc05c1005>] cmdline_proc_show+0x5/0x30 [lp_1]",
    "arm64": "pc : cmdline_proc_show+0x14/0x48 [lp_1]",
    "arm64, 6.13": " cmdline_proc_show+0x14/0x48 [lp_1] (P)",
    "ppc64le": "NIP [c00800000cd60084] cmdline_proc_show+0x14/0x80 [lp_1]",
    "ppc64le, caller": "[c0000000081efb80] [c00800000cd60084] proc_show+0x14/0x80 [lp_1] (unreliable)",
    "s390x": "Krnl PSW : 0704c00180000000 000003ff80e0413a (cmdline_proc_show+0xa/0x30 [lp_1])",
    "s390x, caller": " [<000003ff80e0413a>] cmdline_proc_show+0xa/0x30 [lp_1]",
    "a clone": " cmdline_proc_show.constprop.0.isra.0+0x5/0x30 [lp_1]",
}
HEADERS = [
    HEADER,
    "BUG: unable to handle page fault for address: ffffffffc05c1005",
    "kernel BUG at fs/proc/cmdline.c:12!",
    "Oops: 0002 [#1] PREEMPT SMP NOPTI",
    "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
    "general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
    "invalid opcode: 0000 [#1] PREEMPT SMP",
    "divide error: 0000 [#1] SMP",
    "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000",
    "Unable to handle kernel pointer dereference in virtual kernel address space",
    "Internal error: Oops: 0000000096000004 [#1] SMP",
    "Oops: Kernel access of bad area, sig: 11 [#1]",
    "illegal operation: 0001 ilc:1 [#1]",
    "Kernel panic - not syncing: Fatal exception",
    "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [cat:99]",
]


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Patch 1 settles, loaded at 10 seconds of uptime."""
    found = Host(str(tmp_path)).create().attach(monkeypatch)
    found.install(found.patch("1"))
    assert run(found).ok
    return found


def log(host, *lines, at=12_000_000):
    host.put("/dev/kmsg", "".join(f"4,{n},{at},-;{line}\n" for n, line in enumerate(lines)))


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames_of_each_architecture(frame):
    assert oops.oops_in([HEADER, "Call Trace:", frame], ["lp_1"]) == HEADER
    assert oops.oops_in([HEADER, "Call Trace:", frame.replace("lp_1", "lp_12")], ["lp_1"]) == ""


@pytest.mark.parametrize("header", HEADERS)
def test_headings_of_each_architecture(header):
    assert oops.oops_in([header, FRAMES["x86_64, caller"]], ["lp_1"]) == header


@pytest.mark.parametrize("line", FORGED)
def test_no_line_with_words_of_a_user_is_heading_and_frame(line):
    """Alone, as the heading before a real trace of something else, and as the frame after a real heading."""
    assert oops.oops_in([line], ["lp_1"]) == ""
    assert oops.oops_in([HEADER, line], ["lp_1"]) == ""
    assert oops.oops_in(FORGED, ["lp_1"]) == ""


@pytest.mark.parametrize(
    "lines, found",
    [
        ([HEADER, *["x"] * 298, " f+0x1/0x2 [lp_1]"], True),
        ([HEADER, *["x"] * 299, " f+0x1/0x2 [lp_1]"], False),
        ([HEADER, "---[ end trace 0000000000000000 ]---", " f+0x1/0x2 [lp_1]"], False),
        ([HEADER, "---[ end Kernel panic - not syncing: Fatal exception ]---", " f+0x1/0x2 [lp_1]"], False),
        ([HEADER, "tmpfs: Unknown parameter '---[ end trace 0 ]---'", " f+0x1/0x2 [lp_1]"], True),
        ([HEADER, "traps: ---[ end trace [99] trap invalid opcode", " f+0x1/0x2 [lp_1]"], True),
        ([HEADER, "Modules linked in: lp_1(OEK) ext4"], False),
        ([" f+0x1/0x2 [lp_1]", HEADER], False),
        ([HEADER + " f+0x1/0x2 [lp_1]"], False),
    ],
)
def test_heading_and_frame_are_two_lines_of_one_report(lines, found):
    assert bool(oops.oops_in(lines, ["lp_1"])) is found


@pytest.mark.parametrize(
    "before, now, proved",
    [
        (Harm(0, 0, 0), Harm(0, 0, 0), False),
        (Harm(0, 0, 0), Harm(128, 1, 0), True),
        (Harm(128, 1, 0), Harm(128, 2, 0), True),
        (Harm(0, 3, 3), Harm(0, 3, 4), True),
        (Harm(0, 3, 3), Harm(0, 0, 0), False),
        (Harm(0), Harm(128), True),
        (Harm(0), Harm(512), True),
        (Harm(0), Harm(16384), True),
        (Harm(0), Harm(16), False),
        (Harm(128), Harm(128), False),
        (Harm(512), Harm(640), True),
        (Harm(0), Harm(0, 5, 5), False),
    ],
)
def test_proof_is_a_count_that_has_risen_or_a_new_taint_bit(before, now, proved):
    assert harm.proved(before, now) is proved


@pytest.mark.parametrize("line", FORGED)
@pytest.mark.parametrize("counts", [True, False])
def test_a_forged_line_takes_nothing_out(host, line, counts):
    log(host, line)
    if counts:
        host.die()  # something else in the kernel, at the same time
    assert settle.main(host.paths) == 0 and host.running() == ["lp_1"]
    assert guard_file.blocked(host.paths) == {}


@pytest.mark.parametrize("line", [line for line in FORGED if "[lp_1]" in line])
def test_a_forged_line_is_told_once(host, line):
    for n in range(3):
        log(host, *[line] * (n + 1), at=(12 + n) * 1_000_000)
        assert settle.main(host.paths) == 0 and host.running() == ["lp_1"]
    assert told(host) == [f"{settle.UNPROVED}: {line}"]


@pytest.mark.parametrize(
    "line",
    [
        "Modules linked in: lp_1(OEK) ext4",
        "livepatch: enabling patch 'lp_1'",
        "tmpfs: Unknown parameter 'BUG: a+0x1/0x2 [lp_12]'",
        "lp_1+0x1/0x2 [ext4]",
    ],
)
def test_a_line_without_a_place_in_the_module_is_not_told(host, line):
    log(host, line)
    assert settle.main(host.paths) == 0 and told(host) == []


@pytest.mark.parametrize("priority", [12, 11 << 3 | 6])
def test_a_report_that_a_process_wrote_into_the_log_is_no_evidence(host, priority):
    """The kernel's own lines have facility 0, which /dev/kmsg gives to nobody."""
    at, frame = 12_000_000, FRAMES["x86_64, caller"]
    host.put("/dev/kmsg", f"{priority},1,{at},-;{HEADER}\n{priority},2,{at},-;{frame}\n")
    host.die()  # something else in the kernel, at the same time
    for _ in range(2):
        assert settle.main(host.paths) == 0 and host.running() == ["lp_1"]
    assert told(host)[1:] == [f"{settle.UNPROVED}: {oops.WRITTEN}{frame}"]


def told(host):
    return [entry.facts["reason"] for entry in journal.read(host.paths) if entry.event == "taint"]


def test_an_oops_that_the_kernel_did_not_count_is_told_once(host):
    log(host, HEADER, FRAMES["x86_64"])
    for _ in range(3):
        assert settle.main(host.paths) == 0 and host.running() == ["lp_1"]
    assert told(host) == [f"{settle.UNPROVED}: {HEADER}"]
    host.die()
    assert settle.main(host.paths) == 5 and host.running() == []


@pytest.mark.parametrize("bit, out", [(128, True), (512, True), (0, False)])
def test_before_linux_6_2_a_new_taint_bit_is_the_proof(tmp_path, monkeypatch, bit, out):
    host = Host(str(tmp_path)).create().attach(monkeypatch)
    for name in ("oops_count", "warn_count"):
        (tmp_path / "sys/kernel" / name).unlink()
    host.put("/proc/sys/kernel/tainted", "32768\n")
    host.install(host.patch("1"))
    run(host)
    log(host, HEADER, FRAMES["x86_64"])
    host.put("/proc/sys/kernel/tainted", f"{32768 | bit}\n")
    assert settle.main(host.paths) == (5 if out else 0)
    assert host.running() == ([] if out else ["lp_1"])


def dump(host, *lines, name="dmesg-efi-1", reason="Oops", part=1):
    text = "".join(f"<4>[   {12 - part}.{n:06}] {line}\n" for n, line in enumerate(lines))
    host.put(f"/sys/fs/pstore/{name}", f"{reason}#1 Part{part}\n{text}" if reason else text)


@pytest.mark.parametrize(
    "reason, blocked", [("Oops", True), ("Panic", True), ("Shutdown", False), ("", False)]
)
def test_a_dump_counts_when_the_kernel_wrote_it_going_down(host, reason, blocked):
    host.reboot(clean=False)
    dump(host, HEADER, FRAMES["x86_64"], reason=reason)
    assert ("patch-blocked" in ids(run(host))) is blocked


def test_a_dump_in_parts_is_read_as_one(host):
    host.reboot(clean=False)
    dump(host, HEADER, name="dmesg-efi-2", part=2)
    dump(host, FRAMES["x86_64"], name="dmesg-efi-1", part=1)
    assert "patch-blocked" in ids(run(host))


@pytest.mark.parametrize(
    "stamps",
    [
        ["<3>[   99.000001] "] * 3,
        ["<3>[   99.000001][ T77] "] * 3,
        ["<3>[   99.000001] ", "<3>[   99.000002] ", "<3>[   99.000002] "],
        ["<3>", "<3>", "<3>"],
    ],
    ids=["one record", "with a caller", "two records, a frame in the second", "no times"],
)
def test_the_later_lines_of_a_record_are_no_evidence(host, stamps):
    """A user's mount option has line feeds, and the kernel writes its own time before each line of them."""
    host.reboot(clean=False)
    lines = ["tmpfs: Unknown parameter 'x", HEADER, FRAMES["x86_64"]]
    if len(set(stamps)) == 2:
        lines = [HEADER, "tmpfs: Unknown parameter 'x", FRAMES["x86_64"]]
    text = "".join(f"{stamp}{line}\n" for stamp, line in zip(stamps, lines))
    host.put(
        "/sys/fs/pstore/dmesg-efi-1", f"Panic#1 Part1\n{text}<0>[  100.000000] Kernel panic - not syncing\n"
    )
    assert "patch-blocked" not in ids(run(host))


@pytest.mark.parametrize(
    "heading",
    [
        "BUG: x[4242]: segfault at 0 ip 0000000000401136 sp 00007ffd error 6 in a[401000+1000]",
        "BUG: abcdefghij[7] bad frame in rt_sigreturn",
        "Oops: x (4242): drop_caches: 1",
        "Oops[1][4242]: unhandled exception: DABT",
        "WARNING: CPU: 1 PID: 77 at net/core/x.c:12 do_it+0x12/0x30 [lp_1]",
    ],
)
def test_a_warning_stays_one_below_the_name_of_a_process(heading):
    """Users name their processes; a warning with a frame in the patch takes nothing out."""
    warning = ["WARNING: CPU: 1 PID: 77 at net/core/x.c:12 do_it+0x12/0x30 [lp_1]", FRAMES["x86_64"]]
    assert oops.oops_in([heading, *warning], ["lp_1"]) == ""
    assert oops.oops_in([heading, FRAMES["x86_64"]], ["lp_1"]) == ""
    assert oops.oops_in([HEADER, *warning, HEADER, FRAMES["x86_64"]], ["lp_1"]) == HEADER


def test_of_a_dump_only_the_end_counts(host):
    host.reboot(clean=False)
    dump(host, HEADER, FRAMES["x86_64"], *["other"] * 300, reason="Panic")
    assert "patch-blocked" not in ids(run(host))


def test_journald_is_told_and_blocks_nothing(host, monkeypatch):
    monkeypatch.setattr(oops, "in_journal", lambda paths, modules, boot_id: HEADER)
    host.reboot(clean=False)
    assert run(host).ok and host.running() == ["lp_1"]
    assert len(told(host)) == 1 and told(host)[0].endswith(HEADER)


@pytest.mark.parametrize(
    "row, text",
    [
        (json.dumps({"MESSAGE": HEADER}), HEADER),
        (json.dumps({"MESSAGE": list(HEADER.encode())}), HEADER),
        (json.dumps({"MESSAGE": "a\n" + HEADER}), "a\\n" + HEADER),
        (json.dumps({"MESSAGE": None}), ""),
        (json.dumps({"MESSAGE": [999]}), ""),
        (json.dumps({"MESSAGE": ["B"]}), ""),
        ('{"MESSAGE": 4000000000}', ""),
        ('{"MESSAGE": %s}' % ("9" * 30), ""),
        ('{"MESSAGE": 1e999}', ""),
        ('{"MESSAGE": {"1": 2}}', ""),
        ('{"MESSAGE": true}', ""),
        ("[" * 100_000, ""),
        ("{}", ""),
        ("", ""),
    ],
)
def test_a_record_of_journald_stays_one_line(row, text):
    assert oops._message(row) == text
