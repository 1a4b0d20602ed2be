# SPDX-License-Identifier: GPL-2.0-or-later
"""The payload of an RPM as both tools read it: a member's header is taken literally or not at all."""

import io

import pytest

from dnf_plugin_livepatch.rpmtool.readers import rpm_file
from dnf_plugin_livepatch.toolkit import rpm_payload
from dnf_plugin_livepatch.toolkit.errors import ToolError

NAME = "./usr/share/livepatch/6.1.0-1.x86_64/kp.json"
FIELDS = {"mode": 1, "size": 6, "length": 11}


class Watched(io.BytesIO):
    """A stream that refuses a read without a size."""

    def read(self, size=-1):
        assert size is not None and size >= 0, f"read({size})"
        return super().read(size)


def member(name, text, **raw):
    """One member of a `newc` archive; ``raw`` replaces the eight characters of a field."""
    fields = [
        b"%08x" % number for number in (1, 0o100644, 0, 0, 1, 0, len(text), 0, 0, 0, 0, len(name) + 1, 0)
    ]
    for field, value in raw.items():
        fields[FIELDS[field]] = value
    head = b"070701" + b"".join(fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + text + bytes(-len(text) % 4)


def archive(**raw):
    return Watched(member(NAME, b'{"a": 1}', **raw) + member("TRAILER!!!", b""))


def read(stream):
    return {member.name: member.part.read(member.size) for member in rpm_payload.unpacked(stream, "x.rpm")}


def test_a_plain_archive():
    assert read(archive()) == {NAME[1:]: b'{"a": 1}'}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "value", [b"-0000001", b"-0000004", b"+0000008", b" 0000008", b"0x000008", b"000_0008"]
)
def test_a_field_that_is_not_eight_hex_digits_is_refused(field, value):
    with pytest.raises(ToolError, match="payload is broken"):
        read(archive(**{field: value}))


@pytest.mark.parametrize(
    "sizes, wanted, kept",
    [
        ({"/a.ko": 9, "/b.json": 9, "/c.tar": 200 << 20}, (".ko", ".json"), ["/a.ko", "/b.json"]),
        ({"/a.ko": 9, "/b": 9}, ("",), ["/a.ko", "/b"]),
        ({"/a.ko": 100 << 20, "/b.ko": 29 << 20}, (".ko",), None),
        ({"/a": 4 << 30}, ("",), None),
        ({f"/{number}": 0 for number in range(4097)}, (".ko",), None),
    ],
)
def test_of_a_payload_no_more_is_held_in_memory_than_is_wanted_and_bounded(sizes, wanted, kept, monkeypatch):
    class Endless:
        """A stream that is never read further than its bound."""

        def read(self, size):
            return bytes(size)

    def members(path):
        for name, size in sizes.items():
            yield rpm_payload.Member(name, size, rpm_payload.Part(Endless(), size))

    monkeypatch.setattr(rpm_file, "members", members)
    if kept is None:
        with pytest.raises(ToolError, match="larger than a live patch"):
            rpm_file.payload("x.rpm", wanted)
    else:
        assert sorted(rpm_file.payload("x.rpm", wanted)) == kept
