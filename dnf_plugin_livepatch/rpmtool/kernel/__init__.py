# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel that a patch is built for, and its source."""
