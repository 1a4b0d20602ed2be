# SPDX-License-Identifier: GPL-2.0-or-later
"""What the documents say must be what the code does: keys, defaults, messages, verbs, examples."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from dnf_plugin_livepatch.base import config
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.cli import main as host_cli
from dnf_plugin_livepatch.messages import catalogue
from dnf_plugin_livepatch.repotool import cli as repotool_cli
from dnf_plugin_livepatch.rpmtool import cli as rpmtool_cli
from tests.packaging.support import tree

FILES = tree.tracked()
MARKDOWN = [name for name in FILES if name.endswith(".md")]
HOST_MAN = ["man/dnf-livepatch.8", "man/livepatch.8", "man/livepatch.conf.5"]
DEFAULTS = config.Config()._asdict()


def plain(name):
    """A man page's source without its font macros and escapes."""
    text = re.sub(r"\\f[A-Z]|\\&", "", tree.read(name)).replace("\\-", "-")
    return re.sub(r"^\.[BIR]{1,2} ", "", text, flags=re.M)


def documented_keys():
    """Key -> default, as livepatch.conf(5) says."""
    found = re.findall(r'^([a-z_]+) " = .*\(default: (.*)\)"$', plain("man/livepatch.conf.5"), re.M)
    return {key: "" if default == "empty" else default for key, default in found}


def test_every_key_is_in_the_man_page():
    assert set(documented_keys()) == set(DEFAULTS)


@pytest.mark.parametrize("key", DEFAULTS)
def test_the_man_page_has_the_default(key):
    text = documented_keys()[key]
    parsed, faults = config.parse(f"[main]\n{key} = {text}\n")
    assert faults == () and getattr(parsed, key) == DEFAULTS[key]
    # A default that only looks right because the key was ignored would pass the line above.
    assert config.parse(f"[main]\n{key} = no such value\n")[1] or isinstance(DEFAULTS[key], tuple)


def test_the_shipped_configuration_shows_every_key_with_its_default():
    text = tree.read("etc/livepatch.conf")
    shown = re.sub(r"^#([a-z_]+ =)", r"\1", text, flags=re.M)
    assert set(re.findall(r"^([a-z_]+) =", shown, re.M)) == set(DEFAULTS)
    assert config.parse(shown) == (config.Config(), ())
    assert config.parse(text) == (config.Config(), ())


def test_the_examples_of_the_configuration_are_right():
    blocks = re.findall(r"^\.nf\n(\[main\]\n.*?)^\.fi", tree.read("man/livepatch.conf.5"), re.M | re.S)
    assert len(blocks) >= 5
    for block in blocks:
        parsed, faults = config.parse(block.replace("\\-", "-"))
        assert faults == () and parsed != config.Config(), block


@pytest.mark.parametrize("key", sorted(set(DEFAULTS) - {"enabled"}))
def test_every_key_has_an_effect(key):
    """DNF itself reads ``enabled``; the others are read somewhere in the host side."""
    host = re.compile(r"dnf_plugin_livepatch/(?!rpmtool/|repotool/)")
    code = "".join(tree.read(name) for name in FILES if host.match(name))
    assert re.search(rf"\b(config|settings)\.{key}\b", code)


def examples(page):
    """The commands in the section EXAMPLES of a man page; a command may go on after a backslash."""
    section = tree.read(page).split(".SH EXAMPLES\n")[1].split("\n.SH ")[0]
    blocks = re.findall(r"^\.nf\n(.*?)^\.fi", section, re.M | re.S)
    return "".join(blocks).replace("\\e\n", "").replace("\\-", "-").splitlines()


#: The exit status of examples that need more than an empty root, where that is neither 0 nor 5.
REFUSED = {"livepatch unload": 1, "livepatch unblock": 1, "livepatch vex": 1, "livepatch check": 3}


@pytest.mark.parametrize("command", [line for line in examples("man/livepatch.8") if "livepatch " in line])
def test_the_examples_of_livepatch_run(command, tmp_path):
    """Below an empty root, with a stand-in for systemctl that only says so: nothing here may reboot."""
    (tmp_path / "bin").mkdir()
    for name, body in (
        ("systemctl", 'echo "stand-in: systemctl $*"'),
        ("livepatch", f'exec /usr/bin/python3 -B {tmp_path}/livepatch.py "$@"'),
    ):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    # The empty root stands for the machine itself: another root than its own is only looked at.
    (tmp_path / "livepatch.py").write_text(
        "import sys\n"
        "from dnf_plugin_livepatch.base.paths import Paths\n"
        "from dnf_plugin_livepatch.host.cli import context, main\n"
        "context.Paths = lambda root, foreign: Paths(root)\n"
        "sys.exit(main.main())\n"
    )
    environment = {
        "PATH": f"{tmp_path}/bin:/usr/bin:/bin",
        "PYTHONPATH": tree.TOP,
        "LIVEPATCH_ROOT": str(tmp_path),
    }
    for folder in ("/var/lib/node_exporter", "/run/motd.d"):
        (tmp_path / folder[1:]).mkdir(parents=True)
        command = command.replace(folder, f"{tmp_path}{folder}")
    result = tree.run("sh", "-c", command, env=environment)
    allowed = [status for words, status in REFUSED.items() if command.startswith(words)] or [0, 5]
    assert result.returncode in allowed, result.stdout
    assert "Traceback" not in result.stdout


def blocks(page):
    """The commands in the blocks of a Markdown page, one a line."""
    found = re.findall(r"^```\w*\n(.*?)^```$", tree.read(page), re.M | re.S)
    return "".join(found).replace("\\\n", "").splitlines()


RPM_COMMANDS = [*examples("man/livepatch-rpm.1"), *blocks("docs/how-to/packagers.md")]


@pytest.mark.parametrize("command", [line for line in RPM_COMMANDS if line.startswith("livepatch-rpm ")])
def test_the_examples_of_livepatch_rpm_are_right_usage(command):
    rpmtool_cli.parser().parse_args(shlex.split(command)[1:])


def test_the_examples_of_livepatch_rpm_that_need_no_kernel_run(tmp_path):
    """In their order, since the second looks at the package that the first makes."""
    wanted = [
        line for line in examples("man/livepatch-rpm.1") if re.search(r" empty | inspect | --list", line)
    ]
    assert len(wanted) == 3
    for line in wanted:
        argv = [sys.executable, f"{tree.TOP}/bin/{line.split()[0]}", *shlex.split(line)[1:]]
        environment = {**os.environ, "PYTHONPATH": tree.TOP}
        result = subprocess.run(
            argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0 and result.stdout, result.stderr


def test_the_output_in_the_page_of_the_profiles_is_what_the_command_prints(tmp_path):
    """The page breaks the line; a JSON object is the same in one line."""
    page = tree.read("docs/reference/profiles.md")
    command, shown = re.search(r"^```\n\$ (printf .*?match)\n(\{.*?\})\n```$", page, re.M | re.S).groups()
    command = command.replace("livepatch profiles", f"/usr/bin/python3 -B {tree.TOP}/bin/livepatch profiles")
    environment = {**os.environ, "PYTHONPATH": tree.TOP, "LIVEPATCH_ROOT": str(tmp_path)}
    assert json.loads(tree.run("sh", "-c", command, env=environment).stdout) == json.loads(shown)


def test_every_message_is_documented_and_used():
    described = set(re.findall(r"^#+ `?([a-z0-9-]+)`?$", tree.read("docs/reference/messages.md"), re.M))
    assert set(catalogue.CATALOGUE) == described
    code = "".join(
        tree.read(name)
        for name in FILES
        if name.startswith("dnf_plugin_livepatch/") and "/messages" not in name
    )
    code += "".join(re.findall(r"problem\(.*", tree.read("dnf_plugin_livepatch/messages/catalogue.py")))
    unused = [identifier for identifier in catalogue.CATALOGUE if f'"{identifier}"' not in code]
    assert unused == [], "in messages.py but never said"


def test_the_reference_quotes_the_messages():
    made = tree.run(sys.executable, "scripts/messages").stdout
    assert made == tree.read("docs/reference/messages.md"), "run: scripts/messages --write"


@pytest.mark.parametrize("name", MARKDOWN)
def test_links_lead_somewhere(name):
    """Links between files; an anchor must be a heading of its file."""
    for target in re.findall(r"\]\(([^)\s]+)\)", tree.read(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
        assert os.path.exists(os.path.join(tree.TOP, file)), f"{name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", tree.read(file), re.M)
            slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{name}: {target}"


def make_targets():
    """Target names of the Makefile that `make` lists."""
    listing = subprocess.run(["make"], cwd=tree.TOP, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  make (\S+)", listing, re.M))


@pytest.mark.parametrize("name", MARKDOWN)
def test_make_targets_named_in_documents_exist(name):
    named = set(re.findall(r"`make ([a-z-]+)|^ *(?:\$ |# )?make ([a-z-]+)", tree.read(name), re.M))
    assert {first or second for first, second in named} - make_targets() == set()


TOPS = {name.split("/")[0] for name in FILES if "/" in name}
ROOMS = {name.split("/")[1] for name in FILES if name.startswith("dnf_plugin_livepatch/")}


@pytest.mark.parametrize("name", MARKDOWN)
def test_places_in_the_tree_that_documents_name_exist(name):
    """`host/look`, `planning/lines.py`, and every path in text or command that begins with a folder here."""
    text = tree.read(name)
    words = {word.strip("/") for word in re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", text) if "/" in word}
    tops = "|".join(map(re.escape, sorted(TOPS)))
    words.update(re.findall(rf"(?<![\w./…'-])((?:{tops})/[\w./-]*\w)", text))
    # NAME and acme stand for others; klp-build is in the kernel's tree.
    named = {
        word
        for word in words
        if word.split("/")[0] in TOPS | ROOMS and not re.search(r"\b(NAME|FOLDER|acme|klp-build)\b", word)
    }
    places = [os.path.join(tree.TOP, folder) for folder in ("", "dnf_plugin_livepatch")]
    gone = [
        word
        for word in sorted(named)
        if not any(
            os.path.exists(os.path.join(place, word + end)) for place in places for end in ("", ".py")
        )
    ]
    assert gone == []


def test_functions_that_contributing_names_exist():
    found = re.findall(r"`(\w+)(?:\(\))?` in `([\w/]+\.py)`", tree.read("CONTRIBUTING.md"))
    assert len(found) > 2
    for word, name in found:
        assert re.search(rf"^(def )?{word}\b", tree.read(f"dnf_plugin_livepatch/{name}"), re.M), (word, name)


def test_the_readme_opens_with_the_commands():
    text = tree.read("README.md")
    install, demo, test = (
        text.index("    " + words) for words in ("dnf install", "make demo", "make test ")
    )
    assert install < 2000 and install < demo < test < text.index("## How it works")
    assert "`make test-all`" in text and "make test test-rest" in tree.read(".ci/run")


def test_documents_named_in_code_exist():
    """In docstrings, comments and remedies: docs/… as it lies in the tree."""
    named = {
        (name, path.rstrip("."))
        for name in FILES
        if not name.endswith((".md", ".svg", ".rpm", ".gz"))
        for path in re.findall(r"(?<![\w/.{}])docs/[\w./-]+\.(?:md|json|svg|txt)\b", tree.read(name))
    }
    assert {item for item in named if not os.path.exists(os.path.join(tree.TOP, item[1]))} == set()


def test_pages_refer_to_pages_that_exist():
    ours = {os.path.basename(name) for name in FILES if name.startswith("man/")}
    for page in ours:
        text = plain("man/" + page)
        for name, section in re.findall(r"^((?:dnf-)?livepatch[a-z.-]*) \(([158])\)", text, re.M):
            assert f"{name}.{section}" in ours, f"{page}: {name}({section})"


def verbs(parser):
    """Verb -> its own long options, of an argparse parser; "" -> those of the program."""
    found = {"": options(parser)}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update({name: options(sub) for name, sub in action.choices.items()})
    return found


def options(parser):
    """Its long options, with those of the verbs below a verb."""
    found = set()
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            found.update(text for text in action.option_strings if text.startswith("--"))
        if isinstance(action, argparse._SubParsersAction) and parser.prog.count(" "):
            found.update(text for sub in action.choices.values() for text in options(sub))
    return found


PROGRAMS = {
    "livepatch": ("man/livepatch.8", host_cli.parser),
    "livepatch-rpm": ("man/livepatch-rpm.1", rpmtool_cli.parser),
    "livepatch-repo": ("man/livepatch-repo.1", repotool_cli._parser),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_verb_and_option_is_in_the_man_page(program):
    page, parser = PROGRAMS[program]
    source = tree.read(page)
    section = plain(page).split(".SH VERBS\n")[1].split("\n.SH ")[0]
    documented = set(re.findall(r"^\.TP\n(?:\.BR? )?([a-z-]+)", section, re.M))
    assert documented == set(verbs(parser())) - {""}
    for verb, names in verbs(parser()).items():
        missing = [name for name in names - {"--help"} if name not in source.replace("\\-", "-")]
        assert missing == [], f"{verb}: {missing}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_verb_has_an_example(program):
    page, parser = PROGRAMS[program]
    shown = set(re.findall(rf"\b{program} ([a-z-]+)", "\n".join(examples(page))))
    assert set(verbs(parser())) - {""} - shown == set()


def complete(path, program, *words):
    """What bash offers for the last of ``words``, with the program of the work tree in the path."""
    shim = path / program
    shim.write_text(
        f'#!/bin/sh\nPYTHONPATH={tree.TOP} exec {sys.executable} -B {tree.TOP}/bin/{program} "$@"\n'
    )
    shim.chmod(0o755)
    script = (
        f"PATH={path}:$PATH; source completion/{program};"
        f"COMP_WORDS=({' '.join(map(repr, (program, *words)))});"
        f"COMP_CWORD={len(words)}; $(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/') {program};"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    result = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tree.TOP, capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return set(result.stdout.split())


@pytest.mark.parametrize("program", PROGRAMS)
def test_completion_offers_every_verb_and_option(program, tmp_path):
    known = verbs(PROGRAMS[program][1]())
    assert set(known) - {""} == {
        word for word in complete(tmp_path, program, "") if not word.startswith("-")
    }
    for verb, names in known.items():
        words = (verb, "--") if verb else ("--",)
        assert complete(tmp_path, program, *words) == names


def test_the_map_of_the_documents_is_complete():
    """Every page but the vendors' and the evidence, whose folders are named."""
    listed = tree.read("docs/README.md")
    pages = [name[len("docs/") :] for name in MARKDOWN if name.startswith("docs/")]
    pages = [page for page in pages if not re.match("reference/vendors/|evidence/|README", page)]
    assert [page for page in pages if f"]({page})" not in listed] == []
    assert "](reference/vendors)" in listed and "](evidence)" in listed


def test_every_schema_is_in_the_index():
    index = tree.read("docs/reference/schemas.md")
    schemas = [name[len("docs/") :] for name in FILES if name.startswith("docs/schemas/")]
    assert schemas and [name for name in schemas if f"](../{name})" not in index] == []


@pytest.mark.parametrize("page", ["exit-codes", "schemas"])
def test_verbs_named_in_the_reference_exist(page):
    named = re.findall(r"`(livepatch(?:-rpm|-repo)?) ([a-z-]+)", tree.read(f"docs/reference/{page}.md"))
    assert named and {(one, verb) for one, verb in named if verb not in verbs(PROGRAMS[one][1]())} == set()


def test_every_exit_code_of_the_man_pages_is_in_the_reference():
    listed = tree.read("docs/reference/exit-codes.md")
    for page in ("man/livepatch.8", "man/dnf-livepatch.8", "man/livepatch-rpm.1", "man/livepatch-repo.1"):
        section = tree.read(page).split(".SH EXIT STATUS\n")[1].split("\n.SH ")[0]
        for code in re.findall(r"^\.TP\n\.B (\d+)$", section, re.M):
            assert re.search(rf"\| (.*, )?{code}(, .*)? \|", listed), f"{page}: {code}"


def test_the_reference_has_every_exit_code_that_livepatch_prints():
    listed = tree.read("docs/reference/exit-codes.md")
    for code in re.findall(r"^  (\d+) ", host_cli.EPILOG, re.M):
        assert f"| {code} |" in listed, code


def test_promised_paths_and_keys_are_the_codes_own():
    promised = tree.read("docs/reference/stability.md")
    paths = Paths()
    for path in (
        paths.config,
        *paths.profile_dirs,
        paths.manifest_dir("R") + "/M.json",
        paths.module_dir("R") + "/M.ko",
    ):
        assert f"`{path}`" in promised, path
    units = {os.path.basename(name) for name in FILES if name.startswith("systemd/")}
    assert set(re.findall(r"`([a-z-]+\.(?:service|timer))`", promised)) <= units


OUT = ("but for", "for want of", "all the same", "of ours", "by itself")
PROSE = [name for name in FILES if re.search(r"\.md$|^man/", name)]


# docs/reference/messages.md follows the catalogue of messages, which these rules do not cover yet.
@pytest.mark.parametrize("name", [name for name in PROSE if name != "docs/reference/messages.md"])
def test_documents_keep_the_style(name):
    """The rules of CONTRIBUTING.md that a program can check."""
    text = plain(name) if name.startswith("man/") else tree.read(name)
    text = re.sub(r"^## Language$.*?^## ", "", text, flags=re.M | re.S)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    words = " ".join(text.split())
    assert [phrase for phrase in OUT if re.search(rf"\b{phrase}\b", words)] == []
    begins = r"(?:^|\n)(?:\n|##+ |[*-] |\d+\. |\.S[HS] )(?:What|That) \S+ .*[^?]\n"
    assert re.findall(begins, text) == []
