# SPDX-License-Identifier: GPL-2.0-or-later
"""A live patch that an upgrade adds and that cannot be had costs nothing else of the upgrade."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.dnf.support import programs, rpms, stock
from tests.dnf.support.lab import RUNNING, Answer, Lab, lines, shared, unharmed
from tests.dnf.support.variants import variant

P1, P2, BY2 = str(stock.P1), str(stock.P2), str(stock.BY2)
LEFT = f"livepatch: Live patch {P2} is left out: "
ADVICE = "'dnf livepatch update' takes"
AUTOMATIC = (
    "[commands]\nupgrade_type = default\ndownload_updates = yes\napply_updates = yes\nrandom_sleep = 0\n"
    "[emitters]\nemit_via = stdio\n"
)
RUN_AUTOMATIC = (
    "import sys\nfrom dnf.automatic.main import main\nsys.exit(main(['/etc/dnf/automatic.conf']))\n"
)
CHECKED = """
    base.download_packages(base.transaction.install_set)
    for package in base.transaction.install_set:
        result, why = base.package_signature_check(package)
        assert result == 0, why
    base.do_transaction()
base.close()
"""


def _replace(path: str, change: Callable[[str], None]) -> None:
    """Change a copy of the file, which is linked into many states."""
    shutil.copy(path, path + ".new")
    change(path + ".new")
    os.replace(path + ".new", path)


def _damage(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def _unsign(path: str) -> None:
    subprocess.run(["rpm", "--delsign", path], check=True, capture_output=True)


def state(lab: Lab, how: str, nevra: str = P2, of: str = "patches") -> str:
    """A state whose package ``nevra`` cannot be had in this way, behind metadata that fits it otherwise."""
    name = variant(lab, of)
    folder = f"{lab.states}/{name}"
    path = f"{folder}/{nevra}.rpm"
    if how == "missing":
        os.remove(path)
    elif how == "damaged":
        _replace(path, _damage)
    else:
        _replace(path, _unsign)
        if how == "strange key":
            home = f"{lab.folder}/{name}-keys"
            os.makedirs(home)
            rpms.sign(home, [path])
        name = _index(lab, folder, of)
    return name


def _index(lab: Lab, folder: str, of: str) -> str:
    """Have the metadata of ``folder`` fit its packages."""
    shutil.rmtree(folder + "/repodata")
    subprocess.run(
        ["createrepo_c", "--quiet", "--simple-md-filenames", folder], check=True, capture_output=True
    )
    subprocess.run(
        ["modifyrepo_c", f"{folder}/updateinfo.xml", folder + "/repodata"], check=True, capture_output=True
    )
    return os.path.basename(folder)


def passed(answer: Answer, left: str = LEFT) -> None:
    """Check that the rest of the upgrade went through, and that one line names the patch left out."""
    unharmed(answer)
    assert answer.code == 0 and answer.new == {BY2}, answer.text
    assert answer.text.count(left) == 1 and ADVICE not in answer.text, answer.text


@pytest.mark.parametrize("how", ["missing", "damaged", "unsigned", "strange key"])
@pytest.mark.parametrize(
    "command", ["upgrade", "upgrade --security", "upgrade-minimal", "upgrade bystander"]
)
def test_an_upgrade_goes_on_without_a_patch_that_cannot_be_had(lab, host, how, command):
    host.repos(base=state(lab, how))
    passed(host.sh(f"dnf -y {command}"))
    again = host.sh("dnf -y upgrade")
    assert again.code == 0 and not again.new and LEFT in again.text, again.text
    host.repos(base="patches")
    assert host.dnf("upgrade").new == {P2}


#: A server on a free port: other workers have theirs at the same time.
SERVE = """\
import functools, http.server, os
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory={folder!r})
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
with open("/root/port.new", "w") as file:
    file.write(str(server.server_port))
os.rename("/root/port.new", "/root/port")
server.serve_forever()
"""


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_a_mirror_that_lags_costs_the_same_over_the_network(lab, host, how):
    name = state(lab, how)
    host.repos(base=name)
    host.write("/root/serve.py", SERVE.format(folder=lab.states))
    serve = "(python3 /root/serve.py >/dev/null 2>&1 &); until [ -e /root/port ]; do sleep 0.1; done"
    known = f"sed -i s,file://{lab.states},http://127.0.0.1:$(cat /root/port), /etc/yum.repos.d/lab.repo"
    passed(host.sh(f"{serve}; {known}; dnf -y --setopt=retries=1 upgrade; code=$?; exit $code"))


@pytest.mark.parametrize("how", ["missing", "unsigned", "strange key"])
@pytest.mark.parametrize("who", ["automatic", "api"])
def test_users_of_the_api_go_on_without_it_too(lab, host, how, who):
    host.repos(base=state(lab, how))
    host.write("/etc/dnf/automatic.conf", AUTOMATIC)
    checked = programs.OPEN + "base.upgrade_all()\nif base.resolve():" + CHECKED
    answer = host.python(RUN_AUTOMATIC if who == "automatic" else checked)
    assert answer.code == 0 and answer.new == {BY2}, answer.text


@pytest.mark.parametrize("how", ["missing", "unsigned"])
def test_a_failure_of_the_users_own_packages_is_theirs(lab, host, how):
    host.repos(base=state(lab, how, BY2))
    answer = host.dnf("upgrade")
    assert answer.code == 1 and not answer.new and "is left out" not in answer.text, answer.text
    assert f"{P2} is offered and not installed" in answer.text and ADVICE in answer.text
    assert host.dnf("livepatch", "update").new == {P2}


@pytest.mark.parametrize("command", ["livepatch update", f"install {P2}", f"upgrade {stock.P2.name}"])
def test_a_patch_that_was_asked_for_by_name_fails_as_any_package(lab, host, command):
    host.repos(base=state(lab, "missing"))
    answer = host.sh(f"dnf -y {command}")
    assert answer.code == 1 and not answer.new and ADVICE not in answer.text, answer.text


CLASHING = rpms.patch(10, "1-9", [stock.CVE20])._replace(
    files=(("/usr/share/clash", "other\n"), *rpms.patch(10, "1-9", [stock.CVE20]).files)
)
OWNER = rpms.Rpm("owner", "1", "1", files=(("/usr/share/clash", "mine\n"),))
#: A vendor's patch, whose profile lets the vendor's own client come along.
HELPED = rpms.Rpm(
    "kpatch-patch-5_14_0-10", "1", "7.el9", (f"kpatch-patch = {RUNNING}",), (stock.OWN, "kpatch"), (),
    ((f"/usr/lib/kpatch/{RUNNING}/kpatch-5_14_0-10-1-7.ko", "no module\n"),),
)  # fmt: skip
CLIENT = rpms.Rpm("kpatch", "1", "1")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    base = (*stock.START, OWNER)
    states = {
        "start": (base, (stock.ADV10,)),
        "clash": ((*base, CLASHING, stock.BY2), (stock.ADV10, stock.ADV20)),
        "helped": ((*base, HELPED, CLIENT, stock.BY2), (stock.ADV10, stock.ADV20)),
    }
    # The files of the packages of one name are not those of one build.
    packages = [*base, stock.P1, CLASHING, HELPED, CLIENT, stock.BY2]
    return shared(tmp_path_factory, "undelivered", packages, states, [*stock.BASE, "owner"])


@pytest.mark.parametrize(("of", "patch"), [("clash", CLASHING), ("helped", HELPED)])
def test_what_rpm_refuses_and_what_comes_along_are_no_reason_to_fail(other, of, patch):
    host = other.host()
    host.repos(base=state(other, "missing", str(CLIENT), of) if of == "helped" else of)
    answer = host.dnf("upgrade")
    host.drop()
    passed(answer, f"livepatch: Live patch {patch} is left out: ")
    assert ("rpm refuses it" if of == "clash" else "cannot be downloaded") in answer.text
    assert len([line for line in lines(answer) if "left out" in line]) == 1
