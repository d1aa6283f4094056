"""The layers as a tree of their dotted names."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from lipscope.tui.layers.rows import Row
from lipscope.tui.numerals import bound_text
from lipscope.tui.text import harmless

DEEPEST = 12
"""Levels; a name with more dots keeps the rest in one piece."""


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
        self._shown: list[str] = []
        self._leaves: dict[str, TreeNode[str]] = {}

    def show(self, rows: list[Row]) -> None:
        """Show other rows; what is folded stays so while the names are the same."""
        keys = [row.key for row in rows]
        if keys != self._shown:
            self._shown = keys
            self._grow(rows)
        for row in rows:
            node = self._leaves[row.key]
            label = leaf_text(row)
            if node.label != label:
                node.set_label(label)

    def choose(self, key: str) -> None:
        """Put the cursor on a layer, unfolding what hides it."""
        node = self._leaves.get(key)
        if node is not None:
            above = node.parent
            while above is not None:
                above.expand()
                above = above.parent
            self.call_after_refresh(self.move_cursor, node)

    def _grow(self, rows: list[Row]) -> None:
        self.clear()
        self._leaves = {}
        branches: dict[tuple[str, ...], TreeNode[str]] = {(): self.root}
        for row in rows:
            *above, _last = row.key.split(".", DEEPEST)
            for depth in range(1, len(above) + 1):
                path = tuple(above[:depth])
                if path not in branches:
                    # A branch of one name is folded open: with a few stages everything is seen at once.
                    branches[path] = branches[path[:-1]].add(Text(harmless(path[-1] or "(no name)", 60)), expand=True)
            self._leaves[row.key] = branches[tuple(above)].add_leaf(leaf_text(row), data=row.key)

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
