# SPDX-License-Identifier: GPL-2.0-or-later
"""The arguments and the results of every check. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ...formats.repository_record import Record
from ..repository.view import Kernel, PublicKey

#: A fault as a check raises it: the id of the check, the subject, and the facts for the check's texts.
Raised = tuple[str, str, dict[str, object]]


class Check(NamedTuple):
    """One row of the catalogue: how severe a finding is, what is wrong, why that matters, what to do.

    ``text`` and ``remedy`` may name facts in braces. ``why`` names none.

    ``error``: a client fails, is misled about what is closed, or loses protection. ``warning``: clients
    work, but somebody will be surprised. ``note``: worth knowing. Severities and texts may change, the
    ids of checks never do.
    """

    severity: str
    text: str
    why: str
    remedy: str


class Waiver(NamedTuple):
    """A finding that the publisher accepts: a check, a glob over subjects, and the reason."""

    check: str
    subject: str
    reason: str


class Context(NamedTuple):
    """Facts for the checks beside the repository itself.

    ``offered`` are the kernels that any of the given repositories offers, empty when none is known.
    ``now`` is ISO 8601 UTC. ``rpms`` holds (state, detail) by location where RPM files were read.
    ``supported`` are support ends by kernel release, from the settings. ``published`` is the record
    before the change that is checked. ``stale`` is the generation in a mirrorlist that names another than
    the present one. ``closed`` are files and folders of a local repository that not everybody can read.
    ``keys`` are the clients' public keys.
    """

    now: str
    offered: frozenset[Kernel] = frozenset()
    rpms: dict[str, tuple[str, str]] = {}
    supported: dict[str, str] = {}
    published: Record | None = None
    stale: str = ""
    closed: tuple[str, ...] = ()
    keys: tuple[PublicKey, ...] = ()
