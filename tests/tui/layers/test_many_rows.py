from __future__ import annotations

import time

from lipscope.tui.layers.lines import item_line, layout, sigma_axis, widest
from lipscope.tui.layers.rows import Row, folded

MANY = [
    Row(f"model.layers.{layer}.block_sparse_moe.experts.{expert}.w{part}", "matrix 2 x 2")
    for layer in range(400)
    for expert in range(30)
    for part in (1, 2, 3)
]
"""36,000 names, as of a sharded mixture of experts."""


def test_tens_of_thousands_of_rows_cost_little_and_a_line_is_made_when_it_is_seen() -> None:
    started = time.process_time()
    items = folded(MANY)
    columns = layout(120, widest(items))
    assert time.process_time() - started < 3
    assert [item[0].key for item in items] == [row.key for row in MANY]
    for place in (0, 17, len(MANY) - 1):
        line = "".join(text for text, _ in item_line(items[place], columns, sigma_axis([]), ""))
        assert MANY[place].key.endswith(line.split()[0].lstrip("…"))
