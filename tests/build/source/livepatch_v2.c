// SPDX-License-Identifier: GPL-2.0-or-later
/* The changes of cmdline.patch and version.patch as live-patch source. */
#include <linux/init.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

static int patched_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "cmdline=patched\n");
	return 0;
}

static int patched_version_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "version=patched\n");
	return 0;
}

static struct klp_func funcs[] = {
	{ .old_name = "cmdline_proc_show", .new_func = patched_cmdline_proc_show, },
	{ .old_name = "version_proc_show", .new_func = patched_version_proc_show, },
	{ }
};

static struct klp_object objs[] = { { .funcs = funcs, }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, .replace = true, };

static int __init patch_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit patch_exit(void)
{
}

module_init(patch_init);
module_exit(patch_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
