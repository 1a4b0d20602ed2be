# SPDX-License-Identifier: GPL-2.0-or-later
"""The budgets, measured. ``python -m bench`` runs them all, writes results.json and prints one table."""
