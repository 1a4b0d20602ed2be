# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile bytes for every parser of what strangers write."""
