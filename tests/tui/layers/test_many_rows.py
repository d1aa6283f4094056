from __future__ import annotations

import time

from lipscope.tui.layers.lines import item_line, layout, sigma_axis, widest
from lipscope.tui.layers.rows import Row, folded


def test_tens_of_thousands_of_rows_cost_little_and_a_line_is_made_when_it_is_seen() -> None:
    many = [  # 36,000 names, as of a sharded mixture of experts
        Row(f"model.layers.{layer}.block_sparse_moe.experts.{expert}.w{part}", "matrix 2 x 2")
        for layer in range(400)
        for expert in range(30)
        for part in (1, 2, 3)
    ]
    started = time.process_time()
    items = folded(many)
    columns = layout(120, widest(items))
    assert time.process_time() - started < 3
    assert [item[0].key for item in items] == [row.key for row in many]
    for place in (0, 17, len(many) - 1):
        line = "".join(text for text, _ in item_line(items[place], columns, sigma_axis([]), ""))
        assert many[place].key.endswith(line.split()[0].lstrip("…"))
