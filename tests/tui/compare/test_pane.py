from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from lipscope.analysis.comparison import QUANTITIES, LayerPair
from lipscope.files.results import results_path
from lipscope.records import AnalysisEvent, Bound, Estimate
from lipscope.tui.app import InspectApp
from lipscope.tui.compare.lines import LABELS, changed, difference_text, differs
from lipscope.tui.compare.pane import ComparePane
from lipscope.tui.registry import entry
from lipscope.tui.widgets.chart import Chart
from lipscope.tui.work.state import Phase
from tests.tui.conftest import FAILURE, Script, bounds, finished, screen_text, until, words, write_checkpoint
from tests.tui.pictured import write_synthetic
from tests.waiting import GENEROUS


@pytest.fixture
def other(tmp_path):
    return write_checkpoint(tmp_path / "b.safetensors", channels=32)


async def comparing(pilot) -> ComparePane:
    app = pilot.app
    await pilot.press(entry("compare").key)
    await until(pilot, lambda: app.settled)
    return app.query_one(ComparePane)


async def test_layers_and_certified_images_side_by_side(model, other, script):
    a, b = write_synthetic(model), write_synthetic(other, seed=6)
    app = InspectApp(model, analyse=script, other=other)
    async with finished(app) as pilot:
        pane = await comparing(pilot)
        assert script.runs == 2
        assert pane._lines == []  # only what differs is listed
        assert "0 of 12 layers differ" in screen_text(app)
        await pilot.press("plus")
        assert [line.pair.name for line in pane._lines] == [report.name for report in bounds()]
        text = screen_text(app)
        assert "model.safetensors" in text
        assert "b.safetensors" in text
        sure = [certificates.correct & (certificates.radius > 36 / 255) for certificates in (a, b)]
        only_a, only_b = (sure[0] & ~sure[1]).sum(), (sure[1] & ~sure[0]).sum()
        assert f"only A {only_a}, only B {only_b}" in text
        told = " ".join(text.split())
        assert "certified at 36/255 by" in told
        assert f"both {(sure[0] & sure[1]).sum():,} " in told
        assert f"neither {(~sure[0] & ~sure[1]).sum():,} " in told
        assert f"{only_a + only_b} certified by one alone" in text
        assert f"{100 * sure[0].mean():.2f}%" in words(app, "#compare-accuracy")
        assert f"{100 * (sure[1].mean() - sure[0].mean()):+.2f}" in words(app, "#compare-accuracy")
        await pilot.press("d")
        await pilot.pause()
        assert f"{only_a} certified by A alone" in screen_text(app)
        assert set(pane._only.tolist()) == set(np.flatnonzero(sure[0] & ~sure[1]).tolist())
        await pilot.press("d", "right")
        await until(pilot, lambda: pane.eps == Fraction(37, 255))
        sure = [certificates.correct & (certificates.radius > 37 / 255) for certificates in (a, b)]
        assert set(pane._only.tolist()) == set(np.flatnonzero(sure[1] & ~sure[0]).tolist())
        await pilot.press("equals_sign", *"0.25", "enter")
        await until(pilot, lambda: pane.eps == Fraction(1, 4))
        assert "1/4" in words(app, "#compare-accuracy")


async def test_both_curves_are_told_apart_and_the_gap_has_an_axis_of_its_own(model, other, script):
    write_synthetic(model)
    write_synthetic(other, seed=6, radius=np.random.default_rng(6).gamma(2.0, 0.06, 1000))
    app = InspectApp(model, analyse=script, other=other)
    async with finished(app, (200, 60)) as pilot:
        await comparing(pilot)
        await pilot.pause()
        a, b = app.query_one("#compare-curve", Chart).drawing.series
        assert (a.name, a.shaded, b.name, b.shaded) == ("A", True, "B", False)
        (gap,) = app.query_one("#compare-gap", Chart).drawing.series
        first, second = (app.state.results.certificates, app.other.state.results.certificates)
        for place in (0.05, 0.1, 0.3):
            rates = [100 * float((one.radius[one.correct] > place).sum()) / len(one) for one in (first, second)]
            assert gap.at(place) == pytest.approx(rates[1] - rates[0], abs=0.6)  # one of 400 places
            assert 100 * b.at(place) == pytest.approx(rates[1], abs=0.6)
        assert "B − A in points" in screen_text(app)
        await pilot.resize_terminal(100, 30)  # where there is no room for both, the gap stays
        await until(pilot, lambda: "A the area" not in screen_text(app) and "B − A in points" in screen_text(app))


async def test_x_shows_the_other_model_on_every_screen(model, other, script):
    app = InspectApp(model, analyse=script, other=other)
    async with finished(app) as pilot:
        await comparing(pilot)
        await pilot.press("x")
        await until(pilot, lambda: app.state.header.path == other)
        assert "b.safetensors" in screen_text(app).split("\n")[0]
        await pilot.press("x")
        await until(pilot, lambda: app.state.header.path == model)


def test_rounding_is_no_difference():
    one = bounds()[1]
    pair = LayerPair("x", one, replace(one, bound=replace(one.bound, value=one.bound.value + 1e-15)))
    assert not differs(pair)
    assert difference_text(QUANTITIES[0], pair) == "="
    assert differs(LayerPair("x", one, replace(one, bound=Bound(1.5, "by hand"))))
    assert differs(LayerPair("x", one, None))


async def test_a_line_for_every_number_that_differs_the_largest_first(model, other):
    def analyse(path):
        head = replace(bounds()[-1], bound=Bound(1.5 if path == other else 1.25, "by hand"))
        layers = [head if report.name == head.name else report for report in bounds()]
        layers[1] = replace(layers[1], sigma_max=Estimate(0.875 if path == other else 0.9, "by hand"))
        return iter(AnalysisEvent(k, len(layers), "", layer) for k, layer in enumerate(layers))

    app = InspectApp(model, analyse=analyse, other=other)
    async with finished(app, (60, 20)) as pilot:
        pane = await comparing(pilot)

        def shown() -> list[tuple[str, str]]:
            return [(line.pair.name, line.quantity.key) for line in pane._lines]

        convolution, head = bounds()[1].name, bounds()[-1].name
        assert shown() == [(convolution, "sigma_max"), (head, "bound")]
        assert "+0.25" in screen_text(app)
        assert "-0.025" in screen_text(app)
        await pilot.press("s")
        assert shown() == [(head, "bound"), (convolution, "sigma_max")]
        seen = []
        for key in LABELS:
            await pilot.press("v")
            assert {quantity for _, quantity in shown()} <= {key}
            seen += shown()
        assert sorted(seen) == sorted([(convolution, "sigma_max"), (head, "bound")])
        await pilot.press("v", "plus")  # all quantities again, and the layers that are alike too
        assert {name for name, _ in shown()} == {report.name for report in bounds()}
        assert " = " in screen_text(app)


def test_a_bound_that_one_model_alone_proves_is_a_difference():
    one = bounds()[1]
    pair = LayerPair("x", one, replace(one, bound=Bound.unproved("by hand")))
    assert changed(pair, QUANTITIES[0])
    assert not changed(pair, QUANTITIES[1])


async def test_one_model_alone_names_the_command(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (60, 20)) as pilot:
        await pilot.press(entry("compare").key)
        await until(pilot, lambda: "lipscope inspect a.safetensors b.safetensors" in words(app, "#compare-alone"))
        await pilot.press("v", "s", "d", "right", "equals_sign", "down", "c")
        assert app.session.crash is None


async def test_without_results_the_command_is_named_and_layers_are_compared(model, other, script):
    write_synthetic(model)
    app = InspectApp(model, analyse=script, other=other)
    async with finished(app) as pilot:
        pane = await comparing(pilot)
        said = words(app, "#compare-obstacle")
        assert "B: No results beside the model" in said
        assert "lipscope certify" in said
        assert "A: " not in said
        assert "36/255" in words(app, "#compare-accuracy")
        assert pane._common is None
        assert len(pane._every) == len(bounds())
        write_synthetic(other, seed=6)
        await pilot.press("r")
        await until(pilot, lambda: pane._common is not None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data_name": "cifar100"}, "different data sets"),
        ({"data_fingerprint": "e" * 64}, "fingerprints differ"),
    ],
)
async def test_what_cannot_be_compared_is_not(model, other, script, changes, said):
    write_synthetic(model)
    write_synthetic(other, **changes)
    app = InspectApp(model, analyse=script, other=other)
    async with finished(app) as pilot:
        pane = await comparing(pilot)
        assert said in words(app, "#compare-obstacle")
        assert "only A" not in screen_text(app)
        assert pane._common is None
        assert pane.sheet().facts["not_compared"]
        assert all(not app.query_one(name).region.area for name in ("#compare-curve", "#compare-images"))


async def test_stale_failed_and_damaged_are_said(model, other):
    write_synthetic(model, model_sha256="ab" * 32)
    results_path(other).write_bytes(b"damaged")
    script = Script(failure=FAILURE, failure_first=True)
    app = InspectApp(model, analyse=script, other=other)
    async with finished(app) as pilot:
        await comparing(pilot)
        warned = words(app, "#compare-warnings")
        assert "The analysis of A FAILED: the weights are not finite" in warned
        assert "A: STALE: these radii are about another model" in warned
        assert "B: The results file cannot be used" in words(app, "#compare-obstacle")


async def test_what_somebody_else_claims_of_a_model_is_not_called_proved(model, other):
    write_synthetic(model)
    write_synthetic(other)
    place = results_path(other)
    place.write_bytes(place.read_bytes()[:-1] + b"\0")
    app = InspectApp(model, analyse=Script(), other=other)
    async with finished(app, (160, 40)) as pilot:
        pane = await comparing(pilot)
        assert "B: radii claimed by somebody else, not proved here; 4 Radii says why" in words(app, "#compare-warnings")
        assert "A: " not in words(app, "#compare-warnings")
        assert "claimed " in screen_text(app)
        assert pane.sheet().facts["certified"]["standing"] == ["own", "claimed"]


async def test_the_second_analysis_waits_for_the_first_and_both_are_cancelled(model, other):
    script = Script(hold_at=4)
    app = InspectApp(model, analyse=script, other=other)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press(entry("compare").key)
        await until(pilot, lambda: app.state.done == 4)
        await until(pilot, lambda: "layers, once both models have their bounds" in screen_text(app))
        assert "only: " not in screen_text(app)  # nothing is known of B
        assert script.runs == 1
        await pilot.press("X")
        assert app.session.phase is app.other.phase is Phase.CANCELLED
        script.gate.set()
        await until(pilot, lambda: "The analysis of B was cancelled" in words(app, "#compare-warnings"))
        await until(pilot, lambda: not app.busy)
        assert script.runs == 1
    for thread in script.threads:
        thread.join(GENEROUS)


async def test_z_gives_both_curves_the_whole_screen_and_escape_takes_it_back(model, other, script):
    write_synthetic(model)
    write_synthetic(other, seed=6)
    app = InspectApp(model, analyse=script, other=other)
    async with finished(app, (60, 20)) as pilot:
        await comparing(pilot)
        assert "A the area" not in screen_text(app)
        assert all(f"{name}.safetensors" in screen_text(app) for name in (model.stem[-4:], other.stem[-4:]))
        await pilot.press("z")
        await until(pilot, lambda: "A the area, B the line" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "A the area" not in screen_text(app))
        assert app.query_one("#compare-layers").region.area
