# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the wheel: the package, and the shim in the folder where DNF looks for plugins."""

import os
import re

from setuptools import setup

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "dnf_plugin_livepatch", "__init__.py"), encoding="utf-8") as file:
    VERSION = re.search(r'__version__ = "(.+)"', file.read()).group(1)

setup(
    name="dnf-plugin-livepatch",
    version=VERSION,
    description="Kernel live patches by plain dnf upgrade",
    license="GPL-2.0-or-later",
    python_requires=">=3.9",
    packages=[
        "dnf_plugin_livepatch",
        "dnf_plugin_livepatch.dnf4",
        "dnf_plugin_livepatch.host",
        "dnf_plugin_livepatch.rpmtool",
        "dnf_plugin_livepatch.repotool",
        "dnf-plugins",
    ],
    package_dir={"dnf-plugins": "dnf_plugin_livepatch/dnf-plugins"},
    package_data={"": ["*.j2", "*.json", "*.css", "*.js", "*.toml", "templates/*"]},
    entry_points={
        "console_scripts": [
            "livepatch = dnf_plugin_livepatch.host.cli.main:main",
            "livepatch-rpm = dnf_plugin_livepatch.rpmtool.cli:main",
            "livepatch-repo = dnf_plugin_livepatch.repotool.cli:main",
        ]
    },
)
