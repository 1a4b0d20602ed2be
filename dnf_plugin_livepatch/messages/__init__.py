# SPDX-License-Identifier: GPL-2.0-or-later
"""Every sentence that a person can get, by stable id."""
