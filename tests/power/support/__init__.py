# SPDX-License-Identifier: GPL-2.0-or-later
"""Helpers of the tests of power cuts."""
