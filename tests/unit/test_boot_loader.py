# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel that starts next, by the files of boot loaders, and the advice that follows from it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.kernel import boot_loader
from dnf_plugin_livepatch.host.packages.evr import compare
from tests.unit.support.fakehost import RELEASE, run
from tests.unit.support.reporting import Telling

OLD, NEW = RELEASE, "6.12.2-1.x86_64"
ME, OTHER = "1" * 32, "9" * 32
ENTRIES, ENVIRONMENT = "/boot/loader/entries", "/boot/grub2/grubenv"
EFI = "/sys/firmware/efi/efivars/{}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#: As grub2-mkconfig writes it for GRUB_DEFAULT=saved and for a number, with and without blscfg.
SAVED = """if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="${saved_entry}"
fi
"""
#: The script 08_fallback_counting of grub2-tools on Fedora and EL writes this into each grub.cfg.
COUNTING = """insmod increment
# Check if boot_counter exists and boot_success=0 to activate this behaviour.
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  # if countdown has ended, choose to boot rollback deployment,
  if  [ "${boot_counter}" = "0" -o "${boot_counter}" = "-1" ]; then
    set default=1
    set boot_counter=-1
  else
    decrement boot_counter
  fi
  save_env boot_counter
fi
"""
MENU = f"""set default="{{}}"
menuentry 'Linux' --class x $menuentry_id_option 'gnulinux-simple-1' {{{{
	linux	/boot/vmlinuz-{NEW} root=/dev/vda ro
}}}}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-1' {{{{
	menuentry 'Linux, with Linux {NEW}' --class x $menuentry_id_option 'gnulinux-{NEW}-advanced-1' {{{{
		linux	/boot/vmlinuz-{NEW} root=/dev/vda ro
	}}}}
	menuentry 'Linux, with Linux {OLD}' --class x $menuentry_id_option 'gnulinux-{OLD}-advanced-1' {{{{
		linux	/boot/vmlinuz-{OLD} root=/dev/vda ro
	}}}}
}}}}
"""


def put(top: Path, path: str, text: str | bytes) -> None:
    target = Path(str(top) + path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())


def entry(top: Path, release: str, machine: str = ME, more: str = "") -> None:
    text = f"title Linux ({release})\nversion {release}\nlinux /vmlinuz-{release}\n{more}"
    put(top, f"{ENTRIES}/{machine}-{release}.conf", text)


def environment(top: Path, **values: str) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    put(top, ENVIRONMENT, ("# GRUB Environment Block\n" + lines).ljust(1024, "#"))


def following(top: Path) -> str:
    return boot_loader.next_kernel(Paths(str(top)), compare).release


@pytest.mark.parametrize(
    ("values", "menu", "wanted"),
    [
        ({}, "", NEW),
        ({"saved_entry": f"{ME}-{OLD}"}, "", OLD),
        ({"saved_entry": f"{ME}-{OLD}", "next_entry": f"{ME}-{NEW}"}, "", NEW),  # grub2-reboot
        ({"saved_entry": "1"}, "", OLD),
        ({"saved_entry": f"Linux ({OLD})"}, "", OLD),
        ({"saved_entry": "gone"}, "", NEW),
        ({"saved_entry": f"{ME}-{OLD}"}, SAVED + "blscfg\n", OLD),
        ({"saved_entry": f"{ME}-{OLD}"}, 'set default="0"\nblscfg\n', NEW),  # GRUB_DEFAULT=0
        ({}, 'set default="1"\nblscfg\n', OLD),
        ({}, 'set default="0"\n' + COUNTING + "blscfg\n", NEW),
        ({"saved_entry": f"{ME}-{OLD}"}, 'set default="0"\n' + COUNTING + "blscfg\n", NEW),
        ({"saved_entry": f"{ME}-{NEW}"}, SAVED + COUNTING + "blscfg\n", NEW),
        ({}, 'if x; then\nset default="0"\nelse\nset default="1"\nfi\nblscfg\n', ""),
        ({}, MENU.format("0"), NEW),
        ({}, MENU.format("1>1"), OLD),
        ({}, MENU.format(f"gnulinux-advanced-1>gnulinux-{OLD}-advanced-1"), OLD),
        ({"saved_entry": f"Advanced options>Linux, with Linux {OLD}"}, MENU.format("${saved_entry}"), OLD),
    ],
)
def test_grub(tmp_path: Path, values: dict[str, str], menu: str, wanted: str) -> None:
    for release in (OLD, NEW):
        entry(tmp_path, release)
    environment(tmp_path, **values)
    if menu:
        put(tmp_path, "/boot/grub2/grub.cfg", menu.replace("{{", "{").replace("}}", "}"))
    assert following(tmp_path) == wanted


@pytest.mark.parametrize("vendor", ["redhat", "almalinux"])
def test_the_menu_on_the_efi_partition(tmp_path: Path, vendor: str) -> None:
    """EL8 on UEFI: /boot/grub2 has only a link to the environment block beside the menu."""
    for release in (OLD, NEW):
        entry(tmp_path, release)
    environment(tmp_path, saved_entry=f"{ME}-{OLD}")
    put(tmp_path, f"/boot/efi/EFI/{vendor}/grub.cfg", 'set default="0"\n' + COUNTING + "blscfg\n")
    assert following(tmp_path) == NEW
    put(tmp_path, f"/boot/efi/EFI/{vendor}/grub.cfg", SAVED + COUNTING + "blscfg\n")
    assert following(tmp_path) == OLD
    put(tmp_path, "/boot/grub2/grub.cfg", 'set default="0"\nblscfg\n')
    assert following(tmp_path) == NEW, "the other is a stub then"


def test_entries_of_another_machine_win_by_their_name(tmp_path: Path) -> None:
    entry(tmp_path, NEW)
    entry(tmp_path, OLD, OTHER)
    environment(tmp_path)
    assert following(tmp_path) == OLD


def test_versions_are_ordered_as_rpm_orders_them(tmp_path: Path) -> None:
    for release in ("6.12.9-1.x86_64", "6.12.10-1.x86_64", "0-rescue"):
        entry(tmp_path, release)
    environment(tmp_path)
    assert following(tmp_path) == "6.12.10-1.x86_64"


@pytest.mark.parametrize(
    ("variables", "config", "wanted"),
    [
        ({}, "", NEW),
        ({}, f"timeout 3\ndefault {ME}-{OLD}*\n", OLD),
        ({"LoaderEntryDefault": f"{ME}-{OLD}.conf"}, "", OLD),
        ({"LoaderEntryOneShot": f"{ME}-{NEW}.efi", "LoaderEntryDefault": f"{ME}-{OLD}.conf"}, "", NEW),
        ({}, "default @saved\n", ""),
    ],
)
def test_systemd_boot(tmp_path: Path, variables: dict[str, str], config: str, wanted: str) -> None:
    entry(tmp_path, OLD)
    put(tmp_path, f"/boot/efi/EFI/Linux/{ME}-{NEW}.efi", "MZ")
    put(tmp_path, "/boot/efi/loader/loader.conf", config)
    for name, text in {"LoaderInfo": "systemd-boot 252", **variables}.items():
        put(tmp_path, EFI.format(name), b"\6\0\0\0" + f"{text}\0".encode("utf-16-le"))
    assert following(tmp_path) == wanted


@pytest.mark.parametrize("name", [b"a-\xff-1.conf", b"a-\x1b[2J-1.conf", b"a-1:2-3.conf", b"a- -.conf"])
def test_an_odd_name_of_an_entry_is_passed_over(tmp_path: Path, name: bytes) -> None:
    for release in (OLD, NEW):
        entry(tmp_path, release)
    environment(tmp_path)
    (tmp_path / "boot/loader/entries" / os.fsdecode(name)).write_text("title x\n")
    assert following(tmp_path) == NEW


@pytest.mark.parametrize(
    "text", ["linux " + "/vmlinuz-" * 7000 + " x", "linux /vmlinuz-" + "a" * 65000, "linux " * 10000]
)
def test_a_long_entry_is_read_once(tmp_path: Path, text: str) -> None:
    entry(tmp_path, NEW)
    for number in range(20):
        put(tmp_path, f"{ENTRIES}/{ME}-0.{number}-1.conf", text)
    environment(tmp_path)
    began = time.process_time()
    assert following(tmp_path) == NEW and time.process_time() - began < 2


def test_a_pattern_of_many_stars_is_unknown(tmp_path: Path) -> None:
    for release in (OLD, NEW):
        entry(tmp_path, release)
    put(tmp_path, EFI.format("LoaderInfo"), b"\6\0\0\0" + "systemd-boot 252\0".encode("utf-16-le"))
    put(tmp_path, "/boot/efi/loader/loader.conf", f"default {'*a' * 30}\n")
    assert following(tmp_path) == ""


@pytest.mark.parametrize("what", ["nothing", "only entries", "only images", "garbage"])
def test_the_rest_is_unknown(tmp_path: Path, what: str) -> None:
    if what == "only entries":
        entry(tmp_path, OLD)
    if what == "only images":
        put(tmp_path, f"/boot/efi/EFI/Linux/{ME}-{NEW}.efi", "MZ")
    if what == "garbage":
        put(tmp_path, ENVIRONMENT, os.urandom(4096))
        put(tmp_path, f"{ENTRIES}/x.conf", os.urandom(4096))
    assert following(tmp_path) == ""


# --- the advice ---


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    made = Telling(str(tmp_path), monkeypatch)
    made.know((1000, "Important"))
    made.kernel_installed("6.12.1-1")
    made.kernel_installed("6.12.2-1")
    return made


def answer(capsys: pytest.CaptureFixture[str], verb: str = "reboot-check") -> tuple[int, str]:
    code = cli.main([verb])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "menu", "command"),
    [
        ({"saved_entry": f"{ME}-{OLD}"}, "", f"grubby --set-default=/boot/vmlinuz-{NEW}"),
        (
            {"saved_entry": f"{ME}-{NEW}", "next_entry": f"{ME}-{OLD}"},
            "",
            "grub2-editenv - unset next_entry",
        ),
        (
            {"saved_entry": f"{ME}-{NEW}"},
            'set default="1"\nblscfg\n',
            "sed -i s/^GRUB_DEFAULT=.*/GRUB_DEFAULT=saved/ /etc/default/grub && "
            "grub2-mkconfig -o /boot/grub2/grub.cfg",
        ),
    ],
)
def test_a_boot_into_the_same_kernel_is_not_advised(
    host: Telling,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    values: dict[str, str],
    menu: str,
    command: str,
) -> None:
    for release in (OLD, NEW):
        entry(tmp_path, release)
    environment(tmp_path, **values)
    if menu:
        put(tmp_path, "/boot/grub2/grub.cfg", menu)
    code, line = answer(capsys)
    assert code == 0 and f"set to start kernel {OLD} again" in line
    assert f"run '{command}'" in line
    told = answer(capsys, "status")[1]
    assert "systemctl reboot" not in told and command in told
    if menu:
        put(tmp_path, "/boot/grub2/grub.cfg", SAVED + "blscfg\n")
    environment(tmp_path, saved_entry=f"{ME}-{NEW}")
    assert answer(capsys)[0] == 100, "the default was changed"


def test_a_boot_into_another_kernel_is_counted_by_that_kernel(
    host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"), (2000, "Low"))
    host.kernel_installed("6.12.3-1")
    for release in (OLD, NEW, "6.12.3-1.x86_64", "7.0.0-1.uek.x86_64"):
        entry(tmp_path, release)
    environment(tmp_path, saved_entry=f"{ME}-{NEW}")
    assert "1 kernel CVE closed by the installed kernel 6.12.2-1" in answer(capsys)[1]
    environment(tmp_path)
    code, line = answer(capsys)
    assert code == 102 and "7.0.0-1.uek.x86_64 instead" in line, "nothing is known of that one"


def test_what_was_followed_once_in_vain_is_not_advised_again(
    host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys)[0] == 100 == answer(capsys)[0], "in one boot the advice stands"
    host.host.reboot()
    code, line = answer(capsys)
    assert code == 102 and "came back into the same kernel" in line
    host.host.reboot(clean=False)
    assert answer(capsys)[0] == 102
    with open(host.paths.advised, encoding="utf-8") as file:
        told = json.load(file)
    # Another kernel ran since: its first reconcile forgets.
    Path(host.paths.advised).write_text(json.dumps({**told, "release": NEW}))
    run(host.host)
    assert answer(capsys)[0] == 100
    host.host.reboot()
    assert answer(capsys)[0] == 102
    host.kernel_installed("6.12.3-1")
    assert answer(capsys)[0] == 100, "another kernel may be started"
    for release in (OLD, NEW, "6.12.3-1.x86_64"):
        entry(tmp_path, release)
    host.host.reboot()
    environment(tmp_path)
    assert answer(capsys)[0] == 100, "what the boot loader starts is known now"
    host.host.reboot()
    assert answer(capsys)[0] == 102


def test_a_note_that_is_broken_or_cannot_be_written_changes_nothing(
    host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.host.put("/var/lib/livepatch/reboot.json", "{}")
    assert answer(capsys)[0] == 100
    os.remove(host.paths.advised)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert answer(capsys)[0] == 100 and not os.path.exists(host.paths.advised)
