# SPDX-License-Identifier: GPL-2.0-or-later
"""Make the running kernel match the installed live patches; the only code that changes the kernel."""
