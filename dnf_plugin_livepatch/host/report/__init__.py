# SPDX-License-Identifier: GPL-2.0-or-later
"""The reports about this host, for people and for monitors."""
