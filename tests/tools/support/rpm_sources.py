# SPDX-License-Identifier: GPL-2.0-or-later
"""Real inputs for the tests of livepatch-rpm: kernel headers, klp sources, a clean RPM root."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from vm import common, kernels

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PATCH_C = """\
#include <linux/module.h>
#include <linux/livepatch.h>
#include <linux/seq_file.h>

static int patched_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "%(text)s\\n");
	return 0;
}

static struct klp_func funcs[] = {
	{ .old_name = "cmdline_proc_show", .new_func = patched_cmdline_proc_show, }, { }
};
static struct klp_object objs[] = { { .funcs = funcs, }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs, .replace = %(replace)s, };

static int __init patch_init(void) { return klp_enable_patch(&patch); }
static void __exit patch_exit(void) { }
module_init(patch_init);
module_exit(patch_exit);
MODULE_LICENSE("GPL");
%(extra)s
"""
LIVEPATCH = 'MODULE_INFO(livepatch, "Y");'


class Result(NamedTuple):
    """The end of one run of livepatch-rpm."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out))

    @property
    def error(self) -> str:
        """The id of the refusal, of a run with --json."""
        return str(self.json.get("error", {}).get("id", ""))


def tool(*argv: str, env: dict[str, str] | None = None, cwd: str | None = None) -> Result:
    """Run livepatch-rpm as a user would, with this interpreter."""
    clean = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(
        [sys.executable, "-m", "dnf_plugin_livepatch.rpmtool.cli", *argv],
        env={**clean, "PYTHONPATH": TREE, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@functools.cache
def kernel() -> kernels.Kernel:
    """The kernel of the tests: the older single-dash one that apt offers, unpacked and not installed."""
    return kernels.choose().old


@functools.cache
def headers() -> str:
    # The tests run in several processes, and only one may unpack them.
    with common.lock():
        return kernels.headers(kernel())


def source(
    folder: Any,
    name: str = "livepatch_test",
    text: str = "patched",
    replace: str = "true",
    extra: str = LIVEPATCH,
) -> str:
    """A live patch of cmdline_proc_show as one C file in ``folder``."""
    path = os.path.join(str(folder), name + ".c")
    with open(path, "w", encoding="ascii") as file:
        file.write(PATCH_C % {"text": text, "replace": replace, "extra": extra})
    return path


def run(argv: Sequence[str], env: dict[str, str] | None = None) -> str:
    """The output of ``argv``, which must succeed."""
    done = subprocess.run(
        list(argv), env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def left_behind(folder: str) -> list[str]:
    """The names that a run left in its work folder or its output folder."""
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def fake_vmlinux(folder, function, traced=True):
    """A kernel image of a few functions: one as asked, two of the same name, one in init text."""
    code = folder / "k.c"
    code.write_text(
        f'const char banner[] = "Linux version {kernel().release} (x) ";\n'
        f"int {function}(void) {{ return 1; }}\n"
        'int __attribute__((section(".init.text"))) early(void) { return 2; }\n'
        'extern void *table[]; void *table[] __attribute__((section(".mc"))) = '
        f"{{ {function if traced else 'early'} }};\n"
        "int _start(void) { return 0; }\n"
    )
    script = folder / "k.lds"
    script.write_text(
        "SECTIONS { . = 0x1000; .text : { *(.text) } . = 0x2000; _sinittext = .;"
        " .init.text : { *(.init.text) } _einittext = .; . = 0x3000;"
        " .mc : { __start_mcount_loc = .; *(.mc) __stop_mcount_loc = .; }"
        " .rodata : { *(.rodata*) } }"
    )
    out = str(folder / "vmlinux")
    plain = "-nostdlib -static -fno-pie -no-pie -fcf-protection=none -fno-asynchronous-unwind-tables".split()
    run(["gcc", *plain, "-Wl,--build-id=none", f"-Wl,-T,{script}", "-o", out, str(code)])
    return out


class Root:
    """An RPM root of its own, with a package that provides the kernel of the tests."""

    def __init__(self, folder: str, release: str) -> None:
        self.path = os.path.join(folder, "root")
        self.repo = os.path.join(folder, "repo")
        os.makedirs(self.path)
        os.makedirs(self.repo)
        spec = os.path.join(folder, "kernel.spec")
        with open(spec, "w", encoding="ascii") as file:
            file.write(
                "Name: kernel-core\nVersion: 1\nRelease: 1\nSummary: kernel\n"
                "License: GPL\nBuildArch: noarch\n"
                f"Provides: kernel-uname-r = {release}\n%description\nkernel\n%files\n"
            )
        run(["rpmbuild", "-bb", f"--define=_topdir {folder}/top", f"--define=_rpmdir {self.repo}", spec])

    def dnf(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Real dnf on the root and on the packages in ``repo``."""
        run(["createrepo_c", "-q", self.repo])
        places = {"reposdir": "/none", "pluginpath": "/none", "cachedir": self.path + "/var/cache/dnf"}
        options = [f"--setopt={name}={path}" for name, path in places.items()]
        source = [f"--repofrompath=test,file://{self.repo}", "--repo=test", "--nogpgcheck", "--refresh"]
        command = ["dnf", "-y", f"--installroot={self.path}", "--releasever=1", *options, *source, *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def rpm(self, *argv: str) -> str:
        return run(["rpm", f"--root={self.path}", *argv])
