import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import strategies as st

from lipscope.tui.plots.blocks import (
    Range,
    axis,
    bin_counts,
    count_labels,
    graduated,
    heights,
    histogram,
    nice_ticks,
    spectrum_axis,
    tick_labels,
)
from tests.always import always


@pytest.mark.parametrize(
    ("counts", "rows", "drawn"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], 1, [" ▁▂▃▄▅▆▇█"]),
        ([16, 9, 8, 1, 0], 2, ["█▁   ", "███▁ "]),
        ([0, 0], 2, ["  ", "  "]),
        ([1000, 1], 1, ["█▁"]),  # one among a thousand is still to be seen
    ],
)
def test_linear_characters(counts, rows, drawn):
    assert histogram(counts, rows) == drawn


def test_log_characters():
    # log(1 + 0), log(1 + 1), log(1 + 3), log(1 + 7): equal steps of log 2
    assert heights([0, 1, 3, 7], 3, log=True).tolist() == [0, 8, 16, 24]
    assert histogram([0, 1, 3, 7], 3, log=True) == ["   █", "  ██", " ███"]


@always(counts=st.lists(st.integers(0, 10**6), min_size=1, max_size=50), rows=st.integers(1, 20), log=st.booleans())
def test_bars_are_as_high_as_their_counts(counts, rows, log):
    drawn = histogram(counts, rows, log=log)
    assert [len(row) for row in drawn] == [len(counts)] * rows
    tall = heights(counts, rows, log=log)
    assert all((tall[i] <= tall[j]) for i in range(len(counts)) for j in range(len(counts)) if counts[i] <= counts[j])
    for column in range(len(counts)):
        cells = "".join(row[column] for row in reversed(drawn))
        assert cells == cells.rstrip(" ").ljust(rows)  # no gap inside a bar
        assert sum(" ▁▂▃▄▅▆▇█".index(cell) for cell in cells) == tall[column]


@always(values=st.lists(st.floats(-2, 3), min_size=1, max_size=200), columns=st.integers(1, 60))
def test_binning_agrees_with_numpy(values, columns):
    clipped = np.clip(values, 0.0, 1.0)
    edges = np.arange(1, columns) * (1 / columns)
    # Values within rounding of an edge may fall to either side.
    safe = clipped[np.all(np.abs(clipped[:, None] - edges[None, :]) > 1e-9, axis=1)]
    expected, _ = np.histogram(safe, bins=columns, range=(0.0, 1.0))
    assert bin_counts(safe, Range(0.0, 1.0), columns).tolist() == expected.tolist()
    assert bin_counts(values, Range(0.0, 1.0), columns).sum() == len(values)


def test_weights_count():
    assert bin_counts([0.1, 0.9], Range(0.0, 1.0), 2, [3.0, 0.5]).tolist() == [3.0, 0.5]


@always(low=st.floats(-1e3, 1e3), span=st.floats(1e-3, 1e6), rows=st.integers(1, 60))
def test_an_axis_upwards_is_linear_row_by_row(low, span, rows):
    up = Range(low, low + span)
    over, ticks = graduated(up, rows, max(rows // 3, 2))
    assert len(ticks) <= max(rows // 3, 3)
    if rows < 4:
        return
    assert len(ticks) >= 2
    assert over.low <= up.low < up.high < over.high  # all that is drawn fits, the ends too
    assert over.high - over.low <= (3.5 if rows < 8 else 2.5) * span
    places = [(tick - over.low) / (over.high - over.low) * rows for tick in ticks]
    assert np.allclose(places, np.round(places), atol=1e-3)  # each at the lower edge of its row
    assert len({over.column(b, rows) - over.column(a, rows) for a, b in pairwise(ticks)}) == 1


@always(low=st.floats(-1e6, 1e6), span=st.floats(1e-9, 1e6), most=st.integers(2, 12))
def test_ticks_are_nice_and_inside(low, span, most):
    over = Range(low, low + span)
    if over.high - over.low < 1e-12 * max(abs(low), 1):
        return
    ticks = nice_ticks(over, most)
    assert len(ticks) <= most
    slack = 1e-6 * span + 2 * np.spacing(max(abs(over.low), abs(over.high)))
    assert all(over.low - slack <= tick <= over.high + slack for tick in ticks)
    if len(ticks) > 2:
        step = ticks[1] - ticks[0]
        assert np.allclose(np.diff(ticks), step, rtol=1e-3)
        mantissa = step / 10 ** np.floor(np.log10(step) + 1e-6)
        assert min(abs(mantissa - nice) for nice in (1, 2, 5, 10)) < 1e-2


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.0, 0.5, 1.0], ["0.0", "0.5", "1.0"]),
        ([0.0, 1.0, 2.0], ["0", "1", "2"]),
        ([0.96, 0.98, 1.0], ["0.96", "0.98", "1.00"]),
        ([-2.5e-6, -1e-6, 0.0], ["-2.5e-6", "-1.0e-6", "0"]),
        ([0.1 + 0.2], ["0.3"]),  # never the fifteen digits of a float
        ([], []),
    ],
)
def test_tick_labels(ticks, labels):
    assert tick_labels(ticks) == labels


def test_axis_puts_each_label_under_its_tick():
    line, labels = axis(Range(0.0, 1.0), 41)
    assert len(line) == len(labels) == 41
    for at, label in [(20, "0.5"), (40, "1.0"), (0, "0.0")]:
        assert line[at] == "┴"
        assert abs(labels.index(label) + 1 - at) <= 2


def test_count_labels_of_a_log_axis_stand_where_their_bars_end():
    labels = count_labels(9999, 8, log=True)
    for power in (1, 10, 100, 1000):
        row = next(i for i, label in enumerate(labels) if label.strip() == f"{power:,}")
        bar = heights([power, 9999], 8, log=True)[0]
        assert row == 8 - -(-bar // 8) or abs((8 - row) * 8 - bar) <= 8


def test_spectrum_axis_always_shows_one():
    for values in ([0.2, 0.5], [3.0, 7.0], [1.0, 1.0], [0.9999977, 1.0]):
        over, deviation = spectrum_axis(np.array(values))
        assert over.low < (0.0 if deviation else 1.0) < over.high


def test_a_histogram_of_ten_thousand_takes_less_than_a_millisecond():
    values = np.random.default_rng(0).random(10_000)
    times = []
    for _ in range(30):
        start = time.thread_time()
        histogram(bin_counts(values, Range(0.0, 1.0), 100), 20)
        times.append(time.thread_time() - start)
    assert min(times) < 1e-3, f"{1e3 * min(times):.2f} ms"
