# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors, findings, child programs, bounded files and RPM payloads of both tools."""
