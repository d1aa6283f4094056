from __future__ import annotations

import time

from textual.app import App, ComposeResult

from lipscope.tui.layers.rows import Row
from lipscope.tui.layers.table import LayerTable
from lipscope.tui.layers.tree import LayerTree

MANY = [
    Row(f"model.layers.{layer}.block_sparse_moe.experts.{expert}.w{part}", "matrix 2 x 2")
    for layer in range(400)
    for expert in range(30)
    for part in (1, 2, 3)
]
"""36,000 names, as of a sharded mixture of experts."""


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        yield LayerTable()
        yield LayerTree()


async def test_tens_of_thousands_of_rows_are_there_at_once_and_every_one_in_its_place() -> None:
    app = Shown()
    async with app.run_test(size=(120, 36)) as pilot:
        table = app.query_one(LayerTable)
        started = time.process_time()
        table.show(MANY)
        await pilot.pause()
        # Made one by one they take ten times as long.
        assert time.process_time() - started < 3
        assert table.row_count == len(MANY)
        for place in (0, 1, 17, len(MANY) - 1):
            assert table.coordinate_to_cell_key((place, 0)).row_key.value == MANY[place].key
            assert MANY[place].key.endswith(table.get_row_at(place)[0].plain.lstrip("…"))
        table.action_scroll_end()
        await pilot.pause()
        assert table.chosen == MANY[-1]
        table.show(MANY[::-1])
        await pilot.pause()
        assert table.get_row_index(MANY[-1].key) == 0
        assert table.chosen == MANY[-1]
        changed = Row(MANY[-1].key, "another kind")
        table.show([changed, *MANY[-2::-1]])
        assert "another kind" in [cell.plain for cell in table.get_row_at(0)]
        table.show([])
        assert table.row_count == 0
        assert table.chosen is None


async def test_a_tree_of_tens_of_thousands_of_names_is_folded_and_opens_where_one_looks() -> None:
    app = Shown()
    async with app.run_test(size=(120, 36)) as pilot:
        tree = app.query_one(LayerTree)
        started = time.process_time()
        tree.show(MANY)
        await pilot.pause()
        assert time.process_time() - started < 3
        (model,) = tree.root.children
        assert model.is_collapsed
        assert not model.children
        tree.choose(MANY[5000].key)
        await pilot.pause()
        assert tree.cursor_node is not None
        assert tree.cursor_node.data == MANY[5000].key
        model.expand()
        (layers,) = model.children
        assert len(layers.children) == 400
        layers.children[7].expand()
        await pilot.pause()
        assert [str(child.label) for child in layers.children[7].children] == ["block_sparse_moe"]
        tree.show(MANY[:50])
        await pilot.pause()
        assert tree.root.children[0].is_expanded
