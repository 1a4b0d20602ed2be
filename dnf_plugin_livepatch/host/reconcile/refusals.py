# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's refusal of a module: the problem for its error number, with the kernel's own lines about it.

The lines are shown and never acted on. Which message is chosen may depend on them, what reconcile does
next may not.
"""

from __future__ import annotations

import re

from ...base.model import Problem
from ...base.paths import Paths
from ...base.typed import NamedTuple
from ...messages.catalogue import problem
from ...messages.message import fact
from ..kernel import module_file, oops, signature

MAX_LINES = 3
MAX_TEXT = 300
#: The words of kmod, or else of the C library, for the error number. One cause may have several numbers:
#: lockdown answers EPERM, SELinux EACCES.
_REASONS = (
    ("required key not available", "load-no-key"),
    ("key was rejected by service", "load-bad-signature"),
    ("bad message", "load-bad-signature"),
    ("package not installed", "load-bad-signature"),
    ("operation not permitted", "load-not-permitted"),
    ("permission denied", "load-not-permitted"),
    ("invalid module format", "load-wrong-format"),
    ("exec format error", "load-wrong-format"),
    ("wrong symbol version", "load-wrong-format"),
    ("unknown symbol", "load-unknown-symbol"),
    ("file exists", "module-name-taken"),
    ("device or resource busy", "load-busy"),
)
#: The kernel's line where the states of two patches do not fit (klp_is_patch_compatible, kernel/livepatch).
_INCOMPATIBLE = re.compile(
    r"livepatch: Livepatch patch \([\w-]{1,64}\) is not compatible with the already installed livepatches"
)
#: The beginnings of the kernel's lines about modules that do not name the module.
_BEGINNINGS = ("livepatch: ", "Loading of ", "Lockdown: ", "module: ", "PKCS#7 ", "SELinux: ")


class Moment(NamedTuple):
    """The moment of a load: ``began`` is the uptime before it."""

    paths: Paths
    module: str
    began: float

    def lines(self) -> tuple[str, ...]:
        """Return the kernel's last lines since then about this module.

        Users can have the kernel log lines with any words in them, but not with these beginnings: behind a
        process's name comes its number.
        """
        found = [
            " ".join(fact(line).split())
            for line in oops.ring_buffer(self.paths, self.began)
            if line.startswith((f"{self.module}: ", *_BEGINNINGS)) and not oops.of_process(line)
        ]
        return tuple(dict.fromkeys(found))[-MAX_LINES:]


def refusal(moment: Moment, descriptor: int, status: int, output: str) -> Problem:
    """Return the problem for the refusal of the module that is open as ``descriptor``.

    ``status`` and ``output`` are insmod's.
    """
    lines = moment.lines()
    found = _by_words(moment, descriptor, status, output, lines)
    if not lines:
        return found
    text = "; ".join(lines)
    text = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    return found._replace(text=f"{found.text} The kernel's own words: {text.rstrip('.')}.")


def _by_words(moment: Moment, descriptor: int, status: int, output: str, lines: tuple[str, ...]) -> Problem:
    module, words = moment.module, output.lower()
    identifier = next((name for text, name in _REASONS if text in words), "")
    if not identifier and any(_INCOMPATIBLE.match(line) for line in lines):
        identifier = "load-incompatible"
    if not identifier:
        output = output.rstrip(".\n") or f"insmod ended with {status}"
        return problem("load-refused", module=module, output=output)
    signer = signature.Signer()
    if identifier in ("load-no-key", "load-bad-signature"):
        try:
            facts = module_file.facts(descriptor)
        except module_file.ModuleError:
            return problem(identifier, module=module, signer=signer)
        # A kernel that enforces signatures has one error for an unknown key, a bad signature and for none.
        if not facts.signed and identifier == "load-bad-signature":
            return problem("module-unsigned", module=module, why="the kernel loads signed modules only")
        signer = facts.signer
        if signature.unknown(moment.paths, signer):
            identifier = "load-no-key"
    return problem(identifier, module=module, signer=signer)
