# SPDX-License-Identifier: GPL-2.0-or-later
"""The RPMs of `make rpm`: contents, modes, relations, scriptlets; rpmlint; a real installation."""

import glob
import os
import re
import stat
import subprocess
import sys

import pytest
import rpm

from tests.packaging.support import tree
from tests.packaging.support.rpms import NAMES, build, files, read_header, scripts

SITE = subprocess.run(
    ["rpm", "--eval", '%{?python3_sitelib}%{!?python3_sitelib:/usr/lib/python3/dist-packages}'],
    capture_output=True, text=True, check=True,
).stdout.strip()  # fmt: skip
PACKAGE = SITE + "/dnf_plugin_livepatch"


@pytest.fixture(scope="module")
def rpms():
    """Name -> path; the source package is "src"."""
    found = {}
    for path in build():
        header = read_header(path)
        found["src" if header[rpm.RPMTAG_SOURCEPACKAGE] else header[rpm.RPMTAG_NAME]] = path
    return found


@pytest.fixture(scope="module")
def headers(rpms):
    return {name: read_header(path) for name, path in rpms.items()}


def pairs(header, kind):
    """The dependencies of a kind ("provides", "requires") as texts such as "a = 1-1"."""
    return {item.DNEVR()[2:] for item in rpm.ds(header, kind)}


def test_one_source_and_three_noarch_packages(headers):
    assert set(headers) == {"src", *NAMES}
    assert {headers[name][rpm.RPMTAG_ARCH] for name in NAMES} == {"noarch"}


def test_rpmlint(rpms):
    rpmlint = os.path.join(os.path.dirname(sys.executable), "rpmlint")
    result = tree.run(
        rpmlint,
        "-c",
        "spec/dnf-plugin-livepatch.rpmlint.toml",
        "spec/dnf-plugin-livepatch.spec",
        *rpms.values(),
    )
    assert re.search(r" 0 errors, 0 warnings", result.stdout), result.stdout


def test_every_file_is_in_exactly_one_package(headers):
    owners = {}
    for name in NAMES:
        for path, entry in files(headers[name]).items():
            owners.setdefault((path, stat.S_ISDIR(entry.mode)), []).append(name)
    # The packages may come and go in any order, so each owns the folder that they share.
    assert [path for (path, folder), names in owners.items() if len(names) > 1 and not folder] == []
    assert [path for (path, folder), names in owners.items() if len(names) > 1] == [PACKAGE]


def test_every_module_of_the_source_is_packaged(headers):
    packaged = {path for name in NAMES for path in files(headers[name])}
    source = [name for name in tree.tracked() if re.match(r"dnf_plugin_livepatch/(?!dnf-plugins/)", name)]
    assert [name for name in source if f"{SITE}/{name}" not in packaged] == []
    for folder, target in (
        ("bin", "/usr/bin"),
        ("libexec", "/usr/libexec/livepatch"),
        ("profiles", "/usr/share/dnf-plugin-livepatch/profiles"),
        ("tmpfiles.d", "/usr/lib/tmpfiles.d"),
        ("completion", "/usr/share/bash-completion/completions"),
    ):
        names = [os.path.basename(name) for name in tree.tracked() if name.startswith(folder + "/")]
        assert names, folder
        assert [name for name in names if f"{target}/{name}" not in packaged] == []
    for name in tree.tracked():
        if name.startswith("man/"):
            page = f"/usr/share/man/man{name[-1]}/{name[4:]}"
            assert any(path.startswith(page) for path in packaged), name


@pytest.mark.parametrize(
    "package, paths",
    [
        (
            "python3-dnf-plugin-livepatch",
            [
                SITE + "/dnf-plugins/livepatch.py",
                PACKAGE + "/dnf4/plugin.py",
                "/usr/lib/systemd/system/dnf-livepatch.timer",
            ],
        ),
        (
            "livepatch-runtime",
            [
                "/usr/bin/livepatch",
                "/usr/libexec/livepatch/livepatch-trigger",
                PACKAGE + "/base/model.py",
                PACKAGE + "/host/cli/main.py",
                "/usr/lib/systemd/system/livepatch-boot.service",
                "/usr/lib/systemd/system/livepatch-reconcile.service",
                "/usr/share/bash-completion/completions/livepatch",
                "/usr/share/livepatch",
                "/var/lib/livepatch",
                "/etc/livepatch/profiles.d",
                "/etc/dnf/plugins/livepatch.conf",
                "/usr/share/man/man5/livepatch.conf.5.gz",
            ],
        ),
        (
            "livepatch-tools",
            [
                "/usr/bin/livepatch-rpm",
                "/usr/bin/livepatch-repo",
                PACKAGE + "/rpmtool/cli.py",
                PACKAGE + "/repotool/cli.py",
                PACKAGE + "/toolkit/errors.py",
            ],
        ),
    ],
)
def test_what_belongs_where(headers, package, paths):
    assert [path for path in paths if path not in files(headers[package])] == []


@pytest.mark.parametrize("package", NAMES)
def test_owners_and_modes(headers, package):
    for path, entry in files(headers[package]).items():
        assert (entry.user, entry.group) == ("root", "root"), path
        if stat.S_ISDIR(entry.mode) or path.startswith(("/usr/bin/", "/usr/libexec/")):
            assert stat.S_IMODE(entry.mode) == 0o755, path
        elif stat.S_ISREG(entry.mode):
            private = "/journal-private" in path
            assert stat.S_IMODE(entry.mode) == (0o600 if private else 0o644), path
        else:
            pytest.fail(f"{path} is neither a file nor a folder")


def test_the_configuration_survives_updates(headers):
    entry = files(headers["livepatch-runtime"])["/etc/dnf/plugins/livepatch.conf"]
    assert entry.fflags & rpm.RPMFILE_CONFIG and entry.fflags & rpm.RPMFILE_NOREPLACE


@pytest.mark.parametrize("package", NAMES)
def test_modules_are_compiled(headers, package):
    """Unprivileged runs could not write the cache and would compile every time."""
    paths = files(headers[package])
    for path in paths:
        if path.endswith(".py"):
            folder, name = os.path.split(path)
            compiled = re.compile(re.escape(f"{folder}/__pycache__/{name[:-3]}.cpython-") + r"3\d+\.pyc\Z")
            assert any(compiled.match(other) for other in paths), path


def test_relations(headers):
    plugin, runtime, tools = (headers[name] for name in (NAMES[2], NAMES[0], NAMES[1]))
    evr = f"{plugin[rpm.RPMTAG_VERSION]}-{plugin[rpm.RPMTAG_RELEASE]}"
    assert {f"dnf-plugin-livepatch = {evr}", "dnf-command(livepatch)"} <= pairs(plugin, "provides")
    assert {f"livepatch-runtime = {evr}", "python3-dnf >= 4.14"} <= pairs(plugin, "requires")
    assert {"kmod", "python3-rpm", "systemd"} <= pairs(runtime, "requires")
    assert {f"livepatch-runtime = {evr}", "createrepo_c", "rpm-build"} <= pairs(tools, "requires")
    for header in (plugin, runtime, tools):
        names = {item.split()[0] for item in pairs(header, "requires")}
        # A container has no kernel, and a host may have it from anywhere.
        assert not any(name.startswith("kernel") for name in names)
        # needs-restarting takes whatever provides "kernel" for one.
        assert not any(
            re.match(r"kernel|kpatch-patch|livepatch( |$|\()", p) for p in pairs(header, "provides")
        )
    assert "dnf" not in " ".join(pairs(runtime, "requires"))


def test_which_scriptlets_there_are(headers):
    assert scripts(headers["livepatch-tools"]) == {}
    assert set(scripts(headers["python3-dnf-plugin-livepatch"])) == {"post", "preun", "postun"}
    kinds = {"post", "preun", "postun", "filetrigger", "transfiletrigger"}
    assert set(scripts(headers["livepatch-runtime"])) == kinds


def test_the_triggers_only_ask_for_a_reconcile(headers):
    header = headers["livepatch-runtime"]
    texts = scripts(header)
    for kind in ("filetrigger", "transfiletrigger"):
        (text,) = texts[kind]
        commands = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
        assert len(commands) == 1
        # A failing scriptlet would be invisible to DNF anyway, and must not stop the ones after it.
        program = "/usr/libexec/livepatch/livepatch-trigger"
        assert re.match(rf"(\[ ! -x {program} \] \|\| )?{program}\b.* \|\| :$", commands[0])
    paths = {"/usr/share/livepatch", "/usr/lib/modules", "/lib/modules", "/usr/lib/kpatch"}
    paths |= {"/usr/lib/livepatching", "/usr/lib/kernel-livepatch", "/usr/lib/syscare", "/var/cache/uptrack"}
    for tag in (rpm.RPMTAG_FILETRIGGERNAME, rpm.RPMTAG_TRANSFILETRIGGERNAME):
        names = list(header[tag])
        assert set(names) == paths and len(names) == len(paths)


@pytest.mark.parametrize("package", NAMES)
def test_scriptlets_are_sound_shell(headers, package, tmp_path):
    for kind, text in scripts(headers[package]).items():
        for number, body in enumerate([text] if isinstance(text, str) else text):
            file = tmp_path / f"{kind}{number}"
            file.write_text("#!/bin/sh\n" + body)
            # rpm passes the count of instances as a number; quoting it is not our macros' habit.
            result = tree.run("shellcheck", "--shell", "sh", "--exclude", "SC2086", str(file))
            assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "package, wanted",
    [
        ("livepatch-runtime", "enable livepatch-boot.service"),
        ("python3-dnf-plugin-livepatch", "disable dnf-livepatch.timer"),
    ],
)
def test_the_presets(rpms, package, wanted):
    """The boot unit is on, the timer that looks for patches by itself is not.

    Each preset comes with its unit: %post of the one package may run before the files of the other exist.
    """
    preset = subprocess.run(
        f"rpm2cpio {rpms[package]} | cpio -i --quiet --to-stdout '*.preset'",
        shell=True, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert [line for line in preset.split("\n") if line and not line.startswith("#")] == [wanted]


# Checksums of the header, and the id of the source package, in which rpm notes the folder of the build.
VARIABLE = (rpm.RPMTAG_SHA1HEADER, rpm.RPMTAG_SHA256HEADER, rpm.RPMTAG_SIGMD5, rpm.RPMTAG_SOURCEPKGID)
VARIABLE += (rpm.RPMTAG_SIGSIZE, rpm.RPMTAG_HEADERIMMUTABLE, rpm.RPMTAG_HEADERSIGNATURES)


def test_the_same_source_gives_the_same_packages(rpms, headers, tmp_path):
    """The source package, built again later and in another folder: the same header and payload."""
    defines = (
        f"_topdir {tmp_path}",
        "_buildhost localhost",
        "use_source_date_epoch_as_buildtime 1",
        "clamp_mtime_to_source_date_epoch 1",
    )
    words = [word for text in defines for word in ("--define", text)]
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(headers["src"][rpm.RPMTAG_BUILDTIME]),
        "LC_ALL": "C.UTF-8",
    }
    result = tree.run("rpmbuild", "--rebuild", "--nodeps", *words, rpms["src"], env=environment)
    assert result.returncode == 0, result.stdout
    for name in NAMES:
        again = read_header(glob.glob(f"{tmp_path}/RPMS/noarch/{name}-1*.rpm")[0])
        tags = {tag for header in (headers[name], again) for tag in header.keys()} - set(VARIABLE)
        assert rpm.RPMTAG_PAYLOADDIGEST in tags and len(tags) > 50
        assert [tag for tag in sorted(tags) if headers[name][tag] != again[tag]] == [], name


def test_the_source_package_builds_with_the_macros_of_fedora(rpms, tmp_path):
    """Fedora's macros, spelled out: its paths and its systemd scriptlets must be used where they exist."""
    macros = {
        "_topdir": str(tmp_path),
        "_vendor": "redhat",
        "dist": ".el9",
        "python3_sitelib": "/usr/lib/python3.9/site-packages",
        "_unitdir": "/usr/lib/systemd/system",
        "_presetdir": "/usr/lib/systemd/system-preset",
        "_tmpfilesdir": "/usr/lib/tmpfiles.d",
        "_rpmmacrodir": "/usr/lib/rpm/macros.d",
        "_sharedstatedir": "/var/lib",
        "systemd_post()": "fedora-post %{?*}",
        "systemd_preun()": "fedora-preun %{?*}",
        "systemd_postun()": "fedora-postun %{?*}",
        "tmpfiles_create()": "fedora-tmpfiles %{?*}",
    }
    defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
    result = tree.run("rpmbuild", "--rebuild", "--nodeps", *defines, rpms["src"])
    assert result.returncode == 0, result.stdout
    built = {
        os.path.basename(path): read_header(path) for path in glob.glob(f"{tmp_path}/RPMS/noarch/*.rpm")
    }
    runtime = built["livepatch-runtime-1.0.0-1.el9.noarch.rpm"]
    assert "/usr/lib/python3.9/site-packages/dnf_plugin_livepatch/base/model.py" in files(runtime)
    texts = scripts(runtime)
    assert "fedora-post livepatch-boot.service" in texts["post"]
    assert "fedora-tmpfiles livepatch.conf" in texts["post"]
    assert "fedora-preun livepatch-boot.service" in texts["preun"]
    assert "fedora-postun livepatch-boot.service" in texts["postun"]
    assert "daemon-reload" not in "".join(texts[kind] for kind in ("post", "preun", "postun"))


@pytest.fixture(scope="module")
def root(rpms, tmp_path_factory):
    """A folder into which rpm installed the three packages."""
    folder = tmp_path_factory.mktemp("root")
    database = ["--root", str(folder), "--dbpath", "/var/lib/rpm"]
    result = tree.run(
        "rpm", *database, "-i", "--nodeps", "--noscripts", "--notriggers", *(rpms[name] for name in NAMES)
    )
    assert result.returncode == 0, result.stdout
    assert tree.run("rpm", *database, "-Va", "--nodeps", "--noscripts").stdout == ""
    return folder


def test_dnf_finds_the_plugin_that_the_package_installs(root, tmp_path):
    result = tree.run(
        "/usr/bin/dnf", "--releasever=1", f"--setopt=reposdir={tmp_path}", f"--setopt=cachedir={tmp_path}",
        f"--setopt=logdir={tmp_path}", f"--setopt=pluginpath={root}{SITE}/dnf-plugins",
        f"--setopt=pluginconfpath={root}/etc/dnf/plugins", "livepatch", "--help",
        env={**os.environ, "PYTHONPATH": f"{root}{SITE}", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert "livepatch" in result.stdout and "status" in result.stdout


@pytest.mark.parametrize("name", ["livepatch", "livepatch-rpm", "livepatch-repo"])
def test_the_programs_start(root, name):
    """From the installed files alone; the tools with the Python of the tests, which has Jinja2."""
    python = "/usr/bin/python3" if name == "livepatch" else sys.executable
    result = subprocess.run(
        [python, f"{root}/usr/bin/{name}", "--help"],
        env={**os.environ, "PYTHONPATH": f"{root}{SITE}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"usage: {name} ")


def test_removal_leaves_nothing_behind(root):
    state = root / "var/lib/livepatch/guard.json"
    state.write_text("{}")
    database = ["--root", str(root), "--dbpath", "/var/lib/rpm"]
    result = tree.run("rpm", *database, "-e", "--nodeps", "--noscripts", "--notriggers", *NAMES)
    assert result.returncode == 0, result.stdout
    names = [path[len(str(root)) :] for path in glob.glob(f"{root}/**", recursive=True)]
    assert [name for name in names if "livepatch" in name] == []
