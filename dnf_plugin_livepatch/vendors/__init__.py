# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose package is a live patch, and for which kernel; a vendor is a profile, and profiles are data."""
