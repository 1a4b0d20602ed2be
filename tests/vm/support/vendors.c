// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Modules for the vendors' packages: each takes a demonstration CVE away from the running kernel.
 *
 * FIX_VERSION   /proc/version no longer shows the builder (CVE-1900-0003)
 * ONLY_VERSION  and nothing else; all others redact the secret of /proc/cmdline (CVE-1900-0001)
 * BESIDE        a live patch that leaves others in force, else it replaces them
 * OWN_WAY       no live patch for the kernel: redirects the function through ftrace itself, as products
 *               do that bring a patching of their own
 * CVE_LIST      and lists the CVEs that it closes in /proc/kcare/cvelist
 */
#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static int __maybe_unused fixed_cmdline_show(struct seq_file *m, void *v)
{
	seq_puts(m, "demo.secret=redacted by " LABEL "\n");
	return 0;
}

#ifdef OWN_WAY
static void notrace redirect(unsigned long ip, unsigned long parent, struct ftrace_ops *ops,
			     struct ftrace_regs *regs)
{
	ftrace_regs_set_instruction_pointer(regs, (unsigned long)fixed_cmdline_show);
}

static struct ftrace_ops ops = {
	.func = redirect,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

#ifdef CVE_LIST
static struct proc_dir_entry *folder;

static int list_show(struct seq_file *m, void *v)
{
	seq_puts(m, "CVE-1900-0001\n");
	return 0;
}
#endif

static int __init vendors_init(void)
{
	int error = ftrace_set_filter(&ops, "cmdline_proc_show", 17, 0);

	error = error ? error : register_ftrace_function(&ops);
#ifdef CVE_LIST
	if (!error) {
		folder = proc_mkdir("kcare", NULL);
		proc_create_single("cvelist", 0444, folder, list_show);
	}
#endif
	return error;
}

static void __exit vendors_exit(void)
{
#ifdef CVE_LIST
	proc_remove(folder);
#endif
	unregister_ftrace_function(&ops);
}
#else
#ifdef FIX_VERSION
static int fixed_version_show(struct seq_file *m, void *v)
{
	seq_puts(m, "Linux version (builder redacted by " LABEL ")\n");
	return 0;
}
#endif

static struct klp_func functions[] = {
#ifndef ONLY_VERSION
	{ .old_name = "cmdline_proc_show", .new_func = fixed_cmdline_show },
#endif
#ifdef FIX_VERSION
	{ .old_name = "version_proc_show", .new_func = fixed_version_show },
#endif
	{ }
};

static struct klp_object objects[] = {
	{ .funcs = functions },
	{ }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
#ifndef BESIDE
	.replace = true,
#endif
};

static int __init vendors_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit vendors_exit(void)
{
}
MODULE_INFO(livepatch, "Y");
#endif

module_init(vendors_init);
module_exit(vendors_exit);
MODULE_DESCRIPTION("Stands in for a vendor's live patch");
MODULE_LICENSE("GPL");
/* With a version modpost writes the srcversion, which Debian's kernels do without. */
MODULE_VERSION("1");
