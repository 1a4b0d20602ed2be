# SPDX-License-Identifier: GPL-2.0-or-later
"""Repositories as hosts have them: with excludes, pruned, ranked by priority and cost."""

from __future__ import annotations

import json

import pytest

from tests.dnf.support import rpms, stock
from tests.dnf.support.lab import Answer, Host, lines, unharmed
from tests.dnf.support.variants import variant

P1, P2, BY2 = str(stock.P1), str(stock.P2), str(stock.BY2)
K20, K40, FOR20, FOR40 = (str(rpm) for rpm in (stock.K20, stock.K40, stock.FOR20, stock.FOR40))
RELEASE = rpms.release(10)


def patches(answer: Answer) -> list[str]:
    return sorted(name for name in answer.new if name.startswith("kpatch"))


def as_an_image(host: Host) -> None:
    """Take away what DNF knows of the origin of packages: the host was made from an image."""
    host.sh("rm -rf /var/lib/dnf")


def main(host: Host, line: str) -> None:
    host.sh(f"echo '{line}' >>/etc/dnf/dnf.conf")


# --- filters of what may be installed say nothing of what a repository has ---

MODULES = """---
document: modulemd
version: 2
data:
  name: kernels
  stream: '{stream}'
  version: 1
  context: c0ffee
  arch: x86_64
  summary: kernels
  description: kernels
  license:
    module: [MIT]
  artifacts:
    rpms:
    - kernel-core-0:5.14.0-10.el9.x86_64
...
"""
#: Hides packages in its own hook, as the plugin versionlock does.
LOCKER = """
import dnf
class Locker(dnf.Plugin):
    name = 'locker'
    def sack(self):
        self.base.sack.add_excludes(self.base.sack.query().filterm(name='kernel-core'))
"""
FILTERS = {
    "a glob in main": ("", "excludepkgs=kern?l-c*", ()),
    "name and version in main": ("", "exclude=kernel-core-0:5.14.0-10.el9.x86_64 other", ()),
    "includepkgs in main": ("", "includepkgs=bystander kpatch-patch-*", ()),
    "includepkgs of the repository": ("includepkgs=bystander kpatch-patch-*", "", ()),
    "excludepkgs of the repository": ("excludepkgs=*-core", "", ()),
    "on the command line": ("", "", ("--exclude=kernel-core",)),
    "one of two is lifted": ("excludepkgs=kernel*", "exclude=kernel*", ("--disableexcludes=main",)),
    "a hold of kernels": ("", "", ()),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_of_kernels_takes_no_trust_away(host, name):
    of_repo, of_main, words = FILTERS[name]
    host.repos(base="all" + ("\n" + of_repo if of_repo else ""))
    if of_main:
        main(host, of_main)
    if name == "a hold of kernels":
        host.conf("kernel_update = hold\n")
    as_an_image(host)
    answer = host.dnf("upgrade", *words)
    unharmed(answer)
    assert P2 in answer.new, answer.text
    assert "is not added" not in answer.text


def test_what_another_plugin_hides_is_offered_all_the_same(host):
    host.repos(base="all")
    host.write("/root/plugins/locker.py", LOCKER)
    host.sh("sed -i 's#^pluginpath=#pluginpath=/root/plugins,#' /etc/dnf/dnf.conf")
    as_an_image(host)
    answer = host.dnf("upgrade")
    assert P2 in answer.new and K40 not in answer.new, answer.text


@pytest.mark.parametrize("stream", ["1", "rhel9"])
def test_what_a_module_that_is_off_hides_is_offered_all_the_same(lab, host, stream):
    host.repos(base=variant(lab, "patches", modules=MODULES.format(stream=stream)))
    as_an_image(host)
    hidden = host.sh("dnf -q repoquery --available kernel-core")
    assert hidden.out == "", "the filter of modules has no effect"
    assert P2 in host.dnf("upgrade").new


@pytest.mark.parametrize("line", ["exclude=kpatch*", "includepkgs=bystander kernel*"])
def test_a_filter_of_the_patch_itself_is_obeyed_and_named(host, line):
    host.repos(base="patches")
    main(host, line)
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and len(lines(answer)) == 1
    assert "configuration excludes it" in lines(answer)[0] and "includepkgs=" in lines(answer)[0]


@pytest.mark.parametrize("line", ["exclude=kernel*", "includepkgs=bystander kpatch*"])
def test_a_hidden_kernel_without_an_advisory_is_still_a_doubt(lab, host, line):
    """The advisory of the newest kernel is missing, so nobody knows what that kernel fixes."""
    host.repos(
        base=variant(lab, "all", advisories=lambda text: text.replace('release="40.el9"', 'release="4.el9"'))
    )
    main(host, line)
    host.dnf("livepatch", "update", "--check")
    found = json.loads(host.read("/var/lib/livepatch/exposure.json"))["kernels"][0]
    assert found["quality"] == "lower-bound" and "5.14.0-40.el9 has no advisory" in found["reason"]


# --- each kernel's own origin counts ---

PRUNED = ("kernel-core-5.14.0-10.",)


def test_a_kernel_that_comes_along_vouches_for_its_own_patch(lab, host):
    host.repos(base=variant(lab, "all", without=PRUNED))
    as_an_image(host)
    answer = host.dnf("upgrade")
    assert {K40, FOR40} <= answer.new and P2 not in answer.new, answer.text
    (line,) = lines(answer)
    assert P2 in line and f"not known which repository kernel {RELEASE} came from" in line
    assert "does not offer that kernel" in line


def test_a_kernel_of_an_earlier_transaction_vouches_for_its_own_patch(lab, host):
    host.repos(base=variant(lab, "kernel", without=PRUNED))
    as_an_image(host)
    assert K40 in host.dnf("upgrade").new
    host.repos(base=variant(lab, "all", without=PRUNED))
    assert patches(host.dnf("upgrade")) == [FOR40]


@pytest.mark.parametrize("priority", ["", "\npriority=1"])
def test_the_running_kernels_repository_does_not_vouch_for_a_foreign_kernel(lab, host, priority):
    """K40 comes from another repository than its patch, and K10 from that of the patch."""
    base = variant(lab, "all", without=("kernel-core-5.14.0-40.",))
    host.repos(base=base, copr="usurper" + priority)
    answer = host.dnf("upgrade")
    assert K40 in answer.new and FOR40 not in answer.new, answer.text
    assert f"kernel {rpms.release(40)} came from copr" in answer.text


def test_the_owners_word_counts_for_every_kernel(lab, host):
    base = variant(lab, "all", without=("kernel-core-5.14.0-40.",))
    host.repos(base=base, copr="usurper")
    host.conf("repos = base\n")
    answer = host.dnf("upgrade")
    assert {K40, FOR40, P2} <= answer.new, answer.text


# --- the repository that DNF would choose ---


def ranked(host: Host, high: str, low: str) -> None:
    """Two repositories that are both trusted; DNF prefers ``one``."""
    host.conf("repos = one two\n")
    host.repos(base="start", one=high, two=low)


def origin(host: Host, package: str) -> str:
    return host.sh(f"dnf -q repoquery --installed --qf '%{{from_repo}}' {package}").out.strip()


@pytest.mark.parametrize(
    ("high", "low"),
    [("\npriority=10", ""), ("\npriority=98", "\npriority=99"), ("", "\npriority=100\ncost=1")],
)
@pytest.mark.parametrize("installed", [True, False])
def test_a_newer_patch_of_a_lower_ranked_repository_is_no_addition(lab, host, high, low, installed):
    if installed:
        host.repos(base="first")
        assert patches(host.dnf("upgrade")) == [P1]
    host.write("/etc/stand-in", "")
    ranked(host, "first" + high, "patches" + low)
    plain = host.dnf("upgrade", "--disableplugin=livepatch", "--assumeno")
    assert P2 not in plain.text, "DNF itself would not take it"
    answer = host.dnf("upgrade")
    assert patches(answer) == ([] if installed else [P1]), answer.text
    assert P1 not in answer.gone
    (line,) = lines(answer)
    assert P2 in line and "prefers one" in line and "priority" in line


@pytest.mark.parametrize(
    ("one", "two", "chosen"), [(900, 1100, "one"), (1100, 900, "two"), (1, 1000, "one")]
)
def test_of_two_copies_the_cheaper_is_taken(lab, host, one, two, chosen):
    ranked(host, f"patches\ncost={one}", f"patches\ncost={two}")
    assert P2 in host.dnf("upgrade").new
    assert origin(host, stock.P2.name) == chosen


def test_of_two_copies_the_better_ranked_is_taken_whatever_it_costs(lab, host):
    ranked(host, "patches\ncost=1", "patches\npriority=50\ncost=5000")
    assert P2 in host.dnf("upgrade").new
    assert origin(host, stock.P2.name) == "two"


# --- the list says what an upgrade would do ---


@pytest.mark.parametrize(
    ("setup", "state"),
    [
        ({"base": "kernel", "copr": "only-patch"}, "untrusted"),
        ({"base": "patches\ngpgcheck=0"}, "unverified"),
        ({"base": "needy"}, "unresolvable"),
        ({"base": "dragging"}, "unresolvable"),
        ({"base": "first\npriority=5", "low": "only-patch"}, "outranked"),
        ({"base": "patches\nexcludepkgs=kpatch*"}, "excluded"),
        ({"base": "patches"}, "offered"),
    ],
)
def test_the_list_says_offered_of_what_an_upgrade_takes_only(host, setup, state):
    host.repos(**setup)
    if "low" in setup:
        host.conf("repos = low\n")
    rows = json.loads(host.dnf("livepatch", "list", "--available", "--json").out)["patches"]
    assert rows[0]["state"] == state, rows
    taken = patches(host.dnf("upgrade"))
    assert (rows[0]["package"] in taken) is (state == "offered")


def test_the_list_knows_what_is_older_than_the_installed_one(host):
    host.repos(base="patches")
    host.dnf("upgrade")
    rows = json.loads(host.dnf("livepatch", "list", "--available", "--json").out)["patches"]
    assert [(row["package"], row["state"]) for row in rows] == [(P2, "installed"), (P1, "older")]


@pytest.mark.parametrize("more", ["gpgcheck=0", "priority=10"])
@pytest.mark.parametrize("files", [("P1", "BY2"), ("P1", "P2", "BY2")])
def test_package_files_are_upgraded_beside_a_repository_with_the_same_builds(lab, host, more, files):
    host.repos(base="start", copr=f"patches\n{more}")
    paths = " ".join(f"{lab.states}/all/{getattr(stock, name)}.rpm" for name in files)
    answer = host.sh(f"dnf -y upgrade {paths}")
    unharmed(answer)
    assert answer.code == 0 and str(stock.BY2) in answer.new, answer.text
