# SPDX-License-Identifier: GPL-2.0-or-later
"""Which live patches join a transaction; knows no package manager and no host."""
