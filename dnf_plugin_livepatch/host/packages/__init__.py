# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rpm database says of live patches and kernels."""
