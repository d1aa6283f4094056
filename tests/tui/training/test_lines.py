import math

import numpy as np
import pytest
from hypothesis import strategies as st

from lipscope.files.run_log import read_run, seconds_left
from lipscope.tui.plots.bars import sparkline
from lipscope.tui.training.lines import (
    LayerRow,
    column,
    ends,
    figures,
    layer_heading,
    layer_line,
    layer_rows,
    progress_words,
)
from lipscope.tui.work.run_watch import RunView
from tests.always import always
from tests.tui.runs import EPOCHS, LAYERS, STEPS, Run


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


def test_layers_through_the_epochs(run):
    run.train(1, 3)
    rows = layer_rows(read_run(run.path).layers)
    assert [row.name for row in rows] == list(LAYERS)
    head = rows[-1]
    assert np.isnan(head.bounds).all()
    np.testing.assert_allclose(head.gradients, [1 - 0.02 * 11 / epoch for epoch in (1, 2, 3)])
    assert ends(head.gradients) == pytest.approx((0.78, 1 - 0.22 / 3))
    assert ends(head.bounds)[0] != ends(head.bounds)[0]  # NaN


def test_a_layer_that_an_earlier_line_does_not_know(run):
    run.train(1, 2)
    first, second = read_run(run.path).layers
    shorter = type(first)(first.epoch, first.step, first.images, first.layers[1:])
    row = layer_rows([shorter, second])[0]
    assert math.isnan(row.gradients[0])
    assert row.gradients[1] == 1.0


def test_held_out_values_are_gaps_where_nothing_is_held_out(tmp_path):
    run = Run(tmp_path / "none", held=False)
    run.train(1, 2)
    assert np.isnan(column(read_run(run.path).epochs, "validation_accuracy")).all()


@always(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200), cells=st.integers(1, 40))
def test_a_trend_fits_its_cells_for_any_numbers(values, cells):
    drawn = sparkline(values, cells)
    assert len(drawn) <= cells
    assert set(drawn) <= set("▁▂▃▄▅▆▇█")


def test_bounds_of_a_log_do_not_look_proved():
    row = LayerRow("conv", np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    drawn = layer_line(row, 120)
    assert "●" not in layer_heading(120) + "".join(text for text, _ in drawn)
    assert not any("success" in style for _, style in drawn)
    assert "? bound ≤" in layer_heading(120)


def test_time_left(run):
    assert seconds_left(read_run(run.path)) is None
    run.train(1, 3)
    assert seconds_left(read_run(run.path)) == pytest.approx(75.0 * (EPOCHS - 3))
    run.tell("running", 4, 10)
    assert seconds_left(read_run(run.path)) == 425.0
    run.train(4, 4)  # the report is older than the epoch now
    assert seconds_left(read_run(run.path)) == pytest.approx(75.0 * (EPOCHS - 4))


def test_progress_in_words(run):
    run.train(1, 2)
    run.tell("running", 3, 50)
    view = RunView(run.path, read_run(run.path), "running")
    words = progress_words(view, 100)
    assert words.startswith("RUNNING  epoch 3 of 8, step 250 of 800  ▕")
    assert words.endswith(" 31%  7 min left")
    for width in range(40, 200):
        assert len(progress_words(view, width)) <= max(width, 64)
    assert figures(view.log, 100)[0].startswith("so far: loss 1.234, clean ~45.6%, certified ~32.1%")


def test_the_report_of_a_finished_epoch_is_not_shown_again(run):
    run.train(1, 2)
    run.tell("running", 2, STEPS)
    words = progress_words(RunView(run.path, read_run(run.path), "running"), 100)
    assert "epoch 2 of 8 done, step 200" in words
    assert not any("so far" in line for line in figures(read_run(run.path), 100))
