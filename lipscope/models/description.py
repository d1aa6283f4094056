"""A description of a network in JSON: how the tensors of a file are connected (docs/describe.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from lipscope.errors import UsageError
from lipscope.files.keys_once import keys_once
from lipscope.files.opening import read_regular
from lipscope.records import Shape

SCHEMA = "lipscope.describe/2"
SCHEMAS = ("lipscope.describe/1", SCHEMA)
KEYS = ("schema", "input_shape", "layers", "dataset", "architecture", "classes")
LARGEST = 10_000_000
"""Bytes of a description."""

LARGEST_INPUT = 2**26
"""Numbers in one input."""

WHOLE = 2**31 - 1
"""The largest whole number: sizes and places in torch."""


@dataclass(frozen=True)
class Entry:
    """One object of a ``layers`` list, read key by key; whatever is not read in the end is a mistake.

    Args:
        values: the object.
        where: the file and the place in it, for messages.
        name: the layer's name.
        read: the keys that have been asked for.
    """

    values: Mapping[str, Any]
    where: str
    name: str
    read: set[str] = field(default_factory=lambda: {"kind", "name"})

    @property
    def kind(self) -> str:
        """What the layer is."""
        return str(self.values["kind"])

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        self.read.add(key)
        return key in self.values

    def whole(self, key: str, default: int, *, least: int = 1) -> int:
        """A whole number."""
        value = self._get(key, default)
        if not _is_whole(value, least):
            raise self.wrong(key, value, f"a whole number from {least}")
        return value

    def pair(self, key: str, default: int | tuple[int, int] | None, *, least: int = 1) -> tuple[int, int]:
        """A whole number, or two of them: vertical, horizontal."""
        value = self._get(key, default)
        numbers = (value, value) if type(value) is int else tuple(value) if isinstance(value, list | tuple) else ()
        if len(numbers) != 2 or not all(_is_whole(number, least) for number in numbers):
            raise self.wrong(key, value, f"a whole number from {least}, or two of them: [vertical, horizontal]")
        return numbers[0], numbers[1]

    def number(self, key: str, default: float) -> float:
        """A number that float32 holds."""
        value = self._get(key, default)
        if not _is_finite(value):
            raise self.wrong(key, value, f"a number of at most {LARGEST_NUMBER:g}")
        return float(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers that float32 holds."""
        value = self._get(key, None)
        if not isinstance(value, list) or not all(map(_is_finite, value)):
            raise self.wrong(key, value, f"a list of numbers of at most {LARGEST_NUMBER:g}")
        return tuple(map(float, value))

    def wholes(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self._get(key, None)
        if not isinstance(value, list) or not all(map(_is_whole, value)):
            raise self.wrong(key, value, "a list of whole numbers")
        return tuple(value)

    def sides(self, key: str) -> tuple[tuple[int, int], ...]:
        """A list of [before, after], one for each axis."""
        value = self._get(key, None)
        if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
            raise self.wrong(key, value, "a list of [before, after]")
        if not value or any(type(number) is not int for pair in value for number in pair):
            raise self.wrong(key, value, "a list of [before, after]")
        return tuple((before, after) for before, after in value)

    def flag(self, key: str) -> bool:
        """True or false; false where it is missing."""
        value = self._get(key, False)
        if type(value) is not bool:
            raise self.wrong(key, value, "true or false")
        return value

    def made_of(self, before: str) -> tuple[str, ...]:
        """The names under ``of``, one or a list; the step before where it is missing."""
        value = self._get("of", before)
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise self.wrong("of", value, "a name or a list of names")
        return tuple(names)

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self._get(key, default)
        if value not in choices:
            raise self.wrong(key, value, f"one of {', '.join(choices)}")
        return str(value)

    def text(self, key: str) -> str:
        """A string."""
        value = self._get(key, None)
        if not isinstance(value, str):
            raise self.wrong(key, value, "a string")
        return value

    def entries(self, key: str) -> list[Entry]:
        """A nested list of layers."""
        self.read.add(key)
        return entries_of(self.values.get(key, []), f"{self.where}.{key}", self.name)

    def finish(self) -> None:
        """Refuse keys that mean nothing.

        Raises:
            UsageError: naming the first of them and those that are known.
        """
        unknown = sorted(set(self.values) - self.read)
        if unknown:
            raise UsageError(
                f"unknown key {unknown[0][:80]!r}", where=self.where,
                why=f"a {self.kind} knows {', '.join(sorted(self.read))}",
            )  # fmt: skip

    def wrong(self, key: str, value: object, expected: str) -> UsageError:
        """The error of a value that cannot be."""
        return UsageError(f"{key} must be {expected}", where=self.where, why=f"got {str(value)[:80]!r}")

    def _get(self, key: str, default: object) -> Any:
        self.read.add(key)
        return self.values.get(key, default)


def _is_whole(value: Any, least: int = -WHOLE) -> TypeGuard[int]:
    """Whether this is a whole number from ``least`` on that torch can hold."""
    return type(value) is int and least <= value <= WHOLE


LARGEST_NUMBER = 3.4e38
"""A little below what float32 holds, in which torch takes what is no tensor."""


def _is_finite(value: Any) -> bool:
    """Whether this is a number of at most that size; JSON can spell whole numbers of any."""
    return type(value) in (int, float) and abs(value) <= LARGEST_NUMBER


@dataclass(frozen=True)
class Description:
    """A parsed description.

    Args:
        input_shape: of one input, without the batch.
        entries: the layers in forward order.
        dataset: whose test images the gradients are measured on; None for synthetic ones.
        classes: their names; None where they are not given.
    """

    input_shape: Shape
    entries: tuple[Entry, ...]
    dataset: str | None
    classes: tuple[str, ...] | None = None


def read_description(path: Path) -> Description:
    """Read a description; the layers are read by whoever builds them.

    Raises:
        UsageError: missing, no JSON, or not of this form.
    """
    where = str(path)
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError("is too large for a description", where=where)
        content = json.loads(read_regular(path).decode(), object_pairs_hook=keys_once)
    except OSError as error:
        raise UsageError("cannot be read", where=where, why=error) from error
    except (ValueError, RecursionError) as error:
        raise UsageError("is not JSON", where=where, why=str(error)[:200], next_step="see docs/describe.md") from error
    return parse_description(content, where)


def parse_description(content: object, where: str) -> Description:
    """A description that was read as JSON.

    Args:
        content: the value.
        where: the file, for messages.

    Raises:
        UsageError: not of this form.
    """
    if not isinstance(content, dict) or content.get("schema") not in SCHEMAS:
        found = content.get("schema") if isinstance(content, dict) else None
        raise UsageError(
            "is not a description of this version", where=where,
            why=f"schema {str(found)[:80]!r}, expected {SCHEMA!r}", next_step="see docs/describe.md",
        )  # fmt: skip
    unknown = sorted(set(content) - set(KEYS))
    if unknown:
        raise UsageError(f"unknown key {unknown[0][:80]!r}", where=where, why=f"known are {', '.join(KEYS)}")
    shape = content.get("input_shape")
    if not isinstance(shape, list) or len(shape) not in (1, 2, 3) or any(type(n) is not int or n < 1 for n in shape):
        raise UsageError("input_shape must be [features] or [channels, height, width]", where=where)
    if math.prod(shape) > LARGEST_INPUT:
        raise UsageError("input_shape is too large", where=where, why=f"{math.prod(shape)} numbers")
    dataset, classes = content.get("dataset"), content.get("classes")
    if dataset is not None and not isinstance(dataset, str):
        raise UsageError("dataset must be a name", where=where)
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise UsageError("classes must be a list of names", where=where)
    entries = entries_of(content.get("layers"), f"{where}: layers", "")
    if not entries:
        raise UsageError("layers must list at least one layer", where=where)
    return Description(tuple(shape), tuple(entries), dataset, None if classes is None else tuple(classes))


def entries_of(values: object, where: str, parent: str) -> list[Entry]:
    """The objects of a ``layers`` list; those without a name are called by their place and kind.

    Raises:
        UsageError: no list, no object, or no kind.
    """
    if not isinstance(values, list):
        raise UsageError("must be a list of layers", where=where)
    found = []
    for position, value in enumerate(values):
        place = f"{where}[{position}]"
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise UsageError('must be an object with a "kind"', where=place)
        name = value.get("name", f"{parent}.{position}.{value['kind']}".lstrip("."))
        if not isinstance(name, str) or not name:
            raise UsageError("name must be a string", where=place)
        found.append(Entry(value, f"{place} ({name[:80]})", name))
    return found
