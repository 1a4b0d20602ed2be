# SPDX-License-Identifier: GPL-2.0-or-later
"""Which CVEs the running kernel has: open, closed live, closed by a reboot only."""
