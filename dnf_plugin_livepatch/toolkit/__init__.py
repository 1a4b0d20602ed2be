# SPDX-License-Identifier: GPL-2.0-or-later
"""What the two tools share: errors, findings, child programs and the payload of RPMs."""
