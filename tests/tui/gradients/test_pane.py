from dataclasses import replace

import pytest

from lipscope.records import AnalysisEvent, GradientNorms, Tightness
from lipscope.tui.app import InspectApp
from lipscope.tui.gradients.pane import GradientsPane
from lipscope.tui.registry import entry
from lipscope.tui.widgets.chart import Chart
from tests.tui.conftest import FAILURE, Script, bounds, finished, screen_text, until, words

TIGHT = Tightness((0.7, 0.72, 0.74, 0.8), 0.74, 0.7, 0.8, 0.703, 0.791, 3.98883, "4 images of cifar10 test")
LOSER = "stage2.block1.conv"


def measured(report):
    """One layer loses a quarter; random gradients lose more than real ones."""
    mean = {LOSER: 0.75, "normalise": 3.98883}.get(report.name, 1.0)

    def norms(middle, gradients):
        return GradientNorms(
            middle, middle - 0.06, middle + 0.02, middle - 0.03, middle + 0.01, "4 images of cifar10 test", gradients
        )

    return replace(
        report,
        gradient_norm=norms(mean, "margin"),
        gradient_norm_random=norms(mean - 0.15, "random"),
        gradient_norm_cumulative=None if report.role == "head" else norms(0.8, "margin, cumulative"),
    )


class Measuring(Script):
    """Bounds, then gradients with the tightness."""

    def __call__(self, path):
        yield from super().__call__(path)
        for report in self.reports:
            yield AnalysisEvent(25, 25, "", layer=measured(report), tightness=TIGHT)


@pytest.fixture
def measuring():
    return Measuring(bounds_only=True)


async def gradients(pilot) -> GradientsPane:
    await pilot.press(entry("gradients").key)
    await pilot.pause()
    return pilot.app.query_one(GradientsPane)


def line_of(app, name: str) -> str:
    return next(
        line
        for line in screen_text(app).split("\n")
        if f"{name} " in line and ("●" in line or "▶" in line or "◉" in line)
    )


async def test_it_is_the_third_screen(model, measuring):
    app = InspectApp(model, analyse=measuring)
    async with finished(app) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "gradient norm passed back" in screen_text(app))
        assert app.focused in app.query_one(GradientsPane).query("*")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 36), (200, 60)])
async def test_the_layer_that_loses_most_is_marked_in_words_at_every_size(model, measuring, size):
    app = InspectApp(model, analyse=measuring)
    async with finished(app, size) as pilot:
        await gradients(pilot)
        await until(pilot, lambda: "0.7500" in screen_text(app))
        lines = screen_text(app).split("\n")
        assert f"Loses most: {LOSER}" in words(app, "#gradients-words")
        assert "End to end ~0.740 of the proved bound" in words(app, "#gradients-words")
        for row in lines:
            assert len(row) == size[0]


async def test_real_and_random_gradients_stand_on_one_axis(model, measuring):
    app = InspectApp(model, analyse=measuring)
    async with finished(app, (120, 36)) as pilot:
        await gradients(pilot)
        await until(pilot, lambda: "├─" in screen_text(app))
        row = line_of(app, LOSER)
        marks = [row.index(mark) for mark in "○·●┤╎"]  # random left of the real ones
        assert marks == sorted(marks)
        assert "0.8000 █" in row  # the cumulative norm, as number and bar
        assert "3.9888" in line_of(app, "normalise")
        assert line_of(app, "normalise").count("▶") == 1
        await pilot.press("enter")
        await until(pilot, lambda: app.query_one("TabbedContent").active == "layers")
        assert app.query_one("LayersPane").chosen.key == LOSER
        await pilot.press("escape")
        await until(pilot, lambda: app.query_one("TabbedContent").active == "gradients")


async def test_the_tightness_is_a_histogram_where_there_is_room(model, measuring):
    app = InspectApp(model, analyse=measuring)
    async with finished(app, (120, 36)) as pilot:
        await gradients(pilot)
        await until(pilot, lambda: "mean 0.740" in screen_text(app))
        assert "~ tightness of the certificate" in screen_text(app)
        assert "mean 0.7400 min 0.7000 5% 0.7030 95% 0.7910 max 0.8000" in words(app, "#tightness-words")
        assert app.query_one("#tightness", Chart).region.area
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: not app.query_one("#tightness", Chart).region.area)
        assert "End to end ~0.740 of the proved bound" in words(app, "#gradients-words")


async def test_the_rows_scroll(model, measuring):
    app = InspectApp(model, analyse=measuring)
    async with finished(app, (60, 20)) as pilot:
        await gradients(pilot)
        await until(pilot, lambda: "0.7500" in screen_text(app))
        assert "head " not in screen_text(app)
        await pilot.press("end")
        await until(pilot, lambda: " head " in screen_text(app))


async def test_before_they_are_measured(model, script):
    script.hold_at = 5
    app = InspectApp(model, analyse=script)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.state.done == 5)
        await gradients(pilot)
        await until(pilot, lambda: "as soon as the bounds are proved" in words(app, "#gradients-notice"))


async def test_a_failure_is_shown_inside(model):
    app = InspectApp(model, analyse=Script(failure=FAILURE, failure_first=True))
    async with finished(app, (80, 24)) as pilot:
        await gradients(pilot)
        await until(pilot, lambda: "the weights are not finite" in screen_text(app))
        assert "train it again" in screen_text(app)


async def test_an_unknown_file_says_what_would_help(unknown):
    from lipscope.records import Bound, LayerReport, Verdict

    report = LayerReport("fc.weight", "matrix", None, None, Bound(1.5, "norm"), role="tensor")
    script = Script([report], verdict=Verdict("not-proved", None, "no model"), bounds_only=True)
    app = InspectApp(unknown, analyse=script)
    async with finished(app, (80, 24)) as pilot:
        await gradients(pilot)
        await until(pilot, lambda: "--describe arch.json" in words(app, "#gradients-notice"))


async def test_the_sheet_for_export(model, measuring):
    app = InspectApp(model, analyse=measuring)
    async with finished(app) as pilot:
        sheet = (await gradients(pilot)).sheet()
        assert [row["layer"] for row in sheet.rows] == [report.name for report in bounds()]
        assert [row["layer"] for row in sheet.rows if row["loses most"]] == [LOSER]
