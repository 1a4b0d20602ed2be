# SPDX-License-Identifier: GPL-2.0-or-later
"""The reason why a live patch does not fit, in every language of DNF."""

from __future__ import annotations

import gettext

import pytest

from tests.dnf.support import rpms, stock
from tests.dnf.support.lab import Lab, lines, shared, unharmed

BASE = (stock.K10, stock.BY1, stock.OTHER, stock.DISTRO)
MIDDLE = rpms.Rpm("middle", "1", "1", (), ("no-such-thing",))
ALPHA = rpms.Rpm("alpha", "1", "1", (), ("beta",))
BETA = rpms.Rpm("beta", "1", "1", other=("Conflicts: bystander",))
ITSELF = rpms.patch(10, "2-1", [stock.CVE20], requires=(stock.OWN, "no-such-thing"))
BEHIND = rpms.patch(10, "2-2", [stock.CVE20], requires=(stock.OWN, "middle"))
CLASH = rpms.patch(10, "2-3", [stock.CVE20], other=("Conflicts: bystander",))
FAR = rpms.patch(10, "2-4", [stock.CVE20], requires=(stock.OWN, "alpha"))
OLD = rpms.patch(10, "2-5", [stock.CVE20], requires=(stock.OWN, "bystander >= 9"))
#: state -> its packages, and what the line has to name.
STATES = {
    "itself": ((ITSELF,), ("no-such-thing",)),
    "behind": ((BEHIND, MIDDLE), ("no-such-thing", str(MIDDLE))),
    "clash": ((CLASH,), (str(stock.BY1),)),
    "far": ((FAR, ALPHA, BETA), (str(BETA),)),
    "old": ((OLD,), ("bystander >= 9",)),
}
LANGUAGES = ("", "de", "fr", "ja", "pt_BR")


def remark(language: str) -> str:
    """The remark of libdnf that says nothing, in this language."""
    words = gettext.translation("libdnf", "/usr/share/locale", [language], fallback=True)
    return words.gettext("conflicting requests")


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    packages = {rpm for found, _ in STATES.values() for rpm in found}
    states = {name: ((*BASE, *found), (stock.ADV10, stock.ADV20)) for name, (found, _) in STATES.items()}
    everything = [*BASE, stock.K20, *sorted(packages)]
    states = {name: ((*found, stock.K20), told) for name, (found, told) in states.items()}
    return shared(
        tmp_path_factory, "reasons", everything, {"start": (BASE, (stock.ADV10,)), **states}, stock.BASE
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", STATES)
def test_the_line_names_the_package_in_the_way(reasons, language, state):
    host = reasons.host()
    host.repos(base=state)
    words = {"LANG": f"{language}.UTF-8" if language else "C.UTF-8", "LANGUAGE": language}
    answer = host.dnf("upgrade", "--exclude=kernel-core", env=words)
    host.drop()
    unharmed(answer)
    assert ("Complete!" in answer.out or "Nothing to do" in answer.out) is (language == ""), "DNF speaks it"
    (line,) = (line for line in lines(answer) if "is not added" in line)
    for name in STATES[state][1]:
        assert name in line, line
    assert (remark(language) != "conflicting requests") is (language != ""), "libdnf speaks it"
    assert remark(language) not in line
