# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of a build's inputs: ELF, modules, RPMs, diffs, recipes, updateinfo."""
