# SPDX-License-Identifier: GPL-2.0-or-later
"""The livepatch-repo command: from live-patch RPMs to a signed, verified, published repository."""
