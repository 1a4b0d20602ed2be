// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Live patches for a demonstration, CVE-1900-0001 and CVE-1900-0003. These are no real CVEs: nobody
 * could have reported one in 1900. The first: /proc/cmdline shows a secret that somebody put on the
 * kernel command line (demo.secret=...). The second: /proc/version tells who built the kernel.
 *
 * A patch that only kbuild builds can use exported symbols only. That is why the command line is read
 * once through /proc, before the function that prints it is replaced.
 *
 * DEMO_VERSION adds the second function, DEMO_BROKEN makes the module refuse to start.
 */
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/utsname.h>

#define SECRET "demo.secret="

static char command_line[4096];

static int redacted_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, command_line);
	return 0;
}

static int __init read_and_redact(void)
{
	struct file *file = filp_open("/proc/cmdline", O_RDONLY, 0);
	loff_t position = 0;
	ssize_t size;
	char *secret;

	if (IS_ERR(file))
		return PTR_ERR(file);
	size = kernel_read(file, command_line, sizeof(command_line) - 1, &position);
	filp_close(file, NULL);
	if (size < 0)
		return size;
	secret = strstr(command_line, SECRET);
	if (secret)
		for (secret += strlen(SECRET); *secret > ' '; secret++)
			*secret = '*';
	return 0;
}

#ifdef DEMO_VERSION
static int redacted_version_proc_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%s version %s (builder redacted)\n", utsname()->sysname, utsname()->release);
	return 0;
}
#endif

static struct klp_func functions[] = {
	{ .old_name = "cmdline_proc_show", .new_func = redacted_cmdline_proc_show },
#ifdef DEMO_VERSION
	{ .old_name = "version_proc_show", .new_func = redacted_version_proc_show },
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
	.replace = true,
};

#ifdef DEMO_BROKEN
/* A parameter, so that the compiler keeps the rest. */
static int broken = 1;
module_param(broken, int, 0);
#else
#define broken 0
#endif

static int __init demo_init(void)
{
	int error = read_and_redact();

	if (broken) {
		pr_err("this live patch is broken on purpose\n");
		return -EINVAL;
	}
	return error ? error : klp_enable_patch(&patch);
}

static void __exit demo_exit(void)
{
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_DESCRIPTION("Demonstration live patch: redacts /proc/cmdline");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
