# SPDX-License-Identifier: GPL-2.0-or-later
"""`livepatch-rpm`: from a source diff or a module to a linted, signed live-patch RPM."""
