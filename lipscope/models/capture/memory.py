"""Values that share memory: what changes one of them in place changes them all, and the graph learns of one alone."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from torch.fx import Node

from lipscope.errors import UsageError

Place = tuple[Any, ...]
"""The node that made the memory, then (split, piece) for each time that it was cut into pieces apart."""


class Memory:
    """Follows the calls of a graph in order."""

    def __init__(self) -> None:
        self._places: dict[Node, Place] = {}
        self._outdated: set[Node] = set()

    def follow(self, node: Node, where: str) -> Node | None:
        """The value that this call changes in place, None where it changes none.

        Args:
            node: a call.
            where: the author's line.

        Raises:
            UsageError: it uses a value that was changed through another one, or changes something else than a value.
        """
        self.check(node.all_input_nodes, where)
        written = self._marked(node, write=True)
        if len(written) > 1:
            raise UsageError("changes several values in place", where=where, next_step="write y = f(x) instead")
        viewed = written or self._marked(node, write=False)
        self._places[node] = self._place(node, viewed[0] if viewed else None)
        if not written:
            return None
        mine = self._of(written[0])
        others = set(self._places) - {node, written[0]}
        self._outdated |= {other for other in others if _overlap(self._of(other), mine)}
        return written[0]

    def check(self, used: Iterable[Node], where: str) -> None:
        """Refuse values that were changed through another one.

        Raises:
            UsageError: one of them was.
        """
        if not self._outdated.isdisjoint(used):
            raise UsageError(
                "uses a value that was changed in place through a view of it", where=where,
                why="which numbers it holds now is not followed", next_step="write y = f(x) instead of f_(x)",
            )  # fmt: skip

    def _of(self, node: Node) -> Place:
        return self._places.setdefault(node, (node,))

    def _place(self, node: Node, viewed: Node | None) -> Place:
        if node.target is operator.getitem:
            whole, piece = node.args
            assert isinstance(whole, Node)
            before = self._of(whole)
            return (node,) if before == (whole,) else (*before, (whole, piece))
        return (node,) if viewed is None else self._of(viewed)

    def _marked(self, node: Node, *, write: bool) -> list[Node]:
        """The arguments that the call changes, or whose views it returns."""
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            return []
        given = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
        found = [
            given.get(argument.name)
            for argument in schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write == write
        ]
        return [value for value in found if isinstance(value, Node)]


def _overlap(first: Place, second: Place) -> bool:
    """Whether two places may share numbers: not if they are different pieces of one split."""
    if first[0] is not second[0]:
        return False
    for (split, piece), (other, another) in zip(first[1:], second[1:], strict=False):
        if split is not other:
            return True
        if piece != another:
            return False
    return True
