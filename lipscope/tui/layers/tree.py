"""The layers as a tree of their dotted names."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual import on
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import NodeID, TreeNode

from lipscope.tui.layers.rows import Row
from lipscope.tui.numerals import bound_text
from lipscope.tui.text import harmless

DEEPEST = 12
"""Levels; a name with more dots keeps the rest in one piece."""

FOLDED = 2000
"""Layers beyond which branches begin folded, and are made when they are opened."""

Branch = dict[tuple[str, bool], Any]
"""What is below a branch, in order: further branches by (part of the name, true), layers by (name, false)."""


class LayerTree(Tree[str]):
    """Stages, blocks and layers; a leaf carries its bound."""

    class Chosen(Message):
        """Another layer is under the cursor."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Opened(Message):
        """A layer was chosen with enter or the mouse."""

    def __init__(self) -> None:
        super().__init__("layers")
        self.show_root = False
        self.guide_depth = 3
        self.auto_expand = True
        self._rows: dict[str, Row] = {}
        self._leaves: dict[str, TreeNode[str]] = {}
        self._branches: dict[tuple[str, ...], TreeNode[str]] = {}
        self._waiting: dict[NodeID, tuple[tuple[str, ...], Branch]] = {}

    def show(self, rows: list[Row]) -> None:
        """Show other rows; what is folded stays so while the names are the same."""
        same = len(rows) == len(self._rows) and all(row.key == key for row, key in zip(rows, self._rows, strict=True))
        self._rows = {row.key: row for row in rows}
        if not same:
            self._grow()
        for key, node in self._leaves.items():
            label = leaf_text(self._rows[key])
            if node.label != label:
                node.set_label(label)

    def choose(self, key: str) -> None:
        """Put the cursor on a layer, unfolding what hides it."""
        if key not in self._rows:
            return
        *above, _last = key.split(".", DEEPEST)
        for depth in range(1, len(above) + 1):
            branch = self._branches[tuple(above[:depth])]
            self._unfold(branch)
            branch.expand()
        self.call_after_refresh(self.move_cursor, self._leaves[key])

    def _grow(self) -> None:
        self.clear()
        self._leaves, self._branches, self._waiting = {}, {}, {}
        whole: Branch = {}
        for key in self._rows:
            here = whole
            for part in key.split(".", DEEPEST)[:-1]:
                here = here.setdefault((part, True), {})
            here[key, False] = {}
        self._add(self.root, (), whole)

    def _add(self, node: TreeNode[str], place: tuple[str, ...], branch: Branch) -> None:
        """What is directly below a node; of a few layers everything at once, for then nothing is folded."""
        few = len(self._rows) <= FOLDED
        for (name, is_branch), below in branch.items():
            if not is_branch:
                self._leaves[name] = node.add_leaf(leaf_text(self._rows[name]), data=name)
                continue
            child = node.add(Text(harmless(name or "(no name)", 60)), expand=few)
            self._branches[*place, name] = child
            if few:
                self._add(child, (*place, name), below)
            else:
                self._waiting[child.id] = ((*place, name), below)

    def _unfold(self, node: TreeNode[str]) -> None:
        """Make what is below a branch, when it is opened for the first time."""
        if node.id in self._waiting:
            self._add(node, *self._waiting.pop(node.id))

    @on(Tree.NodeExpanded)
    def _opened(self, event: Tree.NodeExpanded[str]) -> None:
        event.stop()
        self._unfold(event.node)

    @on(Tree.NodeHighlighted)
    def _moved(self, event: Tree.NodeHighlighted[str]) -> None:
        event.stop()
        if event.node.data is not None:
            self.post_message(self.Chosen(event.node.data))

    @on(Tree.NodeSelected)
    def _selected(self, event: Tree.NodeSelected[str]) -> None:
        event.stop()
        if event.node.data is not None:
            self.post_message(self.Opened())


def leaf_text(row: Row) -> Text:
    """The last part of the name, its kind and its bound.

    >>> leaf_text(Row("stage1.conv", "SOC 3x3")).plain
    'conv  SOC 3x3'
    """
    name = row.key.split(".", DEEPEST)[-1]
    parts = [(harmless(name or "(no name)", 60, keep="end"), "bold"), ("  " + harmless(row.kind, 40), "")]
    if row.report is not None:
        parts.append((f"  {bound_text(row.report.bound)}", ""))
    return Text.assemble(*parts)
