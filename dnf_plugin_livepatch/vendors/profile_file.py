# SPDX-License-Identifier: GPL-2.0-or-later
"""One profile: its fields, and the reader of its file. Pure; docs/reference/profiles.md is the reference.

Lines are ``key = value`` below ``[profile]``, ``[match]``, ``[load]`` or ``[client]``; a key given
again adds one more value. A ``#`` or ``;`` starts a comment only at the start of a line.
"""

from __future__ import annotations

import re

from ..base import names
from ..base.typed import TYPE_CHECKING, NamedTuple
from . import templates

if TYPE_CHECKING:
    from typing import Callable

_NAME = re.compile(r"(?=-*[A-Za-z0-9])[A-Za-z0-9-]{1,40}\Z")
_PACKAGE = re.compile(r"[A-Za-z0-9][^*?\[\x80-\U0010ffff]*\Z")
#: The signs that {id}, {name} and {state} of a client's line may hold. Two of them have another sign between
#: them, which neither crosses: so the time that a line takes grows with its length alone.
_INSIDE_FIELDS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/@:+-")
MAX_VALUE = 256
MAX_VALUES = 32
CVE_SOURCES = ("manifest", "updateinfo", "hot-updateinfo", "changelog", "description", "info", "client")
OUTCOMES = ("done", "in-force", "outdated", "none", "unsupported")


class Client(NamedTuple):
    """A vendor's own program that loads patches, as data; ``host/clients/client.py`` runs it.

    ``apply``, ``remove``, ``state`` and ``effective`` are command lines; the first whose program exists is
    run. They may hold {release} (``uname -r``), {kernel} (the release without architecture) and {id}.
    A verb without a command line is one that the client does not have, or that must not be used. ``lines``
    are the rules for the output of ``state``, with the fields {id}, {name}, {state} and {text}; every other
    line must be in ``ignore``. ``only`` is the beginning of the {name} of each patch of a kernel. ``exits``
    are (verb, exit code, outcome); ``done`` of the verb ``state`` means that the output decides. ``absent``
    is the advice to a person where the client is missing, ``cves_file`` a file that lists the CVEs in force.
    """

    title: str
    apply: tuple[tuple[str, ...], ...] = ()
    remove: tuple[tuple[str, ...], ...] = ()
    state: tuple[tuple[str, ...], ...] = ()
    effective: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    only: str = ""
    active: tuple[str, ...] = ()
    inactive: tuple[str, ...] = ()
    exits: tuple[tuple[str, int, str], ...] = ()
    timeout: int = 60
    absent: str = ""
    cves_file: str = ""


class Profile(NamedTuple):
    """One vendor's rules. ``loader`` is ``kernel``, or the profile's own name where ``client`` loads.

    ``module_dirs`` hold {release} and {build_id}; use ``profiles.directories``. ``cves`` are the
    sources of CVE identifiers beside updateinfo, best first; ``info`` is the path of the CVE file of
    one module, with {module} and {srcversion}. ``support_days`` is how many days after a kernel's release
    its vendor patches the kernel, 0 for unknown. ``runtime`` are the names of the vendor's own packages
    that a patch may bring along. ``scriptlet`` is set where the package's own scriptlet or a service of its
    vendor loads the modules too, and leaves them in the kernel when the package goes. ``switch`` is a file,
    a variable in the file, and the value, in small letters, with which the file's owner forbids all loading;
    () where the vendor has no such file.
    """

    name: str
    title: str
    loader: str = "kernel"
    module_dirs: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    cumulative: bool = True
    scriptlet: bool = False
    switch: tuple[str, ...] = ()
    cves: tuple[str, ...] = ("manifest", "updateinfo")
    info: str = ""
    support_days: int = 0
    kernel: str = "{release}"
    names: tuple[str, ...] = ()
    evr: str = ""
    provides: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    not_kernels: tuple[str, ...] = ()
    dists: tuple[str, ...] = ()
    name_dists: tuple[str, ...] = ()
    client: Client | None = None
    file: str = ""


class ProfileError(ValueError):
    """The file is no profile that may be acted on; str() names the line and the fault."""


def _rule(text: str) -> str:
    templates.tokens(text)
    return text


def _flag(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("neither yes nor no")
    return text == "yes"


def _count(text: str) -> int:
    number = names.decimal(text, 5)
    if number is None:
        raise ValueError("no whole number up to 99999")
    return number


def _stray(text: str, *known: str) -> bool:
    """Whether a brace in ``text`` belongs to none of the placeholders ``known``."""
    for field in known:
        # With nothing in place of the placeholder, "{na{id}me}" would become "{name}".
        text = text.replace("{" + field + "}", " ")
    return "{" in text or "}" in text


def _path(text: str) -> str:
    stray = _stray(text, "release", "build_id", "module", "srcversion")
    if stray or not text.startswith("/") or ".." in text.split("/"):
        raise ValueError("no absolute path with {release}, {build_id}, {module} or {srcversion}")
    return text


def _argv(text: str) -> tuple[str, ...]:
    if not text.startswith("/") or _stray(text, "release", "kernel", "id"):
        raise ValueError("no command that starts with an absolute path")
    return tuple(text.split())


def _line(text: str) -> str:
    for field in ("{id}", "{name}", "{state}", "{text}"):
        if text.count(field) > 1:
            raise ValueError(f"{field} occurs twice")
    if _stray(text, "id", "name", "state", "text"):
        raise ValueError("known fields are {id}, {name}, {state} and {text}")
    parts = re.split(r"(\{(?:id|name|state|text)\})", text)
    for place in range(1, len(parts) - 1, 2):
        after, last = parts[place + 1], place + 2 == len(parts)
        if parts[place] == "{text}" and not last:
            raise ValueError("{text} has to be the last field")
        if parts[place] != "{text}" and not last and _INSIDE_FIELDS.issuperset(after):
            why = "needs a sign before the next field that it cannot hold, such as a space"
            raise ValueError(f"{parts[place]} {why}")
    return text


def _exit(text: str) -> tuple[str, int, str]:
    words = text.split()
    if len(words) != 3 or words[0] not in ("apply", "remove", "state") or words[2] not in OUTCOMES:
        raise ValueError(f"not 'apply', 'remove' or 'state', a code, and a word of {', '.join(OUTCOMES)}")
    return words[0], _count(words[1]), words[2]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _packages(text: str) -> tuple[str, ...]:
    words = tuple(text.split())
    if not all(_PACKAGE.match(word) for word in words):
        raise ValueError("no names of packages; patterns are not taken")
    return words


def _switch(text: str) -> tuple[str, ...]:
    words = tuple(text.split())
    if len(words) != 3 or not (words[1].isidentifier() and words[2] == words[2].lower() and _path(words[0])):
        raise ValueError("not an absolute path, a variable and a value in small letters")
    return words


def _sources(text: str) -> tuple[str, ...]:
    if not set(text.split()) <= set(CVE_SOURCES):
        raise ValueError(f"known sources are {', '.join(CVE_SOURCES)}")
    return tuple(text.split())


def _loader(text: str) -> str:
    if text not in ("kernel", "client"):
        raise ValueError("neither kernel nor client")
    return text


# section, key -> field, reader, and whether the key may be given again.
_KEYS: dict[tuple[str, str], tuple[str, Callable[[str], object], bool]] = {
    ("profile", "title"): ("title", str, False),
    ("profile", "support-days"): ("support_days", _count, False),
    ("profile", "cves"): ("cves", _sources, False),
    ("profile", "info"): ("info", _path, False),
    ("match", "kernel"): ("kernel", _rule, False),
    ("match", "name"): ("names", _rule, True),
    ("match", "evr"): ("evr", _rule, False),
    ("match", "provides"): ("provides", _rule, True),
    ("match", "empty"): ("empty", str, True),
    ("match", "kernels"): ("kernels", _words, False),
    ("match", "not-kernels"): ("not_kernels", _words, False),
    ("match", "dists"): ("dists", _words, False),
    ("match", "name-dists"): ("name_dists", _words, False),
    ("load", "loader"): ("loader", _loader, False),
    ("load", "modules"): ("module_dirs", _path, True),
    ("load", "runtime"): ("runtime", _packages, False),
    ("load", "cumulative"): ("cumulative", _flag, False),
    ("load", "scriptlet"): ("scriptlet", _flag, False),
    ("load", "switch"): ("switch", _switch, False),
    ("client", "title"): ("title", str, False),
    ("client", "apply"): ("apply", _argv, True),
    ("client", "remove"): ("remove", _argv, True),
    ("client", "state"): ("state", _argv, True),
    ("client", "effective"): ("effective", _argv, True),
    ("client", "line"): ("lines", _line, True),
    ("client", "ignore"): ("ignore", _line, True),
    ("client", "only"): ("only", str, False),
    ("client", "active"): ("active", _words, False),
    ("client", "inactive"): ("inactive", _words, False),
    ("client", "exit"): ("exits", _exit, True),
    ("client", "timeout"): ("timeout", _count, False),
    ("client", "absent"): ("absent", str, False),
    ("client", "cves-file"): ("cves_file", _path, False),
}


def _read(text: str) -> dict[str, dict[str, object]]:
    """The values by section and field; raises ProfileError with the number of the line."""
    found: dict[str, dict[str, object]] = {"profile": {}, "match": {}, "load": {}, "client": {}}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            section = line[1:-1]
            if line[-1] != "]" or section not in found:
                raise ProfileError(f"line {number}: {line[:40]} is no section; known are {', '.join(found)}")
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or (section, key) not in _KEYS:
            raise ProfileError(f"line {number}: {key[:40]!r} is no key of [{section}]")
        field, reader, many = _KEYS[section, key]
        if not value or len(value) > MAX_VALUE or not value.isprintable():
            raise ProfileError(f"line {number}: {key} is not 1 to {MAX_VALUE} printable characters")
        try:
            parsed = reader(value)
        except ValueError as error:
            raise ProfileError(f"line {number}: {key}: {error}") from None
        values = found[section]
        if many:
            before = values.get(field, ())
            assert isinstance(before, tuple)
            parsed = (*before, parsed)
            if len(parsed) > MAX_VALUES:
                raise ProfileError(f"line {number}: more than {MAX_VALUES} values of {key}")
        elif field in values:
            raise ProfileError(f"line {number}: {key} is given twice")
        values[field] = parsed
    return found


def _check(profile: Profile) -> None:
    """Raise ProfileError for a fault that only several lines together show."""
    if profile.loader != "kernel" and (profile.client is None or not profile.client.apply):
        raise ProfileError("loader = client needs [client] with apply")
    kernel = templates.fields(profile.kernel)
    besides = (templates.fields(profile.evr) if profile.evr else frozenset()) | {"arch", "variant"}
    by_build = any("build_id" in templates.fields(rule) for rule in profile.provides)
    for key, rules in (("provides", profile.provides), ("name", () if by_build else profile.names)):
        for rule in rules:
            missing = kernel - templates.fields(rule) - besides
            if missing and not templates.fields(rule) & {"build_id", "release"}:
                raise ProfileError(f"{key} = {rule} does not tell {', '.join(sorted(missing))}")
    if not profile.names and not profile.provides and profile.client is None:
        raise ProfileError("neither name nor provides nor [client]: it could never be of use")


def parse(name: str, text: str, file: str = "") -> Profile:
    """The profile ``name`` in ``text``. Raises ProfileError, never anything else."""
    if not _NAME.match(name):
        raise ProfileError("the file's name is not of letters, digits and dashes")
    sections = _read(text)
    client: Client | None = None
    values: dict[str, object] = {**sections["profile"], **sections["match"], **sections["load"]}
    if sections["client"]:
        client = Client(**{"title": name, **sections["client"]})  # type: ignore[arg-type]
    if "title" not in values:
        raise ProfileError("title is missing from [profile]")
    if values.get("loader") == "client":
        values["loader"] = name
    profile = Profile(name=name, client=client, file=file, **values)  # type: ignore[arg-type]
    _check(profile)
    return profile
