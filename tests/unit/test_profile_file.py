# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import names
from dnf_plugin_livepatch.vendors import profile_file, profiles, templates

GOOD = "[profile]\ntitle = Mine\n[match]\nkernel = {kver}-{krel}\nname = mine-{kver}-{krel}\n"


def write(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_the_administrators_file_replaces_the_shipped_one_of_its_name(tmp_path):
    write(tmp_path / "usr", "kpatch.conf", GOOD.replace("Mine", "shipped"))
    write(tmp_path / "usr", "other.conf", GOOD)
    write(tmp_path / "etc", "kpatch.conf", GOOD.replace("Mine", "own"))
    found, faults = profiles.load((str(tmp_path / "usr"), str(tmp_path / "etc")))
    assert faults == () and [(p.name, p.title) for p in found] == [("kpatch", "own"), ("other", "Mine")]
    write(tmp_path / "etc", "kpatch.conf", "")
    assert [p.name for p in profiles.load((str(tmp_path / "usr"), str(tmp_path / "etc")))[0]] == ["other"]


def test_a_new_vendor_needs_no_code(tmp_path):
    write(tmp_path, "corp.conf", GOOD.replace("mine-", "corp-fix-"))
    found, faults = profiles.load((str(tmp_path),))
    assert faults == ()
    assert profiles.match(names.parse_nevra("corp-fix-6.1.2-7-3-1.x86_64"), (), (), found)[:3] == (
        "corp",
        "6.1.2-7",
        "patch",
    )


@pytest.mark.parametrize(
    "text, why",
    [
        ("title = x\n", "no key of []"),
        ("[profile\n", "no section"),
        ("[other]\n", "no section"),
        ("[profile]\ntitle\n", "no key"),
        ("[profile]\ntitle =\n", "printable"),
        ("[profile]\ntitle = \x1b[31m\n", "printable"),
        (GOOD + "name = {bad}\n", "no field"),
        (GOOD + "name = x{\n", "brace"),
        (GOOD + "name = " + "x" * 300 + "\n", "256"),
        (GOOD + "name = {kver}{krel}\n", "nothing between"),
        (GOOD + "name = {any}-{any}-{any}-{kver}-{krel}\n", "not clear"),
        (GOOD + "name = mine-{kver}\n", "does not tell krel"),
        (GOOD + "name = " + "{number}-" * 20 + "\n", "more than"),
        (GOOD + "name = a-{kver}-{krel}\n" * 40, "more than"),
        (GOOD + "kernel = {release}\n", "twice"),
        (GOOD.replace("title = Mine\n", ""), "title"),
        ("[profile]\ntitle = x\n", "neither"),
        (GOOD + "[load]\nloader = client\n", "needs [client]"),
        (GOOD + "[load]\nloader = sh -c evil\n", "neither kernel nor client"),
        (GOOD + "[load]\nmodules = lib/x\n", "absolute"),
        (GOOD + "[load]\nmodules = /lib/../etc\n", "absolute"),
        (GOOD + "[load]\nmodules = /lib/{kver}\n", "absolute"),
        (GOOD + "[load]\nruntime = kpatch*\n", "patterns"),
        (GOOD + "[load]\nruntime = -y\n", "no names"),
        (GOOD + "[client]\napply = uptrack\n", "absolute"),
        (GOOD + "[client]\napply = /bin/x {shell}\n", "absolute"),
        (GOOD + "[client]\nexit = apply x done\n", "whole number"),
        (GOOD + "[client]\nexit = apply 0 fine\n", "apply"),
        (GOOD + "[client]\nline = {id} {kver}\n", "known fields"),
        (GOOD + "[client]\ntimeout = soon\n", "whole number"),
        ("\0\xff" * 100, "no key"),
        ("#" * 70000, "larger"),
    ],
)
def test_a_malformed_file_is_one_line_and_never_an_exception(tmp_path, text, why):
    write(tmp_path, "bad.conf", text)
    write(tmp_path, "good.conf", GOOD)
    found, faults = profiles.load((str(tmp_path),))
    assert [p.name for p in found] == ["good"]
    assert len(faults) == 1 and "bad.conf" in faults[0] and why in faults[0] and "\n" not in faults[0]


def test_what_cannot_be_read_is_a_fault(tmp_path):
    (tmp_path / "dir.conf").mkdir()
    (tmp_path / "gone.conf").symlink_to("/nonexistent/file")
    write(tmp_path, "bad name.conf", GOOD)
    found, faults = profiles.load((str(tmp_path),))
    assert found == () and len(faults) == 3


def test_a_changed_file_is_read_again(tmp_path):
    write(tmp_path, "a.conf", GOOD)
    first = profiles.load((str(tmp_path),))
    assert profiles.load((str(tmp_path),)) is first
    write(tmp_path, "a.conf", GOOD.replace("Mine", "Changed since"))
    assert profiles.load((str(tmp_path),))[0][0].title == "Changed since"


@given(st.text(max_size=400))
def test_any_text_is_a_profile_or_an_error_of_its_own(text):
    try:
        profile_file.parse("x", text)
    except profile_file.ProfileError as error:
        assert "\n" not in str(error)


TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def text_of(name):
    with open(os.path.join(TREE, name), encoding="utf-8") as file:
        return file.read()


def test_the_man_page_tells_every_key_field_and_source():
    page = text_of("man/livepatch-profiles.5").replace("\\-", "-")
    sections = dict(re.findall(r"^\.SH SECTION \[(\w+)\]\n(.*?)(?=^\.SH )", page, re.M | re.S))
    told = {
        (section, key)
        for section, text in sections.items()
        for line in re.findall(r"^\.TP\n\.BR? (.*)", text, re.M)
        for key in re.findall(r"[a-z-]+", re.sub(r'"[^"]*[(][^"]*"', "", line))
    }
    assert told == set(profile_file._KEYS)
    for field in templates.FIELDS:
        assert "{" + field + "}" in page
    for word in (*profile_file.CVE_SOURCES, *profile_file.OUTCOMES):
        assert re.search(rf"^\.BR? {word}\b", page, re.M), word


@pytest.mark.parametrize("name", ["docs/reference/profiles.md", "man/livepatch-profiles.5"])
def test_the_example_does_what_the_text_around_it_says(name):
    page = text_of(name).replace("\\-", "-")
    example = re.search(r"\[profile\]\ntitle = Acme.*?modules = [^\n]*\n", page, re.S)[0]
    rules = (profile_file.parse("acme", example),)
    nevra = names.parse_nevra("acme-klp-6.1.12-3-1.0-2.acme9.x86_64")
    assert profiles.match(nevra, (), (), rules)[:3] == ("acme", "6.1.12-3.acme9.x86_64", "patch")
    assert profiles.package_name("6.1.12-3.acme9.x86_64", rules[0]) == "acme-klp-6.1.12-3"


def test_every_profile_has_a_page():
    folder = "docs/reference/vendors/"
    pages = "".join(text_of(folder + name) for name in os.listdir(f"{TREE}/{folder}"))
    shipped = {name[:-5] for name in os.listdir(TREE + "/profiles")} - {"livepatch"}
    assert {name for name in shipped if f"`{name}`" not in pages} == set()
