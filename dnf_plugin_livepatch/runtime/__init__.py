# SPDX-License-Identifier: GPL-2.0-or-later
"""The running machine: read it, judge it, patch it. Imports no dnf."""
