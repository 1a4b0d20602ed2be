# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the wheel from pyproject.toml, and adds the shim where DNF looks for plugins."""

from setuptools import find_packages, setup

# DNF reads site-packages/dnf-plugins, which lies beside the package: pyproject.toml alone cannot say that.
setup(
    packages=[*find_packages(include=["dnf_plugin_livepatch*"]), "dnf-plugins"],
    package_dir={"dnf-plugins": "dnf_plugin_livepatch/dnf-plugins"},
)
