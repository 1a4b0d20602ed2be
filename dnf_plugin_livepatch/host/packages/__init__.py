# SPDX-License-Identifier: GPL-2.0-or-later
"""Live patches and kernels in the rpm database."""
