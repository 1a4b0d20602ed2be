# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads and writes of the host side's files: bounded, checked, atomic, durable.

A file may be torn, hostile or gone: a reader gets text, a dict or ``Broken``, and never more bytes than it
asked for. A written file is complete or absent, also across a power cut: temporary file, fsync, rename,
fsync of the folder.
"""

from __future__ import annotations

import errno
import json
import os

from ...base import fields, names
from ...base.typed import TYPE_CHECKING
from ..read import read_bytes

if TYPE_CHECKING:
    from typing import Any, Callable


SCHEMA = 1
MAX_BYTES = 4 << 20

#: A function that gets the name of each step that changes the host, before and after the step. Only
#: fault-injection tests set it.
hook: Callable[[str], None] | None = None


class Broken(ValueError):
    """A state file cannot be trusted; str() names the file and the fault."""


def step(what: str) -> None:
    """Mark a point at which the host is in a new state; a test may kill the process here."""
    if hook is not None:
        hook(what)


def read_json(
    path: str, limit: int = MAX_BYTES, newest: int = SCHEMA, oldest: int = 1
) -> dict[str, Any] | None:
    """Return the JSON object in ``path``, or None when there is no such file. Raises Broken for anything
    else.

    The object's schema number has to be from ``oldest`` to ``newest``.
    """
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Broken(f"{path}: {error.strerror}") from None
    if size > limit:
        raise Broken(f"{path}: larger than {limit} bytes")
    try:
        data = fields.parsed(read_bytes(path, limit + 1).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Broken(f"{path}: {fields.json_fault(error)}") from None
    if not isinstance(data, dict):
        raise Broken(f"{path}: not a JSON object")
    schema = data.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or not oldest <= schema <= newest:
        known = f"{oldest} to {newest} are" if oldest < newest else f"{newest} is"
        raise Broken(f"{path}: schema {str(schema)[:20]} is not known, {known}")
    return data


def ensure_dir(path: str) -> None:
    """Create the folder ``path`` (mode 0755) and its parents where they are missing."""
    if not path or os.path.isdir(path):
        return
    ensure_dir(os.path.dirname(path))
    try:
        os.mkdir(path)
        os.chmod(path, 0o755)  # whatever the caller's umask is
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def sync_file(path: str) -> None:
    """Make a file that another program wrote durable, content and name; do nothing where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_dir(os.path.dirname(path))


def sync_dir(path: str) -> None:
    """Make the names in the folder ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clean(folder: str, name: str) -> None:
    """Remove the temporary files of writers that were killed: no process has their number any more."""

    def runs(pid: int) -> bool:
        # Not by /proc, which a service may see a part of only.
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except OSError:
            return True
        return True

    head = f".{name}."
    for found in os.listdir(folder):
        pid = names.decimal(found[len(head) :], 10) if found.startswith(head) else None
        if pid is not None and not runs(pid):
            try:
                os.unlink(f"{folder}/{found}")
            except OSError:
                continue


def write_bytes(path: str, data: bytes, mode: int = 0o644, ours: bool = True) -> None:
    """Write ``data`` to ``path``, atomically and durably. Raises OSError; the old file is intact then.

    ``ours``: no other program writes into the folder, so what killed writers left there may go.
    """
    folder, name = os.path.split(path)
    ensure_dir(folder)
    if ours:
        _clean(folder, name)
    temporary = f"{folder}/.{name}.{os.getpid()}"
    step(f"before write {name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        step(f"before fsync {name}")
        os.fsync(descriptor)
    except OSError:
        os.close(descriptor)
        os.unlink(temporary)
        raise
    os.close(descriptor)
    step(f"before rename {name}")
    os.rename(temporary, path)
    step(f"after rename {name}")
    sync_dir(folder)


def write_json(
    path: str, data: dict[str, Any], read: Callable[[dict[str, Any]], object], limit: int = MAX_BYTES
) -> None:
    """Write ``data`` with the schema number to ``path`` as ``write_bytes`` does.

    ``read`` is the file's reader, and ``limit`` its bound: a file that it would refuse later is not written.
    Raises OSError, the old file then intact.
    """
    text = json.dumps({"schema": SCHEMA, **data}, indent=1, sort_keys=True) + "\n"
    whole = text.encode("utf-8", "backslashreplace")
    try:
        if len(whole) > limit:
            raise ValueError(f"it would be larger than {limit} bytes")
        read(json.loads(text))
    except (ValueError, RecursionError) as error:
        name, fault = os.path.basename(path) + ": ", str(error)
        fault = fault[len(name) :] if fault.startswith(name) else fault
        raise OSError(
            errno.EINVAL, f"{path} is not written, as it could not be read again: {fault}"
        ) from None
    write_bytes(path, whole)
