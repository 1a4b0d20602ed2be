# SPDX-License-Identifier: GPL-2.0-or-later
"""A short run of the fuzzer: inputs that once showed a fault, and some hundred mutations of valid ones."""

import os
import zlib

import pytest

from tests.fuzz import attempt
from tests.fuzz.targets import TARGETS

CORPUS = os.path.join(os.path.dirname(__file__), "corpus")


def found(name):
    """The committed inputs of a target: its name, with a dash for each space, and whatever follows a dot."""
    for file in sorted(os.listdir(CORPUS)):
        if file.partition(".")[0] == name.replace(" ", "-"):
            with open(os.path.join(CORPUS, file), "rb") as data:
                yield data.read()


@pytest.mark.parametrize("name", TARGETS)
def test_a_valid_input_is_read(name):
    target = TARGETS[name]
    target.run(target.seed)


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_bytes_raise_what_is_declared_at_once_and_in_little_memory(name, record_property):
    inputs = [*found(name), *attempt.mutations(TARGETS[name].seed, 400, zlib.crc32(name.encode()))]
    faults = {why: data for data in inputs if (why := attempt.fault(TARGETS[name], data))}
    assert faults == {}
    record_property("cases", len(inputs))


def test_every_committed_input_belongs_to_a_target():
    known = {name.replace(" ", "-") for name in TARGETS}
    assert {file.partition(".")[0] for file in os.listdir(CORPUS)} - {""} <= known
