# SPDX-License-Identifier: GPL-2.0-or-later
"""Collect what goes into the package, and make the RPM."""
