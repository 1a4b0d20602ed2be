# SPDX-License-Identifier: GPL-2.0-or-later
"""Real keys, real signed RPMs and repositories for the tests of livepatch-repo."""

import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from typing import NamedTuple

from vm import gnupg

ROOT = pathlib.Path(__file__).parents[3]
KERNEL = "5.14.0-427.13.1.el9_4.x86_64"
NOW = "2026-11-22T21:00:00Z"
EPOCH = "1795381200"
# The caller's own PYTHONPATH, with another createrepo_c for example, comes behind the project.
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


class Keys(NamedTuple):
    """A gpg home with one signing key, and its public half."""

    home: pathlib.Path
    name: str
    public: pathlib.Path


def call(argv, check=True, **more):
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@contextlib.contextmanager
def signer(name):
    """The key of a person called ``name``, for as long as the context lasts."""
    with gnupg.home() as home:
        public = pathlib.Path(home, "public.asc")
        public.write_text(gnupg.make_key(home, f"{name} <{name}@example.com>"))
        yield Keys(pathlib.Path(home), f"{name}@example.com", public)


def manifest(release=KERNEL, module="kp_427_1_1", cves=("CVE-2024-1086",), **more):
    return {
        "schema": 1,
        "module": module,
        "kernel_release": release,
        "build_id": "ab" * 20,
        "functions": [{"object": "vmlinux", "name": "nft_verdict_init"}],
        "cves": list(cves),
        "severity": "Important",
        "support_end": "2027-05-01",
        "issued": "2026-11-20T10:00:00Z",
        **more,
    }


def patch_name(release):
    version, _, rest = release.partition("-")
    return f"kpatch-patch-{version.replace('.', '_')}-{rest.split('.el')[0].replace('.', '_')}"


SPEC = """
Name: {name}
Version: {version}
Release: {number}
Summary: Live patch
License: GPL-2.0-only
Provides: livepatch(kernel-uname-r:{kernel})
Provides: kpatch-patch = {kernel}
Requires: kernel-uname-r = {kernel}
Supplements: kernel-uname-r = {kernel}
{extra}
%description
Live patch.
{declared}
%install
mkdir -p %{{buildroot}}
{lines}
%files
{files}
"""
# The parts of SPEC that make a package of debugging data: its declaration, its content and its file list.
DEBUG = (
    "%package debuginfo\nSummary: d\n%description debuginfo\nd\n",
    "mkdir -p %{{buildroot}}/usr/lib/debug; echo d > %{{buildroot}}/usr/lib/debug/{name}",
    "%files debuginfo\n/usr/lib/debug/{name}",
)


def build(
    folder,
    release=KERNEL,
    version="1",
    number="1",
    manifests=None,
    extra="",
    name="",
    arch="x86_64",
    source=False,
    debug=False,
):
    """Build a live-patch RPM, and SRPM and debuginfo as asked; returns the paths, that of the RPM first."""
    folder = pathlib.Path(folder)
    manifests = [manifest(release)] if manifests is None else manifests
    dist = ".el" + release.split(".el")[1].split(".")[0]
    name = name or patch_name(release)
    stem = f"{name}-{version}-{number}"
    lines, files = _contents(folder / "stage" / stem, stem, release, manifests)
    cves = sorted({cve for entry in manifests for cve in entry.get("cves", ())})
    extra = "\n".join([*(f"Provides: livepatch-cve({cve})" for cve in cves), extra])
    declared, made, listed = (text.format(name=name) if debug else "" for text in DEBUG)
    spec = folder / f"{stem}.spec"
    facts = {"name": name, "version": version, "number": number + dist, "kernel": release, "extra": extra}
    body = {"declared": declared, "lines": "\n".join([*lines, made]), "files": "\n".join([*files, listed])}
    spec.write_text(SPEC.format(**facts, **body))
    _rpmbuild(folder, spec, arch, "-ba" if source else "-bb", 1795000000 + int(number))
    built = folder / "rpmbuild" / "RPMS" / arch
    found = [built / f"{stem}{dist}.{arch}.rpm"]
    if source:
        found.append(folder / "rpmbuild" / "SRPMS" / f"{stem}{dist}.src.rpm")
    if debug:
        found.append(built / f"{name}-debuginfo-{version}-{number}{dist}.{arch}.rpm")
    return found


def _contents(stage, stem, release, manifests):
    """The lines of %install and the file list of a package with ``manifests``, which come into ``stage``."""
    lines, files = [], []
    for entry in manifests:
        stage.mkdir(parents=True, exist_ok=True)
        source_file = stage / f"{entry['module']}.json"
        source_file.write_text(entry.pop("raw", None) or json.dumps(entry))
        data = f"/usr/share/livepatch/{release}/{entry['module']}.json"
        module = f"/usr/lib/modules/{release}/livepatch/{entry['module']}.ko"
        lines += [
            f"install -Dm644 {source_file} %{{buildroot}}{data}",
            f"mkdir -p %{{buildroot}}{os.path.dirname(module)}",
            f"echo {stem}-{entry['module']} > %{{buildroot}}{module}",
        ]
        files += [data, module]
    return lines, files


def _rpmbuild(folder, spec, arch, mode="-bb", epoch=1795000000):
    """Build ``spec``. ``epoch`` is the build time, whichever of two versions is built first."""
    macros = (
        f"_topdir {folder}/rpmbuild",
        "debug_package %{nil}",
        "__os_install_post %{nil}",
        "_build_id_links none",
        "use_source_date_epoch_as_buildtime 1",
    )
    defines = [f"--define={macro}" for macro in macros]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    call(["rpmbuild", mode, "--target", arch, *defines, spec], env=environment)


def build_kernel(folder, release=KERNEL):
    """Build a dummy kernel package; returns its path."""
    folder = pathlib.Path(folder)
    version, rest = release.split("-", 1)
    stem, arch = rest.rsplit(".", 1)
    spec = folder / f"kernel-{release}.spec"
    spec.write_text(f"""
Name: kernel-core
Version: {version}
Release: {stem}
Summary: Kernel
License: GPL-2.0-only
Provides: kernel-uname-r = {release}
Provides: installonlypkg(kernel)
%description
Kernel.
%install
mkdir -p %{{buildroot}}/boot %{{buildroot}}/lib/modules/{release}
touch %{{buildroot}}/boot/vmlinuz-{release}
%files
/boot/vmlinuz-{release}
/lib/modules/{release}
""")
    _rpmbuild(folder, spec, arch)
    return folder / "rpmbuild" / "RPMS" / arch / f"kernel-core-{version}-{stem}.{arch}.rpm"


def sign(key, *paths):
    macros = (f"_gpg_name {key.name}", f"_gpg_path {key.home}", "__gpg /usr/bin/gpg")
    defines = [f"--define={macro}" for macro in macros]
    call(["rpmsign", *defines, "--addsign", *paths], env={**os.environ, "GNUPGHOME": str(key.home)})


def tool(*argv, check=True, cwd="/", **more):
    """Run livepatch-repo as a program."""
    more["env"] = {**ENV, **more.get("env", {})}
    return call([sys.executable, ROOT / "bin" / "livepatch-repo", *argv], check=check, cwd=cwd, **more)


def signing(key):
    return ["--key", key.public, "--sign-with", key.name, "--gpg-home", key.home]


class Server:
    """A folder over http on loopback."""

    def __init__(self, folder):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args, **named):
                super().__init__(*args, directory=str(folder), **named)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


#: Reads the livepatch record by DNF's Python interface: the cache's folder, the repository, the key.
RECORD = """
import sys, dnf
base = dnf.Base()
base.conf.cachedir, base.conf.installroot = sys.argv[1], "/"
base.conf.substitutions["releasever"] = "9"
repo = base.repos.add_new_repo("t", base.conf, baseurl=[sys.argv[2]], gpgkey=[sys.argv[3]])
repo.repo_gpgcheck = True
repo.add_metadata_type_to_download("livepatch")
repo.load()
print(repo.get_metadata_content("livepatch"))
"""


class Client:
    """The real dnf with a root of its own, gpgcheck=1 and repo_gpgcheck=1."""

    def __init__(self, folder, url, key, mirrors=False):
        self.root, self.url, self.key = pathlib.Path(folder), url, key
        (self.root / "repos").mkdir(parents=True)
        (self.root / "repos" / "t.repo").write_text(
            f"[t]\nname=t\n{'mirrorlist' if mirrors else 'baseurl'}={url}\nenabled=1\n"
            "gpgcheck=1\nrepo_gpgcheck=1\n"
            f"gpgkey=file://{key.public}\n"
        )
        (self.root / "dnf.conf").write_text(
            f"[main]\nreposdir={self.root}/repos\ncachedir={self.root}/cache\npersistdir={self.root}/persist\n"
            f"logdir={self.root}/log\npluginpath=\npluginconfpath=\nzchunk=1\nretries=1\n"
        )

    def dnf(self, *argv, check=True):
        """Run dnf, and end the agent that gpg starts to check the metadata's signature.

        DNF counts the age of metadata in whole seconds. Even with metadata_expire=0 it keeps what it fetched
        within this second, and a quick machine publishes within it: hence --refresh.
        """
        where = ["-c", self.root / "dnf.conf", f"--installroot={self.root}/root"]
        settings = {"reposdir": f"{self.root}/repos", "tsflags": "noscripts", "skip_if_unavailable": "0"}
        options = [f"--setopt={name}={value}" for name, value in settings.items()]
        command = ["dnf", "-y", *where, "--releasever=9", "--forcearch=x86_64", *options, "--refresh", *argv]
        return self._call(command, check)

    def record(self):
        """The text of the livepatch record, as DNF's Python interface returns it."""
        places = [self.root / "api-cache", self.url, f"file://{self.key.public}"]
        return self._call(["/usr/bin/python3", "-c", RECORD, *places], check=True).stdout

    def _call(self, command, check):
        try:
            return call(command, check=check, timeout=120)
        finally:
            for ring in self.root.rglob("pubring"):
                gnupg.stop(str(ring))

    def installed(self):
        done = call(["rpm", "--root", f"{self.root}/root", "-qa", "--qf", "%{nvra}\n"], check=False)
        return sorted(done.stdout.split())
