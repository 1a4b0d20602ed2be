# SPDX-License-Identifier: GPL-2.0-or-later
"""The running machine: everything of the livepatch-runtime package; imports no dnf."""
