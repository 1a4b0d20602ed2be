# SPDX-License-Identifier: GPL-2.0-or-later
"""Checked fields of hostile JSON: every reader takes its texts, numbers, lists and objects from here. Pure.

A field is read from its ``data`` (an object or a list) and its ``key`` (a name or a place). Each function
returns a value of the type its name promises, or raises ``FieldError``, which names the way to the field
and what was expected there: ``hold[2].module: expected the name of a kernel module``. The way is put
together only when something is wrong, so a good file costs one call for each field.

``default`` is the value of a field that is absent; a field without a default has to be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from . import names, times
from .typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")


_ABSENT = object()
MAX_ITEMS = 4096
#: Of one document. JSON's smallest values take thirty times their length in memory.
MAX_PARTS, MAX_TEXTS = 200_000, 1_000_000


class FieldError(ValueError):
    """A faulty field; str() is the way to the field and the fault."""

    def __init__(self, fault: str, *way: str | int) -> None:
        super().__init__(fault)
        self.fault = fault
        self.way: tuple[str | int, ...] = way

    def within(self, *outer: str | int) -> FieldError:
        """The same fault, with the way ``outer`` in front of its own way."""
        return FieldError(self.fault, *outer, *self.way)

    def __str__(self) -> str:
        where = ""
        for part in self.way:
            plain = isinstance(part, str) and len(part) <= 40 and part.replace("_", "").isalnum()
            where += f"{'.' if where else ''}{part}" if plain else f"[{part!r:.80}]"
        return f"{where}: {self.fault}" if where else self.fault


class Form(NamedTuple):
    """The form of a text: ``pattern`` decides, ``most`` bounds the length, messages quote ``expected``."""

    expected: str
    pattern: re.Pattern[str] | None = None
    most: int = 2000


TEXT = Form("a printable text of at most 2000 characters")
CVE = Form("a CVE identifier such as CVE-2026-12345", names.CVE)
EVR = Form("an RPM version such as 1:5.14.0-1.el9", names.EVR)
NEVRA = Form("a package such as name-1.0-1.x86_64", names.NEVRA)
MODULE = Form("the name of a kernel module", names.MODULE)
RELEASE = Form("a kernel release as uname -r prints it", names.RELEASE)
MOMENT = Form("a time in UTC such as 2026-11-22T21:00:00Z", times.MOMENT)
DATE = Form("a date such as 2026-11-22, or a time in UTC", times.DATE)
HEX = Form("16 to 128 hexadecimal digits", re.compile(r"[0-9a-f]{16,128}\Z"))


def parsed(text: str | bytes) -> Any:
    """The JSON value in ``text``, whatever it is. Raises ValueError, RecursionError."""
    return json.loads(text, parse_int=_integer)


def json_fault(error: Exception) -> str:
    """The reason why ``parsed`` raised ``error``, in words of this program."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON from line {error.lineno}, column {error.colno} on"
    if isinstance(error, UnicodeDecodeError):
        return f"not JSON: byte {error.start} is no UTF-8"
    return (
        "not JSON: nested too deep" if isinstance(error, RecursionError) else f"not JSON: {str(error)[:80]}"
    )


def measure(text: str) -> None:
    """Raise FieldError for a JSON text with so many values that they would fill memory."""
    if text.count("{") + text.count("[") > MAX_PARTS or text.count('"') + text.count(",") > MAX_TEXTS:
        raise FieldError(f"more than {MAX_PARTS} objects and lists, or {MAX_TEXTS} quotes and commas")


def document(text: str, most: int, schema: int, entries: int = MAX_ITEMS) -> dict[str, Any]:
    """The JSON object in ``text``, of a schema number from 1 up to ``schema``."""
    if len(text) > most:
        raise FieldError(f"larger than {most} characters")
    measure(text)
    try:
        data = parsed(text)
    except (ValueError, RecursionError) as error:
        raise FieldError(json_fault(error)) from None
    if not isinstance(data, dict) or len(data) > entries:
        raise FieldError(f"not a JSON object of at most {entries} entries")
    found = data.get("schema")
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= schema:
        raise FieldError(f"schema {str(found)[:20]} is not known, up to {schema} is")
    return data


def _integer(digits: str) -> int:
    """A JSON integer; turning a text of thousands of digits into a number takes quadratic time."""
    if len(digits) > 20:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def text(
    data: Any, key: str | int, form: Form = TEXT, default: str | None = None, empty: bool = False
) -> str:
    """A printable text of ``form``; ``empty`` allows "" too, whatever the form."""
    value = data[key] if isinstance(key, int) else data.get(key, default)
    if isinstance(value, str) and len(value) <= form.most and value.isprintable():
        if value == "":
            if empty or default == "":
                return value
        elif form.pattern is None or form.pattern.match(value):
            return value
    raise _wrong(key, form.expected, _value(data, key, default))


def maybe(data: Any, key: str | int, form: Form = TEXT) -> str:
    """A text of ``form``; "" where the field is absent, empty or null."""
    value = data.get(key)
    return "" if value is None else text(data, key, form, "")


def shown(data: Any, key: str | int, most: int, default: str | None = None) -> str:
    """A text for people: other unprintable characters than line feeds become question marks."""
    value = _value(data, key, default)
    if not isinstance(value, str) or len(value) > most:
        raise _wrong(key, f"a text of at most {most} characters", value)
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in value)


def choice(data: Any, key: str | int, words: Sequence[str]) -> str:
    """One of ``words``."""
    value = _value(data, key, None)
    if not isinstance(value, str) or value not in words:
        raise _wrong(key, "one of " + ", ".join(word or '""' for word in words), value)
    return value


def flag(data: Any, key: str | int, default: bool | None = None) -> bool:
    """True or false."""
    value = _value(data, key, default)
    if not isinstance(value, bool):
        raise _wrong(key, "true or false", value)
    return value


def number(data: Any, key: str | int, below: float, default: float | None = None) -> float:
    """A number from 0 up to, but not including, ``below``."""
    value = _value(data, key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < below:
        raise _wrong(key, f"a number from 0 to below {below:g}", value)
    return float(value)


def whole(data: Any, key: str | int, most: int, default: int | None = None) -> int:
    """A whole number from 0 to ``most``."""
    value = _value(data, key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _wrong(key, f"a whole number from 0 to {most}", value)
    return value


def items(data: Any, key: str | int, most: int = MAX_ITEMS, default: Any = None) -> list[Any]:
    """A list of at most ``most`` items, which are still unchecked."""
    value = _value(data, key, default)
    if not isinstance(value, list) or len(value) > most:
        raise _wrong(key, f"a list of at most {most} items", value)
    return value


def row(data: Any, key: str | int, length: int) -> list[Any]:
    """A list of exactly ``length`` items, which are still unchecked."""
    value = _value(data, key, None)
    if not isinstance(value, list) or len(value) != length:
        raise _wrong(key, f"a list of {length} items", value)
    return value


def object_of(data: Any, key: str | int, most: int = MAX_ITEMS, default: Any = None) -> dict[str, Any]:
    """An object of at most ``most`` entries, which are still unchecked."""
    value = _value(data, key, default)
    if not isinstance(value, dict) or len(value) > most:
        raise _wrong(key, f"an object of at most {most} entries", value)
    return value


def texts(
    data: Any, key: str | int, form: Form = TEXT, most: int = MAX_ITEMS, default: Any = None
) -> tuple[str, ...]:
    """A list of texts of ``form``."""
    rows = items(data, key, most, default)
    try:
        return tuple([text(rows, place, form) for place in range(len(rows))])
    except FieldError as error:
        raise error.within(key) from None


def each(
    data: Any,
    key: str | int,
    read: Callable[[dict[str, Any]], _T],
    most: int = MAX_ITEMS,
    default: Any = None,
) -> tuple[_T, ...]:
    """A list of objects, each turned into a value by ``read``."""
    listed = items(data, key, most, default)
    found: list[_T] = []
    try:
        for place, value in enumerate(listed):
            plain = isinstance(value, dict) and len(value) <= MAX_ITEMS
            found.append(_nested(read, value if plain else object_of(listed, place), place))
    except FieldError as error:
        raise error.within(key) from None
    return tuple(found)


def rows(
    data: Any,
    key: str | int,
    read: Callable[[list[Any]], _T],
    length: int,
    most: int = MAX_ITEMS,
    default: Any = None,
) -> tuple[_T, ...]:
    """A list of lists of ``length`` items, each turned into a value by ``read``."""
    listed = items(data, key, most, default)
    try:
        return tuple([_nested(read, row(listed, at, length), at) for at in range(len(listed))])
    except FieldError as error:
        raise error.within(key) from None


def mapping(
    data: Any,
    key: str | int,
    form: Form,
    read: Callable[[dict[str, Any]], _T],
    most: int = MAX_ITEMS,
    default: Any = None,
) -> dict[str, _T]:
    """An object whose names are of ``form`` and whose values are objects, each turned into a value."""
    entries = object_of(data, key, most, default)
    try:
        return {check(name, form): _nested(read, object_of(entries, name), name) for name in entries}
    except FieldError as error:
        raise error.within(key) from None


def inside(data: Any, key: str | int, read: Callable[[dict[str, Any]], _T]) -> _T:
    """An object, turned into a value by ``read``."""
    return _nested(read, object_of(data, key), key)


def check(name: str, form: Form) -> str:
    """``name``, the name of an entry in an object, when it is of ``form``."""
    return text({name: name}, name, form)


def _nested(read: Callable[[Any], _T], value: Any, key: str | int) -> _T:
    try:
        return read(value)
    except FieldError as error:
        raise error.within(key) from None


def _value(data: Any, key: str | int, default: Any) -> Any:
    value = data[key] if isinstance(key, int) else data.get(key, _ABSENT)
    if value is _ABSENT:
        if default is None:
            raise FieldError("is missing", key)
        return default
    return value


def _wrong(key: str | int, expected: str, value: object) -> FieldError:
    plain = value is None or isinstance(value, (str, bool, int, float))
    return FieldError(f"expected {expected}, not {value!r:.60}" if plain else f"expected {expected}", key)
