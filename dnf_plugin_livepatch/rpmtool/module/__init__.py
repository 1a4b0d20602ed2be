# SPDX-License-Identifier: GPL-2.0-or-later
"""Build, judge and sign the live-patch module."""
