# SPDX-License-Identifier: GPL-2.0-or-later
"""Real kernels, real live patches and a demo host in QEMU. See docs/how-to/testing-vm.md."""
