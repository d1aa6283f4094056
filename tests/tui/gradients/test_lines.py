from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lipscope.errors import CheckpointError
from lipscope.records import Bound, GradientNorms, LayerReport, Tightness
from lipscope.tui.gradients.lines import (
    absent,
    columns,
    cumulative_bar,
    gradient_axis,
    gradient_sheet,
    line,
    measured,
    ratio_text,
    strip,
    summary,
    tightness_words,
)
from lipscope.tui.plots.range import Range
from lipscope.tui.work.state import Phase, State


def norms(mean: float, minimum: float, low: float, high: float) -> GradientNorms:
    return GradientNorms(mean, minimum, high, low, high, "64 images of cifar10 test")


def layer(name: str, mean: float, **changes) -> LayerReport:
    return replace(
        LayerReport(
            name, "SOC", (3, 4, 4), (3, 4, 4), Bound(1.0, "by hand"),
            gradient_norm=norms(mean, mean - 0.2, mean - 0.1, mean + 0.1),
            gradient_norm_random=norms(mean - 0.3, 0, 0, 1),
            gradient_norm_cumulative=norms(0.5, 0, 0, 1),
        ),
        **changes,
    )  # fmt: skip


def report(name: str, role: str, margin: GradientNorms, random: GradientNorms | None = None) -> LayerReport:
    bound = Bound(1.0, "by hand")
    return LayerReport(name, "", None, None, bound, role=role, gradient_norm=margin, gradient_norm_random=random)


@pytest.fixture
def state(model):
    from lipscope.files.checkpoint import read_header

    layers = {report.name: report for report in (layer("first", 0.9), layer("second", 0.6), layer("third", 0.8))}
    tight = Tightness((0.25, 0.75), 0.5, 0.25, 0.75, 0.275, 0.725, 4.0, "2 images")
    return State(read_header(model), phase=Phase.DONE, layers=layers, tightness=tight)


def text(runs) -> str:
    return "".join(part for part, _ in runs)


def test_the_marks_stand_where_the_numbers_are():
    row = report("a", "body", norms(0.5, 0.1, 0.3, 0.7), norms(0.2, 0, 0, 1))
    drawn = text(strip(row, Range(0.0, 1.0), 101))
    places = {mark: drawn.index(mark) for mark in "·├●┤○╎"}
    assert places == {"·": 10, "├": 30, "●": 50, "┤": 70, "○": 20, "╎": 100}
    assert drawn[31:50] == "─" * 19


def test_means_that_coincide_have_a_mark_of_their_own():
    row = report("a", "body", norms(0.5, 0.5, 0.5, 0.5), norms(0.5, 0, 0, 1))
    assert text(strip(row, Range(0.0, 1.0), 11)) == "     ◉    ╎"


def test_what_lies_beyond_the_axis_points_there():
    row = report("normalize", "normalisation", norms(3.9, 3.9, 3.9, 3.9))
    assert strip(row, Range(0.0, 1.2), 13)[-1][0] == "▶"
    infinite = report("a", "body", norms(float("inf"), 0.5, 0.5, float("inf")))
    assert strip(infinite, Range(0.0, 1.2), 13)[-1][0] == "▶"


def test_a_tiny_spread_is_drawn_around_one():
    row = report("a", "body", norms(1 - 2e-6, 1 - 4e-6, 1 - 3e-6, 1))
    over, deviation = gradient_axis([row])
    assert deviation
    assert over.low < -4e-6 < 0 < over.high
    drawn = text(strip(row, over, 41, deviation=True))
    assert drawn.index("·") < drawn.index("├") < drawn.index("●") < drawn.index("┤")
    assert "-2.0e-6" in text(line(row, over, columns(80, 10), deviation=True, most=False))


def test_the_normalisation_does_not_set_the_axis():
    rows = [
        report("normalize", "normalisation", norms(3.9, 3.9, 3.9, 3.9)),
        report("a", "body", norms(0.9, 0.8, 0.85, 0.95)),
    ]
    over, _ = gradient_axis(rows)
    assert 0.7 < over.low < 0.8
    assert 1.0 < over.high < 1.1


@pytest.mark.parametrize("width", range(24, 220, 7))
@pytest.mark.parametrize("longest", [3, 25, 500])
def test_every_line_fits(state, width, longest):
    shape = columns(width, longest)
    over, deviation = gradient_axis(measured(state))
    for row in measured(state):
        shown = text(line(replace(row, name="x" * longest), over, shape, deviation=deviation, most=False))
        assert len(shown) <= max(width, shape.name + 7 + 8 + 7 + 4)


@pytest.mark.parametrize(("value", "text"), [(0.0, "  0.0000"), (1.0, "  1.0000"), (12345.0, " 1.2e+04")])
def test_ratios_as_text(value, text):
    assert ratio_text(value, 8) == text


def test_bars_are_proportional():
    for eighths in range(1, 65):
        drawn = cumulative_bar(eighths / 64, 8)
        assert len(drawn) == math.ceil(eighths / 8)
        assert drawn.count("█") == eighths // 8
    assert cumulative_bar(1e-9, 8) == "▏"
    assert cumulative_bar(0.0, 8) == ""
    assert [cumulative_bar(beyond, 8) for beyond in (1 + 1e-7, 1.1, math.inf, math.nan)] == ["█" * 8, *["███████>"] * 3]


def test_the_layer_that_loses_most_is_named(state):
    assert [row["loses most"] for row in gradient_sheet(state).rows] == [False, True, False]
    said = summary(state)
    assert said.plain.startswith("Loses most: second, which passes back 0.6000 of the norm (mean).")
    assert said.plain.endswith("Estimates on 64 images of cifar10 test.")
    assert [said.plain[span.start : span.end] for span in said.spans] == [said.plain[: said.plain.index(". End") + 1]]
    assert tightness_words(state).startswith("End to end ~0.500 of the proved bound")


def test_a_layer_is_measured_against_its_bound(state):
    """0.9 of a bound of 3 is less than 0.6 of a bound of 1."""
    layers = {**state.layers, "first": layer("first", 0.9, bound=Bound(3.0, "by hand"))}
    said = summary(replace(state, layers=layers)).plain
    assert said.startswith(
        "Loses most: first, which passes back 0.9000 of the norm (mean), 0.3000 of what its bound allows."
    )


def test_nothing_lost_is_said(state):
    layers = {"first": layer("first", 1.0), "head": layer("head", 0.3, role="head")}
    assert summary(replace(state, layers=layers)).plain.startswith("No layer of the body loses gradient")


def test_why_there_is_nothing(state, unknown):
    from lipscope.files.checkpoint import read_header

    assert absent(state) == ""
    empty = replace(state, layers={"first": replace(layer("first", 1.0), gradient_norm=None)})
    for phase, said in (
        (Phase.RUNNING, "as soon as the bounds are proved"),
        (Phase.FAILED, "the analysis failed"),
        (Phase.CANCELLED, "r starts it again"),
        (Phase.DONE, "vanish or overflow"),
    ):
        assert said in absent(replace(empty, phase=phase))
    tensors = {"w": LayerReport("w", "matrix", None, None, Bound(1.0, "by hand"), role="tensor")}
    assert "--describe" in absent(State(read_header(unknown), layers=tensors))
    failed = replace(empty, phase=Phase.FAILED, failure=CheckpointError("x"))
    assert summary(failed).plain == ""


def test_the_sheet_holds_every_number(state):
    sheet = gradient_sheet(state)
    assert len(sheet.columns) == 17
    assert sheet.columns[1] == "margin mean (estimate)"
    assert [row["layer"] for row in sheet.rows] == ["first", "second", "third"]
    assert [row["loses most"] for row in sheet.rows] == [False, True, False]
    assert sheet.rows[0]["margin mean (estimate)"] == 0.9
    assert sheet.facts["tightness"]["mean"] == 0.5
