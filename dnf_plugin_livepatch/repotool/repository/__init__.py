# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository on disk and on the web: read it, write it, sign it, look at it as a client."""
