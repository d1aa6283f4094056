"""Steps of a network on their way to a description: what each is made of, its kind and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lipscope.models.capture.graph import Op
from lipscope.records import Shape

JOINTS = ("sum", "concatenation", "part")
"""Kinds that only stand in a block."""


@dataclass(frozen=True, eq=False)
class Step:
    """One entry of a description to be.

    Args:
        name: of its result.
        of: the names that it is made from.
        kind: as in a description.
        shape: of the result, without the batch.
        op: the operation that it comes from.
        keys: the other keys of the entry.
        tensors: by key, its stored numbers.
    """

    name: str
    of: tuple[str, ...]
    kind: str
    shape: Shape
    op: Op
    keys: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Steps:
    """The steps of one operation, one after another; the last has the operation's name.

    Args:
        op: the operation.
    """

    def __init__(self, op: Op) -> None:
        self._op = op
        self.made: list[Step] = []

    def add(
        self,
        kind: str,
        shape: Shape,
        *,
        of: tuple[Op | Step, ...] = (),
        tensors: Mapping[str, Tensor | None] | None = None,
        keys: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Step:
        """Append a step and return it.

        Args:
            kind: as in a description.
            shape: of the result.
            of: what it is made of; the step before where it is not given.
            tensors: by key; those that are None are left out.
            keys, more: of the entry; those that are None are left out.
        """
        before = tuple(value.name for value in of) or (self.made[-1].name,)
        held = {key: value.detach() for key, value in (tensors or {}).items() if value is not None}
        kept = {key: value for key, value in {**(keys or {}), **more}.items() if value is not None}
        name = f"{self._op.name}.{len(self.made)}"
        self.made.append(Step(name, before, kind, shape, self._op, kept, held))
        return self.made[-1]

    def finish(self) -> list[Step]:
        """All of them; the last is called like the operation."""
        *others, last = self.made
        return [*others, Step(self._op.name, last.of, last.kind, last.shape, last.op, last.keys, last.tensors)]
