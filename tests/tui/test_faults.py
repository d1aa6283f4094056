"""Faults that were seen once, each with a test; those of one screen alone are tested beside it."""

from dataclasses import replace
from fractions import Fraction

import pytest
from textual.dom import DOMNode

from lipscope.files.checkpoint import read_header
from lipscope.files.run_log import read_run
from lipscope.records import Bound, LayerReport, Spectrum
from lipscope.tui.app import InspectApp
from lipscope.tui.dialogs.glossary import GLOSSARY, explained, glossaries
from lipscope.tui.gradients.lines import LEGEND
from lipscope.tui.layers.lines import BAD, QUIET, bound_run
from lipscope.tui.layers.rows import Row
from lipscope.tui.overview.facts import recomputed
from lipscope.tui.plots.bands import BEHIND, STYLES
from lipscope.tui.registry import entry
from lipscope.tui.results import changed_words
from lipscope.tui.training.curves import rates_drawing
from lipscope.tui.widgets.chart import Chart
from lipscope.tui.widgets.eps_table import CELLS, TITLE
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.work.run_watch import RunView
from lipscope.tui.work.state import Phase, State
from tests.tui.conftest import finished, screen_text, until, words, write_radii
from tests.tui.pictured import write_synthetic
from tests.tui.runs import Run


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "run")
    made.train(1, 8)
    return made


def test_the_bound_of_a_layer_that_stretches_is_amber_and_that_of_one_that_does_not_is_quiet():
    for value, style in ((332.0, BAD), (1.0, QUIET)):
        report = LayerReport("a", "conv", None, None, Bound(value, "by hand"))
        assert bound_run(Row("a", "conv", report), 11)[1] == style


def test_an_epoch_of_a_live_training_is_news_and_no_replaced_file(model, run):
    live = RunView(run.path, read_run(run.path), "running")
    state = State(read_header(model), Phase.DONE, on_disk="replaced", run=live)
    assert changed_words(state) == ("epoch 8 is written; r analyses it (this is about the earlier bytes)", True)
    assert "FILE REPLACED" in changed_words(replace(state, run=None))[0]


def test_sigma_at_one_speaks_of_the_body_and_not_of_the_head(model):
    def report(name, role, values):
        spectrum = Spectrum(values, (1.0,) * len(values), len(values), "by hand", True)
        return LayerReport(name, "conv", (2,), (2,), Bound(1.0, "by hand"), role, spectrum=spectrum)

    layers = {"a": report("a", "body", (1.0, 1.0)), "head": report("head", "head", (0.3, 0.2))}
    told = dict(recomputed(State(read_header(model), Phase.DONE, layers)))["σ at 1"]
    assert told.startswith("in every layer of the body 100.0%")


def test_every_colour_of_a_drawing_is_the_themes(run):
    drawing = rates_drawing(read_run(run.path))
    styles = [*STYLES.values(), *BEHIND.values(), *(one.style for one in drawing.series)]
    assert all(style.startswith("$") for style in styles)
    assert {one.gap for one in drawing.series} == {0, 2}  # told apart by the line, not by the colour alone


@pytest.mark.parametrize("columns", [100, 103, 106])
async def test_what_is_known_of_an_image_is_seen_at_every_width(model, script, columns):
    write_synthetic(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (columns, 36)) as pilot:
        await pilot.press(entry("images").key)
        await until(pilot, lambda: "runner-up" in screen_text(app) and "predicted" in screen_text(app))
        await pilot.press("left_square_bracket")  # the list takes what the folded pane leaves
        await until(pilot, lambda: app.query_one("#images-list-side").region.width >= columns - 2)
        await pilot.press("left_square_bracket", "v")
        await until(pilot, lambda: any("there is one picture" in told.message for told in app._notifications))


async def test_two_models_at_100_columns_have_a_curve_and_whole_names(model, script, tmp_path):
    other = tmp_path / "b.safetensors"
    other.write_bytes(model.read_bytes())
    write_synthetic(model)
    write_synthetic(other, seed=6)
    app = InspectApp(model, analyse=script, other=other)
    async with finished(app, (100, 30)) as pilot:
        await pilot.press(entry("compare").key)
        await until(pilot, lambda: app.query_one("#compare-gap", Chart).columns > 20)
        await pilot.press("plus", "right_square_bracket")
        await until(pilot, lambda: "stage1.block1.conv" in words(app, "#compare-layers"))


async def test_every_radius_of_a_table_is_whole_or_left_out(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (100, 30)) as pilot:
        await pilot.press(entry("radii").key)
        table = app.query_one("#radii-accuracy")
        await until(pilot, lambda: table.region.area)
        for width in range(28, 90):
            radii = table.radii(width)
            assert TITLE + CELLS[1] * len(radii) <= max(width, TITLE + 2 * CELLS[1])
            assert Fraction(36, 255) in radii


async def test_a_line_of_layers_is_explained_by_the_column_under_the_mouse(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press(entry("layers").key)
        layers = app.query_one("#layers-list", LongList)
        await until(pilot, lambda: "gradient kept" in layers.heading_text)
        for term in ("kind", "● bound ≤", "~ gradient kept"):
            at = layers.heading_text.index(term)
            assert explained(layers, at + 1, 2) == f"{term}: {GLOSSARY['layers-list'][term]}"
        await pilot.hover("#layers-list", offset=(layers.heading_text.index("kind") + 1, 2))
        await until(pilot, lambda: str(layers.tooltip).startswith("kind: "))


def test_the_words_of_the_issue_are_in_the_glossary():
    everything = " ".join(f"{word} {line}" for words in GLOSSARY.values() for word, line in words.items())
    for word in ("sound", "runner-up", "tightness", "LLN", "cumulative", "stable rank"):
        assert word in everything
    for sign in "●├┤○◉╎":
        assert sign in LEGEND
        assert sign in everything


def test_a_screen_whose_list_is_folded_is_explained_too():
    for screen in ("images-pane", "layers-pane"):
        assert next(glossaries(DOMNode(id=screen)), {})
