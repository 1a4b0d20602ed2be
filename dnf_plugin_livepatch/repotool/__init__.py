# SPDX-License-Identifier: GPL-2.0-or-later
"""`livepatch-repo`: from live-patch RPMs to a signed, verified repository."""
