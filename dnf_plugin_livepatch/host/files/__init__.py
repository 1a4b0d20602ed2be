# SPDX-License-Identifier: GPL-2.0-or-later
"""The product's own files: state, cache, journal and the mailbox of reconcile."""
