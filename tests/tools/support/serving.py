# SPDX-License-Identifier: GPL-2.0-or-later
"""A web server behind bad caches, and the real dnf of other releases that reads from it."""

import http.server
import os
import pathlib
import threading

from tests.tools.support import repositories as support

BUILD = support.ROOT / "build"
#: A name for each dnf, and the Debian root that it is in; "" for this machine's.
CLIENTS = {"dnf 4, this machine's": "", "dnf 4, Debian 13's": "trixie-dnf4", "dnf5": "sid-dnf5"}


class Cached:
    """Serves one repository at a time on loopback. ``answer`` chooses the bytes of a path, None for a 404.

    ``answer`` gets the path below the repository; ``asked`` are the paths that were asked for.
    """

    def __init__(self, answer):
        outer = self
        self.answer, self.asked = answer, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.lstrip("/").partition("?")[0]
                outer.asked.append(path)
                data = outer.answer(path)
                self.send_response(404 if data is None else 200)
                data = data or b""
                self.send_header("Content-Length", str(len(data)))
                # A cache in front of the server may keep what it has for a day.
                self.send_header("Cache-Control", "public, max-age=86400")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def content(root, path):
    """The bytes of ``path`` in the repository ``root``; None where there is no such file."""
    try:
        return pathlib.Path(root, path).read_bytes()
    except OSError:
        return None


class Chrooted(support.Client):
    """The dnf of the Debian root ``inside``, which sees the client's folder at its own path."""

    def __init__(self, folder, url, key, inside, mirrors=False):
        super().__init__(folder, url, key, mirrors)
        self.inside = BUILD / inside
        self.new = (self.inside / "usr" / "bin" / "dnf5").exists()
        public = self.root / "key.asc"
        public.write_bytes(pathlib.Path(key.public).read_bytes())
        repo = self.root / "repos" / "t.repo"
        repo.write_text(repo.read_text().replace(str(key.public), str(public)))
        conf = self.root / "dnf.conf"
        if self.new:
            (self.root / "plugins").mkdir()
            text = conf.read_text().replace("pluginconfpath=\n", f"pluginconfpath={self.root}/plugins\n")
            conf.write_text(text + f"system_cachedir={self.root}/cache\nmetadata_expire=0\n")

    def _call(self, command, check):
        words = [str(word) for word in command]
        if self.new:
            # Without the word, it looks for repositories in its installroot once there is one.
            words[:1] = ["dnf5", "--use-host-config"]
        script = (
            "mount --make-rprivate /; mount --bind $2 $3; mount -t tmpfs tmpfs $1/tmp; mkdir -p $1$2; "
            "mount --move $3 $1$2; mount -t proc proc $1/proc; mount --bind /dev $1/dev; "
            'root=$1; shift 3; exec chroot "$root" env LC_ALL=C.UTF-8 "$@"'
        )
        inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, "sh"]
        aside = self.inside / "mnt"
        return support.call([*inside, self.inside, self.root, aside, *words], check=check, timeout=300)

    def installed(self):
        """The packages, by the root's own programs: each release keeps its database in another form."""
        root = f"{self.root}/root"
        if self.new:
            form = "%{name}-%{version}-%{release}.%{arch}\n"
            words = ["-c", self.root / "dnf.conf", f"--installroot={root}", "--releasever=9"]
            done = self._call(["dnf5", *words, "repoquery", "--installed", "--qf", form], check=True)
        else:
            done = self._call(["rpm", "--root", root, "-qa", "--qf", "%{nvra}\n"], check=False)
        return sorted(done.stdout.split())


def client(name, folder, url, key, mirrors=False):
    """The client called ``name``; None where its root is not made."""
    inside = CLIENTS[name]
    if not inside:
        return support.Client(folder, url, key, mirrors)
    if not (BUILD / inside / "usr" / "bin").is_dir() or os.geteuid() != 0:
        return None
    return Chrooted(folder, url, key, inside, mirrors)
