# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says: releases, sysfs, module files, signatures, probes, oopses."""
