"""Frozen dataclasses as plain JSON values, and back by their annotations."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def revived(kind: Any, value: Any) -> Any:
    """The object of type ``kind`` that ``dataclasses.asdict`` made ``value`` of.

    Knows dataclasses, unions with None, tuples of one type, mappings, literals and what JSON itself has.

    Raises:
        TypeError, ValueError, KeyError: the value is not of that type.

    >>> from lipscope.records import Estimate
    >>> revived(Estimate | None, {"value": 1.0, "method": "by hand", "iterations": None, "residual": None})
    Estimate(value=1.0, method='by hand', iterations=None, residual=None)
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _member(get_args(kind), value)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{field.name: revived(hints[field.name], value[field.name]) for field in fields(kind)})
    if origin is tuple:
        return tuple(_items(get_args(kind), value))
    if origin is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{value!r} is none of {get_args(kind)}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = dict if isinstance(origin, type) and issubclass(origin, Mapping) else kind
    if expected is not Any and not isinstance(value, expected):
        raise TypeError(f"{type(value).__name__} instead of {expected}")
    return value


def _member(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in kinds:
        return None
    (kind,) = (kind for kind in kinds if kind is not type(None))
    return revived(kind, value)


def _items(kinds: tuple[Any, ...], value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{type(value).__name__} instead of a tuple")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        if kinds[0] is float and all(type(item) is float for item in value):
            return list(value)  # spectra: thousands of numbers
        return [revived(kinds[0], item) for item in value]
    return [revived(kind, item) for kind, item in zip(kinds, value, strict=True)]


def outline(kind: Any) -> str:
    """The names and types of a dataclass and of those inside it: two outlines differ when the records do."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        inside = ",".join(f"{field.name}:{outline(hints[field.name])}" for field in fields(kind))
        return f"{kind.__name__}({inside})"
    arguments = get_args(kind)
    if arguments and get_origin(kind) is not Literal:
        return f"{get_origin(kind)}[{','.join(outline(argument) for argument in arguments)}]"
    return str(kind)
