# SPDX-License-Identifier: GPL-2.0-or-later
"""The output in the README: the picture holds the text, and a run that prints anything else is noticed."""

import os
import re
import sys
import xml.etree.ElementTree

from tests.packaging.support import tree

sys.path.insert(0, tree.TOP)

from dnf_plugin_livepatch.base import model  # noqa: E402
from dnf_plugin_livepatch.exposure.compute import Inputs  # noqa: E402
from dnf_plugin_livepatch.host import look  # noqa: E402
from dnf_plugin_livepatch.host.report import reboot, status  # noqa: E402
from dnf_plugin_livepatch.host.report import text as report_text  # noqa: E402
from vm import patches, picture  # noqa: E402

TEXT = tree.read("docs/images/upgrade.txt")
SVG = tree.read("docs/images/upgrade.svg")
RUN = """\
Last metadata expiration check: 0:00:01 ago.
Live patching, running kernel 6.12.9+deb12-amd64:
  Will close    : 1: CVE-1900-0001 (Important)
Dependencies resolved.
=====================
 klp-patch-6_12_9_deb12-amd64  x86_64  1-1  demo  7 k
Live patch klp-patch-6_12_9_deb12-amd64-1-1.x86_64 is in force, transition 2.1 s.
  CVEs open until a reboot into kernel
    6.12.10+deb12-amd64: CVE-1900-0002
"""
SHOWN = """\
# dnf upgrade
Live patching, running kernel 6.12.115+deb12-amd64:
  Will close    : 1: CVE-1900-0001 (Important)
…
 klp-patch-6_12_115_deb12-amd64   x86_64   1-1                     demo   107 k
Live patch klp-patch-6_12_115_deb12-amd64-1-1.x86_64 is in force, transition 6.4 s.
  CVEs open until a reboot into kernel 6.12.117+deb12-amd64: CVE-1900-0002
"""


STATUS = """\
State          : ATTENTION: 2 known CVEs of the running kernel not closed
Running kernel : 6.12.9+deb12-amd64
Support        : until 2036-11-01 (12 days left)
Next           : systemctl reboot
"""


def differs(shown, printed=RUN):
    return picture.difference(shown, printed, "6.12.9+deb12-amd64", "6.12.10+deb12-amd64")


def test_the_picture_is_drawn_from_the_text():
    drawn = tree.run(sys.executable, "scripts/terminal-svg", "docs/images/upgrade.txt").stdout
    assert drawn == SVG, "run: scripts/terminal-svg docs/images/upgrade.txt >docs/images/upgrade.svg"


def test_the_picture_holds_the_text():
    texts = xml.etree.ElementTree.fromstring(SVG).iter("{http://www.w3.org/2000/svg}text")
    lines = [item.text or "" for item in texts if item.get("class") != "title"]
    assert "\n".join(lines) + "\n" == TEXT
    assert max(map(len, lines)) <= 90


def test_a_file_that_is_not_there_is_wrong_usage():
    assert tree.run(sys.executable, "scripts/terminal-svg").returncode == 2


def test_the_readme_shows_the_picture_before_everything_else():
    text = tree.read("README.md")
    assert 0 < text.index("](docs/images/upgrade.svg)") < text.index("## ")


def test_the_releases_of_the_text_are_known():
    assert picture.OLD in TEXT and picture.NEW in TEXT
    assert os.path.samefile(picture.TEXT, os.path.join(tree.TOP, "docs/images/upgrade.txt"))


def test_another_day_with_other_kernels_shows_the_same():
    assert differs(SHOWN) == ""


def test_a_word_that_was_not_printed_is_a_difference():
    assert "is in effect" in differs(SHOWN.replace("is in force", "is in effect"))


def test_a_line_that_was_left_out_without_dots_is_a_difference():
    assert differs(SHOWN.replace("…\n", "")) != ""


def test_parts_in_another_order_are_a_difference():
    first, second = SHOWN.split("…\n")
    assert differs(second + "…\n" + first) != ""


def test_the_wrong_kernel_is_a_difference():
    assert "6.12.115" in differs(SHOWN.replace("into kernel 6.12.117", "into kernel 6.12.115"))


def test_the_commands_that_the_readme_shows_are_those_that_are_compared():
    """`make demo` and the smoke test of tests/vm compare both."""
    shown = picture.shown()
    assert set(shown) == {"dnf upgrade", "livepatch status"}
    for command in shown:
        assert f'_compare("{command}", ' in tree.read("vm/demo.py"), command
        assert f'("{command}", ' in tree.read("tests/vm/test_upgrade.py"), command
    blocks = re.findall(r"^```(.*?)^```$", tree.read("README.md"), re.M | re.S)
    assert all(block.startswith("\n# ") for block in blocks), "a block begins with the command"


def test_another_limit_of_the_wait_is_no_difference():
    shown = "# dnf upgrade\nLoading live patch X (at most 240 s).\n"
    assert differs(shown, "Loading live patch X (at most 780 s).\n") == ""
    assert differs(shown, "Loading live patch Y (at most 240 s).\n") != ""


def test_the_days_that_are_left_may_differ():
    shown = STATUS.replace("6.12.9+", "6.12.115+").replace("12 days", "3632 days")
    assert differs("# livepatch status\n" + shown, STATUS) == ""
    assert differs(shown.replace("2036", "2035"), STATUS) != ""


def test_the_status_block_is_what_the_product_makes_of_the_demos_facts():
    """Quicker than a virtual machine: a changed word of `livepatch status` fails here first."""
    kernel = model.Kernel(picture.OLD, "x86_64", "", "", True)
    at = {"advisory": "DEMO-2026:0001", "severity": "Important", "fixed_in": picture.NEW}
    rows = (
        model.CveState(patches.CMDLINE, model.CLOSED_LIVE, by="livepatch_demo_1", **at),
        model.CveState(
            patches.UNFIXABLE, model.REBOOT_ONLY, reason="changes data that running tasks hold", **at
        ),
        model.CveState(patches.VERSION, model.OPEN, **at),
    )
    package = "klp-patch-" + picture.OLD.replace(".", "_").replace("+", "_") + "-1-1.x86_64"
    row = look.PatchRow(
        package, "livepatch_demo_1", "", "livepatch", True, True, True, False, True, "", (), look.IN_FORCE
    )
    report = status.Report(
        now="",
        kernel=kernel,
        inputs=Inputs(picture.OLD),
        exposure=model.Exposure(model.EXACT, "", "", rows),
        beyond=(),
        patches=(row,),
        loaded=(),
        modules=(),
        kernels=(),
        core=(),
        installed_known=True,
        state="attention",
        support_end=patches.SUPPORT_END,
        days_left=3632,
        retry="",
        skipped="",
        problems=(),
        taints=("live patched (K)", "unsigned module (E)"),
    )
    advice = reboot.advise(report, picture.NEW, (), lambda one, other: (one > other) - (one < other))
    shown = picture.shown()["livepatch status"].splitlines()
    assert report_text.status_text(report, advice) == shown[1:]
