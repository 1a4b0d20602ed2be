# SPDX-License-Identifier: GPL-2.0-or-later
"""From a source diff or a module to a linted, signed live-patch RPM: the program `livepatch-rpm`."""
