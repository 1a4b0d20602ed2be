# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that DNF imports; the plugin itself is in dnf_plugin_livepatch.dnf4."""

from dnf_plugin_livepatch.dnf4.plugin import LivepatchPlugin  # noqa: F401
