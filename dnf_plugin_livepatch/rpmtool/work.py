# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder that a verb works in, with the log of all programs that it runs."""

from __future__ import annotations

import os
import shutil
import tempfile

from ..toolkit.errors import ToolError, refuse
from ..toolkit.programs import Runner
from ..toolkit.progress import Steps
from ..toolkit.scratch import Scratch, folder

#: The first letters of the folder beside published packages where each is completed.
_PARTS = ".livepatch-rpm-"


class Work:
    """A private folder below ``below`` that is gone afterwards, unless it is to be kept.

    ``log`` is the file for the log, "" for one in the folder. A log that an error names outlives the folder.
    """

    def __init__(self, below: str = "", log: str = "", keep: bool = False, quiet: bool = False) -> None:
        place = os.path.realpath(below or tempfile.gettempdir())
        if not os.path.isdir(place):
            refuse("input-missing", path=place)
        self.keep = keep
        self._scratch = Scratch("livepatch-rpm-", place)
        self.path = self._scratch.path
        os.chmod(self.path, 0o755)
        self.steps = Steps(quiet=quiet)
        self.runner = Runner(os.path.abspath(log or os.path.join(self.path, "build.log")), self.steps)
        self.log_kept = bool(log)

    def __enter__(self) -> Work:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.steps.close()
        log = self.runner.log
        named = isinstance(error, ToolError) and log in error.remedy and os.path.isfile(log)
        if isinstance(error, ToolError) and named and not self.log_kept:
            # The refusal names the log, so the log has to be there when the person looks.
            handle, kept = tempfile.mkstemp(prefix="livepatch-rpm-", suffix=".log")
            os.close(handle)
            shutil.copyfile(log, kept)
            error.remedy = error.remedy.replace(log, kept)
        if self.keep:
            self._scratch.keep()
        else:
            self._scratch.close()

    def keep_log(self, rpm: str) -> str:
        """Keep the full log, in the named file or beside the published ``rpm``. Returns its path."""
        if self.log_kept:
            return self.runner.log
        kept = rpm[: -len(".rpm")] + ".log"
        with folder(_PARTS, os.path.dirname(kept)) as parts:
            part = os.path.join(parts, "log")
            # A log is its builder's alone: it holds the command lines and the output of every program.
            shutil.copyfile(self.runner.log, part)
            os.chmod(part, 0o600)
            os.replace(part, kept)
        return kept
