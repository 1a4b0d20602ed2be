# SPDX-License-Identifier: GPL-2.0-or-later
"""From the builder's request to a recipe, and from the recipe to the RPM."""
