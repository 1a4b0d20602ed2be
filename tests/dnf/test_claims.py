# SPDX-License-Identifier: GPL-2.0-or-later
"""What a repository claims counts for as much as the host trusts it, and costs what an honest one costs."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from tests.dnf.support import records, stock, strangers
from tests.dnf.support.lab import SOURCE, Host, Update, lines

K10, P1, P2 = stock.K10, stock.P1, stock.P2


def cves(host: Host) -> list[str]:
    """The CVEs that the host has open, by its own command."""
    return host.sh(f"python3 {SOURCE}/bin/livepatch cves --plain").out.split()


FALSE = {
    "fixed below": Update("EVIL-1", (K10,), (stock.CVE20, stock.CVE30)),
    "fixed below, under the honest id": Update("KERNEL-10", (K10,), (stock.CVE20, stock.CVE30)),
    "low, and fixed in a build that is about to run": Update(
        "EVIL-2", (K10,), (stock.CVE20,), severity="Low"
    ),
}


@pytest.mark.parametrize("update", FALSE.values(), ids=FALSE)
def test_advisories_of_others_hide_no_cve(host, lab, update):
    host.repos(base="kernel")
    host.dnf("upgrade", "--exclude=kernel*")
    before = cves(host)
    assert {stock.CVE20, stock.CVE30} <= set(before)
    host.repos(base="kernel", other=strangers.state(lab, [stock.OTHER], [update]))
    host.dnf("upgrade", "--exclude=kernel*")
    assert cves(host) == before


def test_advisories_of_others_add_alarm(host, lab):
    update = Update("OTHER-1", (stock.K20,), ("CVE-2024-7777",))
    host.repos(base="kernel", other=strangers.state(lab, [stock.OTHER], [update]))
    answer = host.dnf("upgrade", "--exclude=kernel*")
    assert "deprecated" not in answer.text
    assert "CVE-2024-7777" in cves(host)


def test_an_odd_kernel_of_others_keeps_no_advisory_out(host, lab):
    """One whose version no record can hold, as it is hidden by an exclude."""
    host.repos(base="start")
    host.dnf("upgrade", "--exclude=kernel*")
    like = strangers.state(lab, [stock.K40])

    def edit(data: bytes) -> bytes:
        return data.replace(b'ver="5.14.0" rel="40', b'ver="' + b"9" * 140 + b'" rel="40')

    other = strangers.replaced(lab, like, "primary", edit)
    host.repos(base="kernel", other=f"{other}\nexcludepkgs=kernel*")
    host.dnf("upgrade", "--exclude=kernel*")
    assert {stock.CVE20, stock.CVE30} <= set(cves(host))


@pytest.mark.parametrize("package", [K10, P1], ids=str)
def test_advisories_of_others_hold_no_kernel(host, lab, package):
    """Patch 1 closes one of the two CVEs that the new kernel fixes."""
    host.repos(base="first")
    assert str(P1) in host.dnf("upgrade", "--exclude=bystander").new
    host.conf("kernel_update = hold-when-covered\n")
    base = strangers.state(
        lab, [*stock.START, stock.K20, stock.K30, stock.K40, P1], [*stock.ALL_KERNELS, stock.ADVP1]
    )
    update = Update("EVIL-1", (package,), (stock.CVE30,))
    host.repos(base=base, other=strangers.state(lab, [stock.OTHER], [update]))
    assert str(stock.K40) in host.dnf("upgrade").new


@pytest.mark.parametrize("honest", ["no record", "a record that does not name it"])
def test_a_false_withdrawal_ends_when_the_honest_mirror_is_back(host, lab, honest):
    host.conf("on_withdrawn = revert\n")
    host.repos(base="first")
    assert str(P1) in host.dnf("upgrade").new
    host.repos(base=records.told(lab, "first", {str(P1): records.withdrawn("false")}))
    assert "has withdrawn it" in host.dnf("upgrade").text
    assert "no-block" not in host.read("/var/log/stand-in"), "nobody signed that: nothing is taken out"
    host.repos(base="first" if honest == "no record" else records.told(lab, "first", {}))
    assert "has withdrawn it" not in host.dnf("upgrade").text
    assert json.loads(host.read("/var/lib/livepatch/notices.json"))["withdrawn"] == []


def bomb(_: bytes) -> bytes:
    return gzip.compress(b" " * (200 << 20))


def nested(_: bytes) -> bytes:
    return gzip.compress(b'{"schema":1,"kernels":{"x":[' + b"{}," * 2_000_000 + b"{}]}}")


@pytest.mark.parametrize("content", [bomb, nested])
def test_a_record_that_unpacks_to_very_much_is_one_line(host, lab, content):
    host.repos(base=strangers.replaced(lab, "patches", "livepatch", content, packed=""))
    answer = host.dnf("upgrade")
    assert answer.code == 0 and str(P2) in answer.new
    assert len(lines(answer)) == 1 and re.search("The livepatch record of .*(MiB|objects)", lines(answer)[0])


def test_thousands_of_advisories_of_one_id_cost_what_they_are_worth(host, lab):
    """Each lists another build of the kernel; merging them used to compare each with all."""
    rows = "".join(
        f'<update from="a" status="final" type="security" version="1"><id>A</id><title>t</title><issued '
        f'date="2026-01-01 00:00:00"/><references><reference href="h" id="CVE-2025-{10000 + n}" type="cve" '
        f'title="t"/></references><pkglist><collection short="s"><name>n</name><package name="kernel-core" '
        f'version="5.14.0" release="{100 + n}.el9" epoch="0" arch="x86_64"><filename>f</filename></package>'
        "</collection></pkglist></update>"
        for n in range(3000)
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<updates>{rows}</updates>'
    host.repos(base="kernel", other=strangers.state(lab, [stock.OTHER], (), text))
    answer = host.dnf("upgrade", "--exclude=kernel*", timeout=60)
    found = set(cves(host))
    assert answer.code == 0 and {stock.CVE20, stock.CVE30, "CVE-2025-10000"} <= found and len(found) > 1900
    assert "was not read to its end" in host.read("/var/lib/livepatch/exposure.json")


@pytest.mark.parametrize("package", [stock.K30, P2], ids=["kernel", "live patch"])
def test_an_advisory_of_very_many_cves_is_read_in_part_and_hides_nothing(host, lab, package):
    """libdnf walks from the first reference to each one: 30,000 used to take a minute and more."""
    many = tuple(f"CVE-2025-{10000 + number}" for number in range(30_000))
    other = strangers.state(lab, [stock.OTHER], [Update("EVIL-1", (package,), many)])
    host.repos(base="kernel", other=other)
    answer = host.dnf("upgrade", "--exclude=kernel*", timeout=60)
    assert answer.code == 0 and {stock.CVE20, stock.CVE30} <= set(cves(host))


#: A version as RPM's own tools would refuse it, in the metadata of a repository that nobody made with them.
ODD = {"a terminal's commands": "1\u009b31mPWNED\u202e", "an odd sign": "1@", "a line feed": "1&#10;2"}


@pytest.mark.parametrize("version", ODD.values(), ids=ODD)
def test_an_odd_version_costs_its_own_row_and_reaches_no_terminal(host, lab, version):
    host.repos(base="kernel")
    host.dnf("upgrade", "--exclude=kernel*")
    before = cves(host)
    like = strangers.state(lab, [P2], [stock.ADVP2])

    def edit(data: bytes) -> bytes:
        return re.sub(rb'ver="1" rel="2', f'ver="{version}" rel="2'.encode(), data)

    host.repos(base="kernel", other=strangers.replaced(lab, like, "primary", edit))
    for words in (("livepatch", "list", "--available"), ("livepatch", "update", "--check"), ("upgrade",)):
        answer = host.sh("dnf -y --exclude='kernel*' " + " ".join(words))
        assert not set("\x9b\u202e") & set(answer.text), words
        assert "has failed" not in answer.text, "the repository was not even read"
    assert cves(host) == before
