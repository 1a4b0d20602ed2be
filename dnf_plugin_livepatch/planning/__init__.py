# SPDX-License-Identifier: GPL-2.0-or-later
"""The decision which live patches join a transaction; knows no package manager and no host."""
