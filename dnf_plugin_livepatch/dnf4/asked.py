# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's request to DNF, read from the command line or, for API users, from the calls made.

DNF passes the request to no plugin. With a command line the command object is asked. dnf-automatic, Ansible
and other users of the API have no command; ``Watch`` notes their calls of the public marking methods.
"""

from __future__ import annotations

from ..base.typed import TYPE_CHECKING
from ..planning.request import ALL, NAMED, NONE, Asked
from . import UPGRADES

if TYPE_CHECKING:
    from typing import Any, Callable


#: The options that name advisories, and hawkey's names for these filters.
_BY_NAME = {"advisory": "advisory", "cves": "advisory_cve", "bugzilla": "advisory_bug"}
#: The commands that are to end with what they name installed.
_TAKES = ("install", "reinstall", "downgrade", "distro-sync", *UPGRADES)
_TYPES = ("security", "bugfix", "enhancement", "newpackage")


class Watch:
    """Notes the requests of an API user to one ``dnf.Base``, by wrapping three methods of the object.

    ``resolve`` is wrapped for its answer too: DNF computes "is there anything to do" before plugins
    may add to an empty transaction, and callers such as Ansible stop at a False. ``before_all`` is called
    before the first upgrade of everything is put into the goal.
    """

    def __init__(self, base: Any, before_all: Callable[[], None]) -> None:
        self.everything = False
        self.specs: list[str] = []
        self.allow_erasing = False
        upgrade_all, upgrade, resolve = base.upgrade_all, base.upgrade, base.resolve

        def watched_upgrade_all(*args: Any, **kwargs: Any) -> Any:
            if not self.everything:
                before_all()
            self.everything = True
            return upgrade_all(*args, **kwargs)

        def watched_upgrade(pkg_spec: str, *args: Any, **kwargs: Any) -> Any:
            self.specs.append(str(pkg_spec))
            return upgrade(pkg_spec, *args, **kwargs)

        def watched_resolve(allow_erasing: bool = False) -> Any:
            self.allow_erasing = allow_erasing
            return resolve(allow_erasing) or bool(base.transaction)

        base.upgrade_all = watched_upgrade_all
        base.upgrade = watched_upgrade
        base.resolve = watched_resolve


def aside(base: Any) -> str:
    """The reason why the plugin stands aside in this process; "" for none."""
    if base.conf.installroot != "/":
        return "an installroot is another machine's"
    if "test" in base.conf.tsflags:
        return "the transaction is only tested"
    return ""


def dry(base: Any) -> bool:
    """Is this run meant to leave the host as it is? DNF runs the hooks in a dry run, too."""
    conf = base.conf
    return bool(aside(base) or conf.downloadonly or conf.assumeno)


def read(base: Any, cli: Any, watch: Watch | None) -> Asked:
    """The request behind a resolved transaction."""
    why = aside(base)
    if why:
        return Asked(NONE, why)
    command = getattr(cli, "command", None)
    if command is not None:
        name = command.aliases[0]
        if name not in UPGRADES:
            return Asked(NONE, f"'{name}' is no upgrade")
        specs = _specs(command.opts)
        kind = NAMED if specs else ALL
    elif watch is not None and (watch.everything or watch.specs):
        specs, kind = watch.specs, ALL if watch.everything else NAMED
    else:
        return Asked(NONE, "no upgrade was asked for")
    limits = filters(base, getattr(command, "opts", None))
    security, opaque = _queries(base, cli is not None and command is None)
    security = security or "security" in limits.get("advisory_type", ())
    return Asked(kind, "", tuple(specs), limits, security, opaque=opaque)


def _queries(base: Any, automatic: bool) -> tuple[bool, bool]:
    """Is the upgrade limited to security updates, and to other packages, by queries alone?

    dnf-automatic and Ansible limit the upgrade by queries, which tell only the packages that they found.
    Queries that found every security update, and besides them all updates of other types or nothing, were
    made to find security updates. dnf-automatic (``automatic``) makes no other query.
    """
    queries = getattr(base, "_update_security_filters", None) or ()
    if not queries or automatic:
        return bool(queries), False
    found = set().union(*queries)
    everything = base.sack.query()
    for known in (everything, everything.upgrades()):
        other = {name: set(known.filter(advisory_type=name)) for name in _TYPES}
        wanted = other.pop("security")
        whole = wanted.union(*(rows for rows in other.values() if rows <= found))
        if wanted and found == whole and not any(wanted <= rows for rows in other.values()):
            return True, found > wanted
    return False, True


def _specs(opts: Any) -> list[str]:
    return [*(opts.pkg_specs or ()), *(opts.filenames or ()), *("@" + g for g in opts.grp_specs or ())]


def installed(base: Any, cli: Any) -> list[Any]:
    """The installed packages that the command line names to be installed or upgraded, and that stay."""
    command = getattr(cli, "command", None)
    if command is None or command.aliases[0] not in _TAKES:
        return []
    opts = command.opts  # distro-sync has a word of its own, and takes no files
    specs = getattr(opts, "pkg_specs", None) or getattr(opts, "package", None) or ()
    files = getattr(opts, "filenames", None) or ()
    import dnf.subject
    import dnf.transaction
    import hawkey

    found: dict[Any, None] = {}
    for spec in specs:
        found.update(dict.fromkeys(dnf.subject.Subject(spec).get_best_query(base.sack).installed()))
    if files:
        given = set(map(str, base.sack.query().filterm(reponame=hawkey.CMDLINE_REPO_NAME)))
        found.update((one, None) for one in base.sack.query().installed() if str(one) in given)
    items = (item for item in base.transaction or () if item.action in dnf.transaction.BACKWARD_ACTIONS)
    going = {str(item) for item in items}
    return [one for one in found if str(one) not in going]


def early(cli: Any, newest: bool) -> Asked:
    """The request as far as it is known before DNF resolves; ``newest``: the command takes what is newest.

    DNF sets its advisory filters later. Until then the options that name advisories stand for them.
    """
    command = getattr(cli, "command", None)
    opts = getattr(command, "opts", None)
    if command is None:
        return Asked(NONE, "what is asked for is not known yet")
    if command.aliases[0] not in UPGRADES:
        specs = tuple(getattr(opts, "pkg_specs", None) or ())
        return Asked(NONE, f"'{command.aliases[0]}' is no upgrade", specs, exact=not newest)
    specs = tuple(_specs(opts))
    return Asked(NAMED if specs else ALL, "", specs, _named(opts))


def _named(opts: Any) -> dict[str, frozenset[str]]:
    """The filters that the options make which name advisories."""
    given = {name: getattr(opts, option, None) for option, name in _BY_NAME.items()}
    return {name: frozenset(map(str, values)) for name, values in given.items() if values}


def filters(base: Any, opts: Any = None) -> dict[str, frozenset[str]]:
    """The advisory filters in effect: hawkey's filter name without its modifiers -> values.

    DNF has no public way to ask for them. Should it keep them elsewhere one day, the command's ``opts`` tell
    which filters it made.
    """
    options = getattr(base, "_update_security_options", None)
    if options is None:
        options = {
            "advisory_type": [name for name in _TYPES if getattr(opts, name, None)],
            "advisory_severity": getattr(opts, "severity", None) or (),
            **_named(opts),
        }
        options = {name: values for name, values in options.items() if values}
    result: dict[str, frozenset[str]] = {}
    for key, values in options.items():
        name = key.partition("__")[0]
        result[name] = result.get(name, frozenset()) | frozenset(str(value) for value in values)
    return result
