# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that live-patch packages and repositories carry: manifest and repository record."""
