# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed tuples and protocols without an import of ``typing`` at start-up.

Importing ``typing`` costs half as much as starting the interpreter, and every dnf command pays for the
plugin's imports. The type checker gets the originals. At run time ``NamedTuple`` builds the same classes
out of ``collections.namedtuple``, and ``Protocol`` is ``object``. Names from ``typing`` that only
annotations use are imported under ``if TYPE_CHECKING:``.
"""

from __future__ import annotations

import collections

__all__ = ["TYPE_CHECKING", "NamedTuple", "Protocol"]

#: False at run time. Type checkers take any variable of this name as true.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NamedTuple, Protocol
else:
    Protocol = object
    _OWN = ("__module__", "__qualname__", "__annotations__", "__dict__", "__weakref__")

    class _NamedTupleMeta(type):
        """Turns a class body with annotated fields into a class of tuples."""

        def __new__(mcs, name, bases, body):
            if not bases:
                return super().__new__(mcs, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = [body[field] for field in fields if field in body]
            made = collections.namedtuple(name, fields, module=body["__module__"])
            if [field for field in fields if field in body] != list(fields[len(fields) - len(defaults) :]):
                raise TypeError(f"{name}: a field without a default follows one with a default")
            made.__new__.__defaults__ = tuple(defaults)
            made._field_defaults = dict(zip(fields[len(fields) - len(defaults) :], defaults))
            made.__annotations__ = dict(body.get("__annotations__", {}))
            made.__qualname__ = body["__qualname__"]
            for key, value in body.items():
                if key not in fields and key not in _OWN:
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_NamedTupleMeta):
        """The base of a class of named tuples, as ``typing.NamedTuple`` is."""
