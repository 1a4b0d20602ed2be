# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of livepatch-repo lint."""
