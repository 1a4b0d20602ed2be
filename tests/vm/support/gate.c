// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A sleep that no signal ends: a reader of /proc/gate sleeps until /proc/gate-open is read. A task asleep in
 * pause(2) would be woken after 15 seconds, by the signal that the kernel sends to tasks in the way.
 */
#include <linux/completion.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static DECLARE_COMPLETION(opened);

static int gate_show(struct seq_file *m, void *v)
{
	wait_for_completion(&opened);
	seq_puts(m, "as built\n");
	return 0;
}

static int open_show(struct seq_file *m, void *v)
{
	complete_all(&opened);
	return 0;
}

static int __init gate_init(void)
{
	bool made = proc_create_single("gate", 0400, NULL, gate_show) &&
		    proc_create_single("gate-open", 0400, NULL, open_show);

	return made ? 0 : -ENOMEM;
}

module_init(gate_init);
MODULE_DESCRIPTION("A gate, for the tests of live patches that have to wait");
MODULE_LICENSE("GPL");
