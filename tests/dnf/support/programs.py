# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs for the host of the lab."""

#: Opens DNF by its Python interface, as a program other than the command `dnf` does.
OPEN = """
import dnf
base = dnf.Base()
base.conf.read()
base.init_plugins()
base.pre_configure_plugins()
base.read_all_repos()
base.configure_plugins()
base.fill_sack()
"""
#: The end of such a program, behind the ``if`` that asks whether there is anything to do.
FINISH = """
    base.download_packages(base.transaction.install_set)
    base.do_transaction()
base.close()
"""
#: Upgrades everything.
API = OPEN + "base.upgrade_all()\nif base.resolve():" + FINISH
