from __future__ import annotations

import time

from textual.app import App, ComposeResult

from lipscope.tui.layers.rows import Row
from lipscope.tui.layers.table import LayerTable

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
