/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lets a process believe that the kernel release in $FAKE_RELEASE runs. Preloaded in tests only. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

int uname(struct utsname *names)
{
	int failed = syscall(SYS_uname, names);
	const char *release = getenv("FAKE_RELEASE");

	if (!failed && release) {
		memset(names->release, 0, sizeof(names->release));
		strncpy(names->release, release, sizeof(names->release) - 1);
	}
	return failed;
}
