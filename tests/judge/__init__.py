# SPDX-License-Identifier: GPL-2.0-or-later
"""How often the judge of diffs is right, by diffs that are kept elsewhere."""
