// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Live patches that behave, and some that do not, for the tests of loading.
 *
 * PATCH_PAUSE      replaces pause(2): a task asleep in the old function holds up the transition
 * PATCH_GATE       replaces the function behind /proc/gate (gate.c); readers sleep while the parameter shut is 1
 * PATCH_OOPS       replaces the function behind /proc/version by one that dereferences NULL
 * INIT_PANIC       panics while it is loaded
 * INIT_OOPS        oopses while it is loaded
 * INIT_SLOW        sleeps for so many seconds while it is loaded
 * STATE            leaves a state (klp_state) of this version in the kernel
 * else             replaces the function behind /proc/cmdline by one that prints LABEL
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

#ifdef PATCH_PAUSE
static long new_pause(const struct pt_regs *unused)
{
	while (!signal_pending(current)) {
		__set_current_state(TASK_INTERRUPTIBLE);
		schedule();
	}
	return -ERESTARTNOHAND;
}
#define OLD "__x64_sys_pause"
#define NEW new_pause
#elif defined(PATCH_GATE)
#define OBJECT "lpgate"
static bool shut;
module_param(shut, bool, 0600);

static int new_gate_show(struct seq_file *m, void *v)
{
	while (READ_ONCE(shut))
		schedule_timeout_uninterruptible(HZ / 10);
	seq_puts(m, "patched\n");
	return 0;
}
#define OLD "gate_show"
#define NEW new_gate_show
#elif defined(PATCH_OOPS)
static int *volatile nothing;

static int oops_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d\n", *nothing);
	return 0;
}
#define OLD "version_proc_show"
#define NEW oops_show
#else
static int label_show(struct seq_file *m, void *v)
{
	seq_puts(m, "patched by " LABEL "\n");
	return 0;
}
#define OLD "cmdline_proc_show"
#define NEW label_show
#endif

#ifndef OBJECT
#define OBJECT NULL
#endif

static struct klp_func functions[] = {
	{ .old_name = OLD, .new_func = NEW },
	{ }
};

static struct klp_object objects[] = {
	{ .name = OBJECT, .funcs = functions },
	{ }
};

#ifdef STATE
static struct klp_state states[] = {
	{ .id = 1, .version = STATE },
	{ }
};
#endif

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
#ifdef STATE
	.states = states,
#endif
	.replace = true,
};

static int *volatile nowhere;

static int __init loading_init(void)
{
#ifdef INIT_PANIC
	panic("this live patch panics on purpose");
#endif
#ifdef INIT_OOPS
	return *nowhere;
#endif
#ifdef INIT_SLOW
	ssleep(INIT_SLOW);
#endif
	return klp_enable_patch(&patch) + (nowhere != NULL);
}

static void __exit loading_exit(void)
{
}

module_init(loading_init);
module_exit(loading_exit);
MODULE_DESCRIPTION("Live patch for the tests of loading");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
