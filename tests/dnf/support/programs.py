# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs for the host of the lab."""

#: Upgrades everything by DNF's Python interface, as a program other than the command `dnf` does.
API = """
import dnf
base = dnf.Base()
base.conf.read()
base.init_plugins()
base.pre_configure_plugins()
base.read_all_repos()
base.configure_plugins()
base.fill_sack()
base.upgrade_all()
if base.resolve():
    base.download_packages(base.transaction.install_set)
    base.do_transaction()
base.close()
"""
