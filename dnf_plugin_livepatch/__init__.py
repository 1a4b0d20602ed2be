# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel live patches as ordinary packages: `dnf upgrade` fixes the running kernel."""

__version__ = "1.0.0"
