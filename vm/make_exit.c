/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * $(exit-with STATUS): end make with this exit status. Without it GNU make knows 0, 1 and 2 only, and
 * `make vm` has to end as its command did. GNU make manual, "Loading Dynamic Objects".
 */
#include <gnumake.h>
#include <stdlib.h>

int plugin_is_GPL_compatible;

static char *exit_with(const char *name, unsigned int argc, char **argv)
{
	(void)name;
	(void)argc;
	exit(atoi(argv[0]));
}

int make_exit_gmk_setup(const gmk_floc *where)
{
	(void)where;
	gmk_add_function("exit-with", exit_with, 1, 1, GMK_FUNC_DEFAULT);
	return 1;
}
