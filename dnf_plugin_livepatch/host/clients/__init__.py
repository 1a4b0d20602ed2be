# SPDX-License-Identifier: GPL-2.0-or-later
"""The vendors' own programs that load patches, and the patches that they report."""
