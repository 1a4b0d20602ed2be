# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own facts: releases, sysfs, module files, signatures, probes, oopses."""
