# SPDX-License-Identifier: GPL-2.0-or-later
"""The wheel: the shim lies where DNF imports it from, the programs start, nothing is missing."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.packaging.support import tree


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy so that setuptools leaves nothing in the work tree."""
    source = tmp_path_factory.mktemp("source")
    for name in tree.tracked():
        if name.startswith("dnf_plugin_livepatch/") or name in ("setup.py", "pyproject.toml", "COPYING"):
            os.makedirs(source / os.path.dirname(name), exist_ok=True)
            shutil.copy(os.path.join(tree.TOP, name), source / name)
    result = tree.run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(source),
        str(source),
    )
    assert result.returncode == 0, result.stdout
    (path,) = source.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder into which pip installed the wheel."""
    folder = tmp_path_factory.mktemp("site")
    result = tree.run(
        sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", str(folder), str(wheel)
    )
    assert result.returncode == 0, result.stdout
    return folder


def test_the_shim_is_at_the_root_and_every_file_is_there(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "dnf-plugins/livepatch.py" in names
    source = [name for name in tree.tracked() if name.startswith("dnf_plugin_livepatch/")]
    wanted = {name.replace("dnf_plugin_livepatch/dnf-plugins/", "dnf-plugins/") for name in source}
    assert wanted - names == set()


def test_the_shim_imports_and_is_a_direct_subclass(site):
    """DNF makes plugins of the direct subclasses of dnf.Plugin only, and runs their __init__ unguarded."""
    shim = str(site / "dnf-plugins" / "livepatch.py")
    code = (
        "import importlib.util, dnf\n"
        f"spec = importlib.util.spec_from_file_location('shim', {shim!r})\n"
        "shim = importlib.util.module_from_spec(spec); spec.loader.exec_module(shim)\n"
        "import dnf_plugin_livepatch\n"
        f"assert dnf_plugin_livepatch.__file__.startswith({str(site)!r})\n"
        "assert shim.LivepatchPlugin in dnf.Plugin.__subclasses__()\n"
        "assert shim.LivepatchPlugin.name == 'livepatch'\n"
    )
    result = subprocess.run(
        ["/usr/bin/python3", "-c", code], env={**os.environ, "PYTHONPATH": str(site)}, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["livepatch", "livepatch-rpm", "livepatch-repo"])
def test_the_programs_start(site, name):
    result = subprocess.run(
        [sys.executable, str(site / "bin" / name), "--help"],
        env={**os.environ, "PYTHONPATH": str(site)}, cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
