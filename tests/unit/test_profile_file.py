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


CLIENT = GOOD + "[client]\n"
PATH = "no absolute path with {release}, {build_id}, {module} or {srcversion}"
COMMAND = "no command that starts with an absolute path"
APART = "needs a sign before the next field that it cannot hold, such as a space"
PLACEHOLDERS = "known fields are {id}, {name}, {state} and {text}"
EXIT = "not 'apply', 'remove' or 'state', a code, and a word of done, in-force, outdated, none, unsupported"
SWITCH = "not an absolute path, a variable and a value in small letters"
FIELDS = "release, kver, krel, dist, arch, variant, flavour, base, build_id, number, word, label, any"
LONG = "k" * 41
NOISE = "\0\xff" * 100


@pytest.mark.parametrize(
    "text, fault",
    [
        ("title = x\n", "line 1: 'title' is no key of []"),
        ("[profile\n", "line 1: [profile is no section; known are profile, match, load, client"),
        ("\n\n[other]\n", "line 3: [other] is no section; known are profile, match, load, client"),
        (f"[{LONG}]", f"line 1: [{LONG[:39]} is no section; known are profile, match, load, client"),
        ("[", "line 1: [ is no section; known are profile, match, load, client"),
        ("[profile]\ntitle\n", "line 2: 'title' is no key of [profile]"),
        ("[load]\ntitle = x\n", "line 2: 'title' is no key of [load]"),
        ("[profile]\nX = x\n", "line 2: 'X' is no key of [profile]"),
        (f"[match]\n{LONG} = x\n", f"line 2: {LONG[:40]!r} is no key of [match]"),
        ("[profile]\ntitle =\n", "line 2: title is not 1 to 256 printable characters"),
        ("[profile]\ntitle = \x1b[31m\n", "line 2: title is not 1 to 256 printable characters"),
        (f"[profile]\ntitle = {'x' * 257}\n", "line 2: title is not 1 to 256 printable characters"),
        (GOOD + "name = {bad}\n", f"line 6: name: {{bad}} is no field; known are {FIELDS}"),
        (GOOD + "name = x{\n", "line 6: name: a brace that belongs to no field"),
        (GOOD + "name = }x-{kver}\n", "line 6: name: a brace that belongs to no field"),
        (GOOD + "name = {kver}{krel}\n", "line 6: name: nothing between {kver} and {krel}"),
        (GOOD + "name = {dist}{dist}\n", "line 6: name: nothing between {dist} and {dist}"),
        (
            GOOD + "name = {any}-{any}-{any}-{kver}-{krel}\n",
            "line 6: name: too many fields whose end is not clear: part them by signs they cannot hold",
        ),
        (GOOD + "name = " + "{number}-" * 20 + "\n", "line 6: name: more than 12 fields"),
        (GOOD + "name = mine-{kver}\n", "name = mine-{kver} does not tell krel"),
        (GOOD + "name = mine\n", "name = mine does not tell krel, kver"),
        (GOOD + "provides = fix = {kver}\n", "provides = fix = {kver} does not tell krel"),
        (
            GOOD.replace("{krel}", "{krel}{dist}", 1) + "evr = 1-{number}\n",
            "name = mine-{kver}-{krel} does not tell dist",
        ),
        (GOOD + "name = mine-{kver}-{krel}\n" * 32, "line 37: more than 32 values of name"),
        (GOOD + "kernel = {release}\n", "line 6: kernel is given twice"),
        (GOOD.replace("title = Mine\n", ""), "title is missing from [profile]"),
        (
            "[profile]\ntitle = x\n",
            "neither name nor provides nor [client]: it could never be of use",
        ),
        (GOOD + "[profile]\nsupport-days = 100000\n", "line 7: support-days: no whole number up to 99999"),
        (GOOD + "[profile]\nsupport-days = -1\n", "line 7: support-days: no whole number up to 99999"),
        (
            GOOD + "[profile]\ncves = manifest rumour\n",
            "line 7: cves: known sources are manifest, updateinfo, hot-updateinfo, changelog, description, "
            "info, client",
        ),
        (GOOD + "[load]\nloader = client\n", "loader = client needs [client] with apply"),
        (CLIENT + "state = /x\n[load]\nloader = client\n", "loader = client needs [client] with apply"),
        (GOOD + "[load]\nloader = sh -c evil\n", "line 7: loader: neither kernel nor client"),
        (GOOD + "[load]\ncumulative = true\n", "line 7: cumulative: neither yes nor no"),
        (GOOD + "[load]\nmodules = lib/x\n", f"line 7: modules: {PATH}"),
        (GOOD + "[load]\nmodules = /lib/../etc\n", f"line 7: modules: {PATH}"),
        (GOOD + "[load]\nmodules = /lib/{kver}\n", f"line 7: modules: {PATH}"),
        (GOOD + "[load]\nmodules = /lib/release}\n", f"line 7: modules: {PATH}"),
        (GOOD + "[load]\nmodules = /lib/{release\n", f"line 7: modules: {PATH}"),
        (GOOD + "[load]\nmodules = /lib/{rel{module}ease}\n", f"line 7: modules: {PATH}"),
        (
            GOOD + "[load]\nruntime = kpatch*\n",
            "line 7: runtime: no names of packages; patterns are not taken",
        ),
        (
            GOOD + "[load]\nruntime = kpatch -y\n",
            "line 7: runtime: no names of packages; patterns are not taken",
        ),
        (GOOD + "[load]\nswitch = /etc/x NAME\n", f"line 7: switch: {SWITCH}"),
        (GOOD + "[load]\nswitch = /etc/x NAME never more\n", f"line 7: switch: {SWITCH}"),
        (GOOD + "[load]\nswitch = /etc/x NA-ME never\n", f"line 7: switch: {SWITCH}"),
        (GOOD + "[load]\nswitch = /etc/x NAME Never\n", f"line 7: switch: {SWITCH}"),
        (GOOD + "[load]\nswitch = etc/x NAME never\n", f"line 7: switch: {PATH}"),
        (CLIENT + "apply = uptrack\n", f"line 7: apply: {COMMAND}"),
        (CLIENT + "apply = uptrack /x\n", f"line 7: apply: {COMMAND}"),
        (CLIENT + "apply = /bin/x {shell}\n", f"line 7: apply: {COMMAND}"),
        (CLIENT + "remove = /bin/x id}\n", f"line 7: remove: {COMMAND}"),
        (CLIENT + "state = /bin/x {ker{id}nel}\n", f"line 7: state: {COMMAND}"),
        (CLIENT + "exit = apply x done\n", "line 7: exit: no whole number up to 99999"),
        (CLIENT + "exit = apply 0 fine\n", f"line 7: exit: {EXIT}"),
        (CLIENT + "exit = effective 0 done\n", f"line 7: exit: {EXIT}"),
        (CLIENT + "exit = apply 0\n", f"line 7: exit: {EXIT}"),
        (CLIENT + "exit = apply 0 done now\n", f"line 7: exit: {EXIT}"),
        (CLIENT + "line = {id} {kver}\n", f"line 7: line: {PLACEHOLDERS}"),
        (CLIENT + "line = {id} text}\n", f"line 7: line: {PLACEHOLDERS}"),
        (CLIENT + "ignore = {na{id}me}\n", f"line 7: ignore: {PLACEHOLDERS}"),
        (CLIENT + "line = {id} {id}\n", "line 7: line: {id} occurs twice"),
        (CLIENT + "line = {name} {name}\n", "line 7: line: {name} occurs twice"),
        (CLIENT + "line = {state} {state}\n", "line 7: line: {state} occurs twice"),
        (CLIENT + "line = {text} {text}\n", "line 7: line: {text} occurs twice"),
        (CLIENT + "line = {text} {id}\n", "line 7: line: {text} has to be the last field"),
        (CLIENT + "line = {id}{name}\n", f"line 7: line: {{id}} {APART}"),
        (CLIENT + "line = {id}-{name}-{text}!\n", f"line 7: line: {{id}} {APART}"),
        (CLIENT + "line = {id} {name}/{state}\n", f"line 7: line: {{name}} {APART}"),
        (CLIENT + "timeout = soon\n", "line 7: timeout: no whole number up to 99999"),
        (CLIENT + "cves-file = x\n", f"line 7: cves-file: {PATH}"),
        (NOISE, "line 1: " + repr(NOISE[:40]) + " is no key of []"),
        ("#" * 65537, "larger than 65536 bytes"),
    ],
)
def test_a_malformed_file_is_one_line_and_never_an_exception(tmp_path, text, fault):
    write(tmp_path, "bad.conf", text)
    write(tmp_path, "good.conf", GOOD)
    found, faults = profiles.load((str(tmp_path),))
    assert [p.name for p in found] == ["good"]
    assert faults == (f"{tmp_path}/bad.conf: {fault}; the profile is not used",)


@pytest.mark.parametrize("name", ["", "-", "--", "a" * 41, "a.b", "a b", "ä", "a\n"])
def test_a_name_is_of_letters_digits_and_dashes(name):
    with pytest.raises(profile_file.ProfileError) as caught:
        profile_file.parse(name, GOOD)
    assert str(caught.value) == "the file's name is not of letters, digits and dashes"


WHOLE = """
# Every key.
; Each kind of comment.
[profile]
title = Acme # Linux; 2
support-days = 99999
cves = client info description changelog hot-updateinfo updateinfo manifest
info = /{module}-{srcversion}
[match]
  kernel = {kver}-{krel}{dist}.{arch}{variant}
name = acme-{kver:_}-{krel:_}
name = acme = {kver}-{krel}
evr = 1.0-{number}{dist}
provides = acme = {release}
provides=acme-{kver}-{krel}{dist}
empty = 1.0-0
empty = 1-*
kernels = 6. 7.1.
not-kernels = 6.9. 6.8.
dists = .acme .corp
name-dists = .acme .other
[load]
loader = client
modules = /lib/a..b/{release}
modules = /lib/{build_id}
runtime = acme-tools acme-lib
cumulative = no
scriptlet = yes
switch = /etc/acme LOAD never
[client]
apply = /bin/acme apply {id} --kernel={kernel}
apply = /bin/other {release}
remove = /bin/acme remove
state = /bin/acme list
effective = /bin/acme uname
line = [{id}] {name}: {state}, {text}
line = {text}
ignore = Patches of {name}
ignore = None
only = kernel-{kernel}/
active = ON GOOD
inactive = OFF BAD
exit = apply 0 done
exit = remove 1 none
exit = state 2 in-force
timeout = 9
absent = Install acme.
cves-file = /proc/acme
"""


def test_every_key_is_read():
    assert profile_file.parse("acme-2", WHOLE, "/etc/acme-2.conf") == profile_file.Profile(
        name="acme-2",
        title="Acme # Linux; 2",
        loader="acme-2",
        module_dirs=("/lib/a..b/{release}", "/lib/{build_id}"),
        runtime=("acme-tools", "acme-lib"),
        cumulative=False,
        scriptlet=True,
        switch=("/etc/acme", "LOAD", "never"),
        cves=("client", "info", "description", "changelog", "hot-updateinfo", "updateinfo", "manifest"),
        info="/{module}-{srcversion}",
        support_days=99999,
        kernel="{kver}-{krel}{dist}.{arch}{variant}",
        names=("acme-{kver:_}-{krel:_}", "acme = {kver}-{krel}"),
        evr="1.0-{number}{dist}",
        provides=("acme = {release}", "acme-{kver}-{krel}{dist}"),
        empty=("1.0-0", "1-*"),
        kernels=("6.", "7.1."),
        not_kernels=("6.9.", "6.8."),
        dists=(".acme", ".corp"),
        name_dists=(".acme", ".other"),
        client=profile_file.Client(
            title="acme-2",
            apply=(("/bin/acme", "apply", "{id}", "--kernel={kernel}"), ("/bin/other", "{release}")),
            remove=(("/bin/acme", "remove"),),
            state=(("/bin/acme", "list"),),
            effective=(("/bin/acme", "uname"),),
            lines=("[{id}] {name}: {state}, {text}", "{text}"),
            ignore=("Patches of {name}", "None"),
            only="kernel-{kernel}/",
            active=("ON", "GOOD"),
            inactive=("OFF", "BAD"),
            exits=(("apply", 0, "done"), ("remove", 1, "none"), ("state", 2, "in-force")),
            timeout=9,
            absent="Install acme.",
            cves_file="/proc/acme",
        ),
        file="/etc/acme-2.conf",
    )


def test_most_keys_may_be_left_out():
    assert profile_file.parse("mine", GOOD) == profile_file.Profile(
        name="mine", title="Mine", kernel="{kver}-{krel}", names=("mine-{kver}-{krel}",)
    )


@pytest.mark.parametrize(
    "text, field, value",
    [
        (GOOD + "[load]\nloader = kernel\ncumulative = yes\n", "loader", "kernel"),
        (CLIENT + "title = Other\nstate = /x\n", "loader", "kernel"),
        (f"{GOOD}[profile]\ninfo = /{'x' * 255}\n", "info", "/" + "x" * 255),
        (GOOD + "evr = {krel}-1\nname = a-{kver}\n", "evr", "{krel}-1"),
        (
            GOOD + "name = b-{kver}-{krel}\n" * 31,
            "names",
            ("mine-{kver}-{krel}",) + ("b-{kver}-{krel}",) * 31,
        ),
        (GOOD + "provides = fix-{build_id}\nname = a\n", "names", ("mine-{kver}-{krel}", "a")),
        ("[profile]\ntitle = x\n[match]\nprovides = fix = {release}\n", "names", ()),
        (
            "[profile]\ntitle = x\n[client]\nstate = /x\n",
            "client",
            profile_file.Client("x", state=(("/x",),)),
        ),
    ],
)
def test_a_profile_at_its_bounds_is_a_profile(text, field, value):
    assert getattr(profile_file.parse("x", text), field) == value


def test_a_client_has_a_title_of_its_own():
    client = profile_file.parse("x", CLIENT + "title = Other\n").client
    assert client == profile_file.Client("Other")


def test_what_cannot_be_read_is_a_fault(tmp_path):
    (tmp_path / "dir.conf").mkdir()
    (tmp_path / "gone.conf").symlink_to("/nonexistent/file")
    write(tmp_path, "bad name.conf", GOOD)
    found, faults = profiles.load((str(tmp_path),))
    assert found == ()
    assert faults == (
        f"{tmp_path}/bad name.conf: the file's name is not of letters, digits and dashes; "
        "the profile is not used",
        f"{tmp_path}/dir.conf: Is a directory; the profile is not used",
        f"{tmp_path}/gone.conf: No such file or directory; the profile is not used",
    )


def test_the_shipped_profiles_are_read_where_the_first_folder_is_not_there(tmp_path):
    shipped = sorted(name[:-5] for name in os.listdir(TREE + "/profiles"))
    shipped.remove("livepatch")
    for dirs in ((), ("/nonexistent",), ("/nonexistent", str(tmp_path))):
        profiles._cache.clear()
        found, faults = profiles.load(dirs)
        assert faults == () and [p.name for p in found] == ["livepatch", *shipped]
        assert found[0].file == TREE + "/profiles/livepatch.conf"


def test_only_files_named_conf_in_any_of_the_folders_are_profiles(tmp_path):
    for name in (".hidden.conf", "a.conf", "b.conf~", "c", "livepatch.conf", "Z.conf"):
        write(tmp_path / "usr", name, GOOD)
    write(tmp_path / "etc", "d.conf", GOOD)
    dirs = (str(tmp_path / "usr"), "/nonexistent", str(tmp_path / "etc"))
    found, faults = profiles.load(dirs)
    assert [p.name for p in found] == ["livepatch", "Z", "a", "d"] and faults == ()


def test_a_file_has_at_most_65536_bytes_and_any_of_them_in_comments(tmp_path):
    path = tmp_path / "a.conf"
    path.write_bytes(GOOD.encode() + b"#" + b"\xff" * (65535 - len(GOOD)))
    assert path.stat().st_size == 65536
    assert profiles.load((str(tmp_path),))[1] == ()
    # A file that no memory could hold, and no disk: only its beginning may be read.
    os.truncate(path, 1 << 43)
    assert profiles.load((str(tmp_path),))[1] == (
        f"{path}: larger than 65536 bytes; the profile is not used",
    )


def test_at_most_64_profiles_are_read(tmp_path):
    for number in range(64):
        write(tmp_path, f"p{number:02}.conf", GOOD)
    found, faults = profiles.load((str(tmp_path),))
    assert len(found) == 64 and faults == ()
    for number in (64, 65):
        write(tmp_path, f"p{number}.conf", GOOD)
    found, faults = profiles.load((str(tmp_path),))
    assert [p.name for p in found] == [f"p{number:02}" for number in range(64)]
    assert faults == ("more than 64 profiles; 2 are not used",)


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
