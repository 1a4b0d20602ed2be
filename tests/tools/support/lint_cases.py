# SPDX-License-Identifier: GPL-2.0-or-later
"""A good repository, and for each check of lint the change that makes it a bad one."""

import datetime
import gzip
import os
import pathlib

import createrepo_c as cr

from dnf_plugin_livepatch.base.model import Unfixable
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.repotool import settings
from dnf_plugin_livepatch.repotool.lint import context, run
from dnf_plugin_livepatch.repotool.repository import metadata, reading
from tests.tools.support import repositories as support
from tests.tools.support.repositories import KERNEL

NAME = support.patch_name(KERNEL)
OTHER = "5.14.0-503.11.1.el9_5.x86_64"
V1, V2 = f"{NAME}-1-1.el9_4.x86_64", f"{NAME}-1-2.el9_4.x86_64"
ISSUED = datetime.datetime(2026, 11, 1)


def package(name=NAME, release="1.el9_4", version="1", arch="x86_64", kernel=KERNEL, number=1, **more):
    made = cr.Package()
    made.name, made.epoch, made.version, made.release, made.arch = name, "0", version, release, arch
    made.pkgId, made.checksum_type, made.size_package = f"{number:064x}", "sha256", 1000
    made.location_href = more.pop(
        "location", f"Packages/{number:016x}/{name}-{version}-{release}.{arch}.rpm"
    )
    made.summary, made.description, made.time_build = "s", "d", more.pop("built", 1790000000 + number)
    front, rest = kernel.split("-", 1)
    module = more.pop("module", f"/usr/lib/modules/{kernel}/livepatch/kp_{number}.ko")
    made.provides = more.pop(
        "provides",
        [
            (f"livepatch(kernel-uname-r:{kernel})", None, None, None, None, False),
            ("kpatch-patch", "EQ", "0", front, rest, False),
        ],
    ) + more.pop("also", [])
    made.requires = more.pop("requires", [("kernel-uname-r", "EQ", "0", front, rest, False)])
    made.supplements = more.pop("supplements", [("kernel-uname-r", "EQ", "0", front, rest, False)])
    data = more.pop("manifest", f"/usr/share/livepatch/{kernel}/kp_{number}.json")
    made.files = [
        (None, os.path.dirname(path) + "/", os.path.basename(path)) for path in (module, data) if path
    ]
    assert not more
    return made


def kernel_package(release=KERNEL, number=900):
    version, rest = release.split("-", 1)
    return package(
        "kernel-core",
        rest.rsplit(".", 1)[0],
        version,
        kernel=release,
        number=number,
        requires=[],
        supplements=[],
        provides=[("kernel-uname-r", "EQ", "0", version, rest, False)],
        module="",
        manifest="",
    )


def reference(kind="cve", name="CVE-2024-1086", href="https://example.com"):
    made = cr.UpdateReference()
    made.type, made.id, made.href, made.title = kind, name, href, name
    return made


def listed(package, **more):
    made = cr.UpdateCollectionPackage()
    for field in ("name", "epoch", "version", "release", "arch"):
        setattr(made, field, more.get(field, getattr(package, field)))
    made.filename = more.get("filename", os.path.basename(package.location_href))
    made.sum, made.sum_type = more.get("sum", package.pkgId), cr.SHA256
    made.reboot_suggested = more.get("reboot", 0)
    return made


def advisory(name="EX-1", packages=(), references=None, **more):
    made = cr.UpdateRecord()
    made.status, made.version, made.title = "final", "1", "t"
    if name:
        made.id = name
    made.type = more.get("type", "security")
    if more.get("severity", "Important"):
        made.severity = more.get("severity", "Important")
    if more.get("issued", ISSUED):
        made.issued_date = more.get("issued", ISSUED)
    made.updated_date = more.get("updated", ISSUED)
    made.reboot_suggested = more.get("reboot", 0)
    for one in [reference()] if references is None else references:
        made.append_reference(one)
    collection = cr.UpdateCollection()
    for one in packages:
        collection.append(one)
    made.append_collection(collection)
    return made


class Repo:
    """The good repository; a test changes one thing of it and writes it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.one = package()
        self.two = package(release="2.el9_4", number=2)
        self.packages = [self.one, self.two, kernel_package()]
        self.advisories = [advisory("EX-1", [listed(self.one)]), advisory("EX-2", [listed(self.two)])]
        notes = {name: repository_record.PatchNote("2026-11-01T00:00:00Z") for name in (V1, V2)}
        self.record = repository_record.Record(
            support.NOW, {KERNEL: repository_record.KernelNote("2027-05-01", (), notes)}
        )
        self.text = None
        self.settings = settings.Settings()
        self.context = {}
        self.after = lambda repodata: None

    def note(self, **changes):
        self.record = repository_record.Record(
            support.NOW, {KERNEL: self.record.kernels[KERNEL]._replace(**changes)}
        )

    def patch_note(self, nevra, **changes):
        patches = dict(self.record.kernels[KERNEL].patches)
        patches[nevra] = patches.get(nevra, repository_record.PatchNote())._replace(**changes)
        self.note(patches=patches)

    def replace(self, old, new):
        self.packages[self.packages.index(old)] = new
        return new

    def only(self, one, references=None, **more):
        """Leave one package and one advisory for it."""
        self.packages = [one, kernel_package()]
        self.advisories = [advisory("EX-1", [listed(one)], references, **more)]
        self.patch_note(str(metadata.package_view(one).nevra))
        self.note(
            patches={
                str(metadata.package_view(one).nevra): repository_record.PatchNote("2026-11-01T00:00:00Z")
            }
        )

    def write(self):
        repodata = self.folder / "repodata"
        repodata.mkdir(parents=True)
        text = repository_record.dump(self.record) if self.text is None else self.text
        metadata.write(
            str(repodata), self.packages, list(map(metadata.update_of, self.advisories)), text, [], "gz", 1
        )
        self.after(repodata)

    def lint(self):
        self.write()
        view = reading.read(str(self.folder), self.settings.keys)
        facts = {"offered": reading.kernels_offered([view]), **self.context}
        return run.run(view, context.Context(support.NOW, **facts), self.settings.waivers)


def rewrite(repodata, change, kind="updateinfo"):
    """Change the text of a metadata file and its entry in repomd.xml."""
    repomd = cr.Repomd(str(repodata / "repomd.xml"))
    new = cr.Repomd()
    for one in repomd.records:
        path = repodata.parent / one.location_href
        if one.type == kind:
            text = change(gzip.decompress(path.read_bytes()).decode())
            path.unlink()
            if text is None:
                continue
            path = repodata / f"{kind}.xml.gz"
            path.write_bytes(gzip.compress(text.encode()))
            one = cr.RepomdRecord(kind, str(path))
            one.fill(cr.SHA256)
            one.rename_file()
        new.set_record(one)
    (repodata / "repomd.xml").write_text(new.xml_dump())


BAD = {}


def bad(check, subject=None):
    """Register the change that makes the good repository fail ``check``."""

    def register(change):
        BAD.setdefault(check, []).append((change, subject))
        return change

    return register


@bad("metadata-file-missing")
def _(made):
    made.after = rewrite_missing


def rewrite_missing(repodata):
    path = repodata / "repomd.xml"
    path.write_text(
        path.read_text().replace(
            "</repomd>",
            '<data type="group"><checksum type="sha256">' + "0" * 64 + "</checksum>"
            '<location href="repodata/' + "0" * 64 + '-comps.xml"/></data></repomd>',
        )
    )


@bad("metadata-file-differs")
def _(made):
    def spoil(repodata):
        path = next(repodata.glob("*-livepatch.json.gz"))
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b" "))

    made.after = spoil


@bad("metadata-weak-digest")
def _(made):
    def weaken(repodata):
        text = (repodata / "repomd.xml").read_text()
        path = next(repodata.glob("*-updateinfo.xml.gz"))
        sha256 = f'"sha256">{metadata.digest(str(path))}<'
        assert sha256 in text
        sha1 = f'"sha">{metadata.digest(str(path), "sha1")}<'
        (repodata / "repomd.xml").write_text(text.replace(sha256, sha1))

    made.after = weaken


@bad("metadata-weak-digest", "primary")
def _(made):
    made.one.checksum_type = "sha"


@bad("metadata-name-mutable")
def _(made):
    def rename(repodata):
        path = next(repodata.glob("*-updateinfo.xml.gz"))
        path.rename(repodata / "updateinfo.xml.gz")
        text = (repodata / "repomd.xml").read_text()
        (repodata / "repomd.xml").write_text(text.replace(path.name, "updateinfo.xml.gz"))

    made.after = rename


@bad("metadata-parser")
def _(made):
    made.after = lambda repodata: rewrite(
        repodata, lambda text: text.replace("<pkglist>", "<pkglist><hot_patch_collection/>", 1)
    )


@bad("updateinfo-lost")
def _(made):
    made.after = lambda repodata: rewrite(repodata, lambda text: None)


@bad("record-missing")
def _(made):
    made.text = ""


@bad("record-invalid")
def _(made):
    made.text = '{"schema": 99}'


@bad("record-patch-unknown")
def _(made):
    made.patch_note("kpatch-patch-5_14_0-427_13_1-1-9.el9_4.x86_64", issued="2026-11-01T00:00:00Z")


@bad("record-issued-changed")
def _(made):
    made.context["published"] = made.record
    made.patch_note(V1, issued="2026-11-02T00:00:00Z")


@bad("package-duplicate")
def _(made):
    made.packages.append(package(number=77, module="", manifest="/usr/share/livepatch/x/y.json"))


@bad("package-location")
def _(made):
    made.one.location_href = "../" + made.one.location_href


@bad("advisory-without-id")
def _(made):
    made.advisories[0] = advisory("", [listed(made.one)])


@bad("advisory-duplicate-id")
def _(made):
    made.advisories[1] = advisory("EX-1", [listed(made.two)])


for name, wrong in (
    ("advisory-type", {"type": "hotfix"}),
    ("advisory-severity", {"severity": "High"}),
    ("advisory-severity", {"severity": "important"}),
    ("advisory-date", {"issued": datetime.datetime(2030, 1, 1)}),
    ("advisory-date", {"updated": datetime.datetime(2020, 1, 1)}),
):

    @bad(name)
    def _(made, wrong=wrong):
        made.advisories[1] = advisory("EX-2", [listed(made.two)], **wrong)


@bad("advisory-reference-without-id")
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two)], [reference(), reference("bugzilla", None)])


@bad("advisory-reference-without-href")
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two)], [reference(href=None)])


@bad("advisory-reference-type")
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two)], [reference(), reference("nvd", "x")])


@bad("advisory-cve-id")
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two)], [reference(), reference(name="cve-2024-1")])


@bad("advisory-without-issued")
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two)], issued=None)


@bad("advisory-empty")
def _(made):
    made.advisories.append(advisory("EX-3"))


@bad("advisory-without-cve")
def _(made):
    made.only(made.one, [])


@bad("advisory-package-missing")
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two), listed(made.two, release="3.el9_4")])


@bad("advisory-package-superseded")
def _(made):
    made.advisories[0] = advisory("EX-1", [listed(made.one), listed(made.one, release="0.el9_4")])


@bad("advisory-package-differs")
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two), listed(made.two, epoch="1")])


for other in {"filename": "other.rpm"}, {"sum": "f" * 64}:

    @bad("advisory-package-differs")
    def _(made, other=other):
        made.advisories[1] = advisory("EX-2", [listed(made.two, **other)])


@bad("advisory-reboot")
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two, reboot=1)])


@bad("advisory-cve-lost", V2)
def _(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two)], [reference(name="CVE-2024-9999")])


@bad("advisory-cve-unlisted")
def _(made):
    also = [("livepatch-cve(CVE-2024-7777)", None, None, None, None, False)]
    made.only(package(release="2.el9_4", number=2, also=also))


@bad("patch-without-advisory")
def _(made):
    made.advisories.pop()


@bad("patch-name")
def _(made):
    version, rest = OTHER.split("-", 1)
    made.replace(
        made.one,
        package(
            provides=[("kpatch-patch", "EQ", "0", version, rest, False)],
            requires=[],
            supplements=[],
            manifest="",
        ),
    )


@bad("patch-arch")
def _(made):
    made.only(package(arch="aarch64"))


@bad("patch-installonly")
def _(made):
    made.only(package(also=[("installonlypkg(kernel-module)", None, None, None, None, False)]))


@bad("patch-provides-kernel")
def _(made):
    made.only(package(also=[("kernel", "EQ", "0", "5.14.0", "1", False)]))


@bad("patch-without-kernel")
def _(made):
    made.only(package(requires=[]))


@bad("patch-without-supplements")
def _(made):
    made.only(package(supplements=[]))


@bad("patch-order", V2)
def _(made):
    made.replace(made.two, package(release="2.el9_4", number=2, built=1000))


@bad("patch-kernel-not-offered")
def _(made):
    made.context["offered"] = frozenset({(OTHER, "x86_64")})


@bad("patch-rivals")
def _(made):
    rival = package("livepatch-fix", number=5)
    made.packages.append(rival)
    made.advisories.append(advisory("EX-5", [listed(rival)]))


@bad("module-duplicate", V2)
def _(made):
    module = f"/usr/lib/modules/{KERNEL}/livepatch/kp_1.ko"
    made.replace(made.two, package(release="2.el9_4", number=2, module=module))


@bad("module-path")
def _(made):
    made.only(package(module=f"/usr/lib/kpatch/{KERNEL}/kp_1.ko"))


@bad("manifest-missing")
def _(made):
    made.only(package(manifest=""))


@bad("kernel-without-patch", OTHER)
def _(made):
    made.packages.append(kernel_package(OTHER, 901))
    made.context["supported"] = {OTHER: "2027-01-01"}


@bad("kernel-all-withdrawn", KERNEL)
def _(made):
    for name in (V1, V2):
        made.patch_note(name, withdrawn=repository_record.Withdrawn(support.NOW, "oops"))


@bad("cve-closed-and-unfixable", KERNEL)
def _(made):
    made.note(unfixable=(Unfixable("CVE-2024-1086", "changes data"),))


@bad("support-ended", KERNEL)
def _(made):
    made.note(support_end="2026-10-01")


@bad("support-end-unknown", KERNEL)
def _(made):
    made.note(support_end="")


@bad("waiver-unused")
def _(made):
    made.settings = settings.Settings(waivers=(context.Waiver("patch-arch", "*", "not today"),))
