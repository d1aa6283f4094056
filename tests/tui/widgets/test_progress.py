import pytest

from lipscope.tui.plots.bars import progress_bar


@pytest.mark.parametrize(
    ("done", "total", "bar"),
    [
        (0, 8, "        "),
        (1, 64, "▏       "),
        (4, 8, "████    "),
        (8, 8, "████████"),
        (9, 8, "████████"),
        (0, 0, " " * 8),
    ],
)
def test_bar(done, total, bar):
    assert progress_bar(done, total, 8) == bar
