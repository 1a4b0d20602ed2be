# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of vendors in whose place stand-in programs of ``tests/standins`` answer."""

import os

from dnf_plugin_livepatch.base.model import Kernel
from dnf_plugin_livepatch.vendors import profiles

RULES, _ = profiles.load(("/nonexistent",))
STANDINS = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "standins"
)
UEK = Kernel("5.4.17-2102.201.3.el7uek.x86_64", "x86_64")
OE = Kernel("6.6.0-72.0.0.76.oe2403sp1.x86_64", "x86_64")
UUID = "25209ddb-b1e4-48e0-b715-e759ec8db40"


def install(tmp_path, name, standin, programs):
    """The shipped profile ``name``, its client's programs replaced by the stand-in below ``tmp_path``."""
    for program in programs:
        target = tmp_path / program
        with open(os.path.join(STANDINS, standin), encoding="utf-8") as file:
            target.write_text(file.read())
        target.chmod(0o755)
    profile = profiles.find(RULES, name)

    def moved(commands):
        return tuple((str(tmp_path / os.path.basename(argv[0])), *argv[1:]) for argv in commands)

    client = profile.client._replace(
        apply=moved(profile.client.apply),
        remove=moved(profile.client.remove),
        state=moved(profile.client.state),
        effective=moved(profile.client.effective),
        cves_file=profile.client.cves_file and str(tmp_path / "cvelist"),
        timeout=5,
    )
    return profile._replace(client=client)


def rows(tmp_path, *patches):
    (tmp_path / "patches").write_text("".join(" ".join(patch) + "\n" for patch in patches))
