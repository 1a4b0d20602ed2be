# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of what a build starts from: ELF, modules, RPMs, diffs, recipes, updateinfo."""
