# SPDX-License-Identifier: GPL-2.0-or-later
"""States of the repositories that differ from one of the lab: other packages, advisories or modules."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from tests.dnf.support.lab import Lab, plain


def variant(
    lab: Lab,
    state: str,
    *,
    advisories: Callable[[str], str] = str,
    without: tuple[str, ...] = (),
    modules: str = "",
) -> str:
    """The name of a state like ``state``.

    ``advisories`` changes the text of its updateinfo, "" leaves it out. The packages whose file begins with
    one of ``without`` are left out. ``modules`` is the text of a modules.yaml.
    """
    lab.count += 1
    name = f"variant-{os.getpid()}-{lab.count}"
    folder = f"{lab.states}/{name}"
    os.makedirs(folder)
    for file in os.listdir(f"{lab.states}/{state}"):
        if file.endswith(".rpm") and not file.startswith(without or ("no package",)):
            os.link(f"{lab.states}/{state}/{file}", f"{folder}/{file}")
    command = ["createrepo_c", "--quiet", "--simple-md-filenames", folder]
    subprocess.run(command, check=True, capture_output=True)
    updateinfo = plain(f"{lab.states}/{state}/updateinfo.xml").decode("utf-8")
    told = {"updateinfo.xml": advisories(updateinfo), "modules.yaml": modules}
    for kind, text in told.items():
        if text:
            with open(f"{folder}/{kind}", "w", encoding="utf-8") as file:
                file.write(text)
            command = ["modifyrepo_c", f"--mdtype={kind.partition('.')[0]}", f"{folder}/{kind}"]
            subprocess.run([*command, folder + "/repodata"], check=True, capture_output=True)
    return name
