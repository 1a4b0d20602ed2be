# SPDX-License-Identifier: GPL-2.0-or-later
"""Two architectures in one repository, of a kernel release that names none, as those of Azure and SUSE."""

import fcntl
import json

import pytest

from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.repotool import plan, report, retention, settings, site
from dnf_plugin_livepatch.repotool.repository import metadata, reading
from tests.tools.support import repositories as support
from tests.tools.support.lint_cases import Repo, advisory, kernel_package, listed, package
from tests.tools.support.repositories import signing, tool

KERNEL = "6.6.57.1-8.azl3"
NAME = "klp-patch-azl3"
FOR = {"x86_64": "2", "aarch64": "1"}


def build(arch, version, **more):
    """One build. The builds of both architectures hold a module of the same name, as one spec makes them."""
    number = int(version) * 10 + sorted(FOR).index(arch)
    path = f"/usr/lib/modules/{KERNEL}/livepatch/{more.pop('module', 'kp_' + version)}.ko"
    return package(NAME, version, "1", arch, KERNEL, number, module=path, **more)


def view(one):
    return metadata.package_view(one)


@pytest.fixture
def made(tmp_path):
    """Version 1 for both architectures, the later version 2 for x86_64 alone."""
    repo = Repo(tmp_path / "repo")
    patches = [build("x86_64", "1"), build("aarch64", "1"), build("x86_64", "2")]
    kernels = [kernel_package(KERNEL + ".x86_64", 900), kernel_package(KERNEL + ".aarch64", 901)]
    for one, arch in zip(kernels, ("x86_64", "aarch64")):
        one.arch = arch
        one.provides = [("kernel-uname-r", "EQ", "0", *KERNEL.split("-", 1), False)]
    repo.packages = [*patches, *kernels]
    repo.advisories = [advisory(f"EX-{n}", [listed(one)]) for n, one in enumerate(patches)]
    notes = {str(view(one).nevra): repository_record.PatchNote("2026-11-01T00:00:00Z") for one in patches}
    repo.record = repository_record.Record(
        support.NOW, {KERNEL: repository_record.KernelNote("2027-05-01", (), notes)}
    )
    return repo


def checks(repo):
    return [(item.check, item.subject) for item in repo.lint() if item.check != "metadata-unsigned"]


def test_the_builds_of_another_architecture_are_no_rivals(made):
    assert checks(made) == []


def test_an_older_build_of_a_higher_version_for_another_architecture_is_in_order(made):
    made.packages[2] = build("x86_64", "2", built=1000000)
    made.packages[0] = build("x86_64", "1", built=1000)
    made.advisories = [advisory(f"EX-{n}", [listed(one)]) for n, one in enumerate(made.packages[:3])]
    assert checks(made) == []


def test_a_module_twice_is_still_found_within_an_architecture(made):
    made.packages[2] = build("x86_64", "2", module="kp_1")
    made.advisories[2] = advisory("EX-2", [listed(made.packages[2])])
    assert checks(made) == [("module-duplicate", f"{NAME}-1-2.x86_64")]


def test_a_patch_for_every_architecture_counts_for_each(made):
    every = package(NAME + "-2", "1", "1", "noarch", KERNEL, 50)
    made.packages.append(every)
    made.advisories.append(advisory("EX-9", [listed(every)]))
    assert {check for check, _ in checks(made)} == {"patch-rivals"}


def test_a_kernel_with_a_patch_for_the_other_architecture_only_is_named(made):
    del made.packages[1], made.advisories[1]
    nevra = f"{NAME}-1-1.aarch64"
    notes = {key: note for key, note in made.record.kernels[KERNEL].patches.items() if key != nevra}
    made.record = repository_record.Record(
        support.NOW, {KERNEL: repository_record.KernelNote("2027-05-01", (), notes)}
    )
    (found,) = [item for item in made.lint() if item.check == "kernel-without-patch"]
    assert found.subject == KERNEL and "offered on aarch64," in found.text


def test_a_patch_whose_kernel_is_offered_for_another_architecture_only_is_named(made):
    del made.packages[4]
    assert checks(made) == [("patch-kernel-not-offered", f"{NAME}-1-1.aarch64")]


def test_an_architecture_left_without_a_patch_is_named(made):
    taken = repository_record.PatchNote(
        "2026-11-01T00:00:00Z", (), repository_record.Withdrawn(support.NOW, "oops")
    )
    notes = {**made.record.kernels[KERNEL].patches, f"{NAME}-1-1.aarch64": taken}
    made.record = repository_record.Record(
        support.NOW, {KERNEL: repository_record.KernelNote("2027-05-01", (), notes)}
    )
    (found,) = [item for item in made.lint() if item.check == "kernel-all-withdrawn"]
    assert found.text == "Every live patch of this kernel on aarch64 is withdrawn."


def test_pruning_keeps_the_newest_of_each_architecture():
    packages = [view(build(arch, number)) for arch, last in FOR.items() for number in ("1", last)]
    gone = retention.droppable(tuple(dict.fromkeys(packages)), repository_record.Record(), 1)
    assert [str(one.nevra) for one in gone] == [f"{NAME}-1-1.x86_64"]


def test_a_plan_has_a_row_for_each_architecture(made):
    made.write()
    rows = plan.plan(reading.read(str(made.folder), ()), [KERNEL, "6.1.0-1.cm2"], (), support.NOW)
    assert [(row.kernel, row.arch, row.patch) for row in rows] == [
        (KERNEL, "aarch64", f"{NAME}-1-1.aarch64"),
        (KERNEL, "x86_64", f"{NAME}-1-2.x86_64"),
        ("6.1.0-1.cm2", "", ""),
    ]
    text = "\n".join(plan.as_text(rows))
    assert f"{KERNEL} (aarch64)  {NAME}-1-1.aarch64" in text and "2 of 3 kernel(s) covered" in text
    assert plan.as_data(rows)["kernels"][1]["arch"] == "x86_64"


def test_the_report_has_a_page_for_each_architecture(made, tmp_path):
    made.write()
    model = report.build(reading.read(str(made.folder), ()), (), settings.Settings(), support.NOW)
    assert [(page.name, page.newest) for page in model.kernels] == [
        (f"{KERNEL} (x86_64)", f"{NAME}-1-2.x86_64"),
        (f"{KERNEL} (aarch64)", f"{NAME}-1-1.aarch64"),
    ]
    assert {page.nevra: page.kernels for page in model.patches}[f"{NAME}-1-1.aarch64"] == (
        f"{KERNEL} (aarch64)",
    )
    site.write(model, str(tmp_path / "site"))
    (page,) = (tmp_path / "site/kernels").glob("*aarch64*")
    text = page.read_text()
    assert f"{NAME}-1-1.aarch64" in text and f"{NAME}-1-2.x86_64" not in text


def test_both_architectures_are_published_pruned_and_withdrawn(tmp_path, key):
    """Lint lets the second architecture into the repository of the first."""
    release, made = "6.6.57.1-8.el9", []
    (tmp_path / "b").mkdir()
    for arch, number in (("x86_64", "1"), ("x86_64", "2"), ("aarch64", "1")):
        manifests = [support.manifest(release, f"kp_{number}")]
        made += support.build(
            tmp_path / "b", release, number=number, manifests=manifests, name=NAME, arch=arch
        )
    support.sign(key, *made)
    repo = tmp_path / "r"
    tool("publish", "--repo", repo, *signing(key), *made[:2])
    tool("publish", "--repo", repo, *signing(key), made[2])
    told = tool("prune", "--repo", repo, *signing(key), "--keep", "1").stdout
    assert f"- {NAME}-1-1.el9.x86_64" in told and "aarch64" not in told
    told = tool("withdraw", "--repo", repo, *signing(key), "--reason", "oops", f"{NAME}-1-1*").stdout
    assert "Every live patch of this kernel on aarch64 is withdrawn." in told
    done = tool("plan", "--repo", repo, "--kernel", release, "--json", check=False)
    assert [bool(row["gap"]) for row in json.loads(done.stdout)["kernels"]] == [True, False]


# ---- {arch} in the name of a repository


@pytest.fixture
def each(tmp_path, key, first):
    """R/x86_64 and R/aarch64, with one live patch in each; R/{arch} names both."""
    (tmp_path / "b").mkdir()
    release = "5.14.0-427.13.1.el9_4.aarch64"
    other = support.build(tmp_path / "b", release=release, arch="aarch64")
    support.sign(key, *other)
    named = tmp_path / "r" / "{arch}"
    tool("publish", "--repo", named, *signing(key), first[0], *other)
    return named


def there(folder):
    return sorted(path.name.rsplit(".", 2)[1] for path in folder.glob("*/Packages/*/*.rpm"))


def test_promote_takes_each_architecture(each, key):
    stable = each.parent.parent / "s" / "{arch}"
    done = tool("promote", "--from", each, "--to", stable, *signing(key), "--json")
    assert [item["repository"] for item in json.loads(done.stdout)["repositories"]] == [
        str(stable).format(arch=arch) for arch in ("x86_64", "aarch64")
    ]
    assert there(stable.parent) == ["aarch64", "x86_64"]
    done = tool("promote", "--from", each, "--to", stable, *signing(key), "x*", check=False)
    assert done.returncode == 1 and "[no-match]" in done.stderr


def test_withdraw_takes_each_architecture_that_fits(each, key):
    argv = ["withdraw", "--repo", each, *signing(key), "--reason", "oops"]
    told = tool(*argv, "*.aarch64").stdout
    assert "aarch64: withdrawn, oops" in told and "x86_64" not in told
    told = tool(*argv, "kpatch-patch-*").stdout
    assert "x86_64: withdrawn, oops" in told and "aarch64: nothing to do" in told
    done = tool(*argv, "x*", check=False)
    assert done.returncode == 1 and "[no-match]" in done.stderr


def test_prune_takes_each_architecture(each, key, second):
    tool("publish", "--repo", each, *signing(key), second[0])
    told = tool("prune", "--repo", each, *signing(key), "--keep", "1").stdout
    assert "1-1.el9_4.x86_64" in told and f"{each.parent}/aarch64: nothing to do" in told


def lock_held(place):
    held = open(place / ".livepatch-repo.lock", "a")
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def cut(place):
    (primary,) = (place / "repodata").resolve().glob("*-primary.xml.gz")
    primary.write_bytes(primary.read_bytes()[:20])


SPOILS = {
    "cut": (cut, "metadata-unreadable"),
    "link lost": (lambda place: (place / "repodata").unlink(), "link-lost"),
    "another publisher": (lock_held, "locked"),
}
LOOPS = {
    "withdraw": ["--reason", "oops", "kpatch-patch-*"],
    "kernels": ["--support-end", "2027-12-31", "5.14.0-*"],
    "sign": [],
    "prune": ["--keep", "1"],
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("verb", LOOPS)
def test_one_architecture_that_fails_keeps_no_other_from_a_change(each, key, second, verb, spoil):
    """The first and the second of them in turn; what is printed is true of each."""
    tool("publish", "--repo", each, *signing(key), second[0])
    arches = {"cut": ("x86_64", "aarch64")}.get(spoil, ("aarch64", "x86_64"))
    if verb == "prune":  # nothing is to be pruned of aarch64
        arches = ("x86_64", "aarch64")
    good, bad = (each.parent / arch for arch in arches)
    before = {place: present(place) for place in (good, bad) if spoil != "link lost" or place == good}
    held = SPOILS[spoil][0](bad)
    words = [verb, "--repo", each, *signing(key), "--wait", "0", *LOOPS[verb]]
    done = tool(*words, check=False)
    assert done.returncode == 1 and "[partly]" in done.stderr, done.stderr
    assert f"Done in {good}, and not elsewhere: " in done.stderr and str(bad) in done.stderr
    assert f"{good}: published as {present(good)}" in done.stdout and str(bad) not in done.stdout
    assert present(good) != before[good] and before.get(bad) in (None, present(bad))
    told = json.loads(tool(*words, "--json", check=False).stdout)
    assert told["error"]["id"] == (SPOILS[spoil][1] if verb != "sign" else "partly")
    if verb == "sign":
        assert [item["repository"] for item in told["repositories"]] == [str(good)]
    if held:
        held.close()


def present(place):
    return (place / "repodata").resolve().parent.name


def test_a_publish_that_fails_in_the_second_repository_names_the_first(each, key, second, tmp_path):
    (tmp_path / "c").mkdir()
    other = support.build(
        tmp_path / "c", "5.14.0-427.13.1.el9_4.aarch64", number="2", arch="aarch64",
        manifests=[support.manifest("5.14.0-427.13.1.el9_4.aarch64", "kp_2", issued="2026-11-21")],
    )  # fmt: skip
    support.sign(key, *other)
    first_place, last_place = each.parent / "aarch64", each.parent / "x86_64"
    with lock_held(last_place):
        words = ["publish", "--repo", each, *signing(key), "--wait", "0", *other, second[0]]
        done = tool(*words, check=False)
    assert done.returncode == 1 and f"Done in {first_place}, and not elsewhere" in done.stderr
    assert f"{first_place}: published as {present(first_place)}" in done.stdout
    assert f"{last_place}: published as" in tool(*words).stdout


@pytest.mark.parametrize(
    "argv",
    [
        ["lint", "{place}"],
        ["verify", "--repo", "{place}"],
        ["plan", "--repo", "{place}", "--kernel", KERNEL],
        ["report", "--repo", "{place}", "--json"],
        ["promote", "--from", "{place}", "--to", "/nonexistent"],
        ["promote", "--from", "/nonexistent", "--to", "{place}"],
    ],
)
def test_where_one_repository_is_meant_several_are_wrong_usage(tmp_path, argv):
    done = tool(*(part.format(place=tmp_path / "{arch}") for part in argv), check=False)
    assert done.returncode == 2 and "{arch}" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("verb", [["prune"], ["withdraw", "--reason", "x", "*"]])
def test_where_no_architecture_has_a_repository_nothing_is_made(tmp_path, verb):
    done = tool(*verb, "--repo", tmp_path / "{arch}", check=False)
    assert done.returncode == 1 and "[no-repository]" in done.stderr
    assert list(tmp_path.iterdir()) == []
