# SPDX-License-Identifier: GPL-2.0-or-later
"""A short run of the fuzzer: inputs that once showed a fault, and some hundred mutations of valid ones."""

import os
import re
import zlib

import pytest

from tests.fuzz import attempt
from tests.fuzz.target import Target, slug
from tests.fuzz.targets import TARGETS

CORPUS = os.path.join(os.path.dirname(__file__), "corpus")


def found(name):
    """The committed inputs of a target: its ``slug``, and whatever follows a dot."""
    for file in sorted(os.listdir(CORPUS)):
        if file.partition(".")[0] == slug(name):
            with open(os.path.join(CORPUS, file), "rb") as data:
                yield data.read()


@pytest.mark.parametrize("name", TARGETS)
def test_a_valid_input_is_read(name):
    target = TARGETS[name]
    for valid in (target.seed, *target.more):
        target.run(valid)


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_bytes_raise_what_is_declared_at_once_and_in_little_memory(name, record_property):
    target, inputs = TARGETS[name], list(found(name))
    seeds = (target.seed, *target.more)
    for number, valid in enumerate(seeds, zlib.crc32(name.encode())):
        inputs += attempt.mutations(valid, max(20, 400 // len(seeds) // target.slow), number)
    faults = {why: data for data in inputs if (why := attempt.fault(target, data))}
    assert faults == {}
    record_property("cases", len(inputs))


def test_every_committed_input_belongs_to_a_target():
    known = {slug(name) for name in TARGETS}
    assert {file.partition(".")[0] for file in os.listdir(CORPUS)} - {""} <= known


def spin(_):
    while True:
        pass


@pytest.mark.parametrize(
    ("parser", "why"),
    [
        (lambda data: data, ""),
        (lambda data: 1 // len(data), "ZeroDivisionError at test_fuzz.py"),
        (lambda data: data.decode("ascii")[9], "IndexError at test_fuzz.py"),
        (spin, "took longer than 1 s"),
        (lambda _: len(bytearray(attempt._peak() + 96 << 20)), "took [0-9]+ MiB"),
        (lambda _: len(bytearray(32 << 20)), ""),
    ],
)
def test_a_fault_is_told_from_what_is_declared(parser, why):
    assert re.match(why + (".*" if why else r"\Z"), attempt.fault(Target(parser, (KeyError,)), b""))
    assert attempt.fault(Target(lambda _: {}[1], (KeyError,)), b"") == ""
