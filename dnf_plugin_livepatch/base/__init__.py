# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns and forms that every room shares; imports no other room."""
