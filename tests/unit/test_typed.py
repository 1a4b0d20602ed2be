# SPDX-License-Identifier: GPL-2.0-or-later
"""The stand-in for typing.NamedTuple builds the same classes, and costs no import of typing."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from dnf_plugin_livepatch.base import typed


class Point(typed.NamedTuple):
    """A place."""

    x: int
    y: int = 2
    label: tuple[str, ...] = ()

    @property
    def sum(self) -> int:
        """The sum of both."""
        return self.x + self.y

    @classmethod
    def origin(cls) -> Point:
        """The place at 0, 0."""
        return cls(0, 0)

    def __str__(self) -> str:
        return f"{self.x}/{self.y}"


class Same(typing.NamedTuple):
    """A place."""

    x: int
    y: int = 2
    label: tuple[str, ...] = ()


def test_it_is_the_class_that_typing_makes() -> None:
    assert Point._fields == Same._fields and Point._field_defaults == Same._field_defaults
    assert Point.__annotations__.keys() == Same.__annotations__.keys()
    assert (Point.__doc__, Point.__module__, Point.__qualname__) == ("A place.", __name__, "Point")
    assert Point.__bases__ == Same.__bases__ == (tuple,)
    assert Point(1) == (1, 2, ()) == Point(1, label=()) and Point(y=5, x=1).y == 5
    assert not hasattr(Point(1), "__dict__"), "a tuple, and nothing beside it"
    assert Point(1)._replace(y=7)._asdict() == {"x": 1, "y": 7, "label": ()}
    assert repr(Point(1)) == "Point(x=1, y=2, label=())"


def test_methods_and_properties_are_kept() -> None:
    assert (Point(1).sum, str(Point(1, 3)), Point.origin()) == (3, "1/3", Point(0, 0))
    assert Point.sum.__doc__ == "The sum of both."


def test_it_can_be_copied_and_sent() -> None:
    point = Point(1, 2, ("a",))
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == point


def test_wrong_arguments_and_fields_are_refused() -> None:
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Point(1, z=3)  # type: ignore[call-arg]
    body = {"__module__": "m", "__qualname__": "Bad", "__annotations__": {"a": "int", "b": "int"}, "a": 1}
    with pytest.raises(TypeError, match="without a default"):
        type(typed.NamedTuple)("Bad", (typed.NamedTuple,), body)


def test_nothing_of_it_imports_typing() -> None:
    top = str(Path(typed.__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {top!r}); import dnf_plugin_livepatch.base.typed"
    code += "; assert 'typing' not in sys.modules"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
