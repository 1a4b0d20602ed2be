# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal in the README: the picture holds the text, and the demo fails when the text is not true."""

import os
import sys
import xml.etree.ElementTree

from tests.packaging.support import tree

sys.path.insert(0, tree.TOP)

from vm import picture  # noqa: E402

TEXT = tree.read("docs/images/upgrade.txt")
SVG = tree.read("docs/images/upgrade.svg")
RUN = """\
Last metadata expiration check: 0:00:01 ago.
Live patching, running kernel 6.12.9+deb12-amd64:
  Closed now    : 1: CVE-1900-0001 (Important)
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
  Closed now    : 1: CVE-1900-0001 (Important)
…
 klp-patch-6_12_115_deb12-amd64   x86_64   1-1                     demo   107 k
Live patch klp-patch-6_12_115_deb12-amd64-1-1.x86_64 is in force, transition 6.4 s.
  CVEs open until a reboot into kernel 6.12.117+deb12-amd64: CVE-1900-0002
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
