# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests: a folder for each suite, in each a folder ``support`` for its helpers."""
