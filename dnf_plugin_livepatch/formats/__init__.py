# SPDX-License-Identifier: GPL-2.0-or-later
"""What live-patch packages and repositories carry: the manifest and the repository record."""
