"""What the Images screen says where results, pictures or answers are missing."""

from __future__ import annotations

import numpy as np

from lipscope.errors import DataError
from lipscope.files.results import results_path
from lipscope.tui.app import InspectApp
from lipscope.tui.images.half_blocks import UPPER
from lipscope.tui.registry import entry
from lipscope.tui.results import results_notice
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.work.worker import Means
from tests.tui.conftest import finished, screen_text, until, words
from tests.tui.images.showing import app_on, images
from tests.tui.pictured import N, synthetic_images, write_synthetic
from tests.waiting import GENEROUS


async def test_without_results_it_names_the_command(model, script):
    app = app_on(model, script)
    async with finished(app, (60, 20)) as pilot:
        await pilot.press(entry("images").key)
        await until(pilot, lambda: "No results beside the model yet" in screen_text(app))
        assert "lipscope certify" in screen_text(app)
        await pilot.press("f", "n", "s", "S", "equals_sign", "right", "down", "G", "c", "v")
        assert app.session.crash is None
        assert app.state.images is None


async def test_the_command_that_is_named_looks_where_this_one_looks(model, script, tmp_path):
    app = InspectApp(model, analyse=Means(script, kept=tmp_path / "kept"))
    async with finished(app, (160, 45)) as pilot:
        await until(pilot, lambda: f"lipscope certify --keep {tmp_path / 'kept'} {model}" in results_notice(app.state))
        assert "beside the model" not in results_notice(app.state)


async def test_a_claim_takes_one_line_of_a_small_window_and_radii_says_why(model, script):
    write_synthetic(model)
    place = results_path(model)
    place.write_bytes(place.read_bytes()[:-1] + b"\0")
    app = app_on(model, script)
    async with finished(app, (80, 24)) as pilot:
        await pilot.press(entry("images").key)
        await until(pilot, lambda: "w on Radii proves your own" in words(app, "#images-notice"))
        assert app.query_one("#images-notice").size.height == 1
        await pilot.press(entry("radii").key)
        await until(pilot, lambda: "signed with another key" in words(app, "#radii-notice"))


async def test_without_the_data_set_the_list_stays_and_the_next_step_is_named(model, script, monkeypatch):
    write_synthetic(model)

    def missing(self, name, split):
        raise DataError("data set synthetic not found", next_step="run `lipscope data fetch synthetic`")

    monkeypatch.setattr(Means, "read_images", missing)
    app = app_on(model, script)
    async with finished(app) as pilot:
        await images(pilot)
        shown = words(app, "#image-pictures")
        assert "No pictures: data set synthetic not found. Next: run `lipscope data fetch synthetic`." in shown
        assert "Logits need the pixels" in words(app, "#logit-bars")
        assert "1,000 of 1,000 images" in screen_text(app)


async def test_other_images_than_those_of_the_results_are_refused(model, script):
    write_synthetic(model, data_fingerprint="e" * 64)
    app = app_on(model, script)
    async with finished(app) as pilot:
        await images(pilot)
        assert "are not those that the results are about" in words(app, "#image-pictures")
        assert UPPER not in screen_text(app)
        assert app.state.answer.logits is None


async def test_numbers_beyond_the_data_set_are_refused(model, script):
    write_synthetic(model, index=np.arange(N) + 1)
    app = app_on(model, script)
    async with finished(app) as pilot:
        await images(pilot)
        assert app.state.other_images
        assert UPPER not in screen_text(app)


async def test_while_the_data_is_read_it_says_so_and_nothing_waits(model, script, monkeypatch):
    import threading

    write_synthetic(model)
    gate = threading.Event()

    def slow(self, name, split):
        gate.wait(GENEROUS)
        return synthetic_images()

    monkeypatch.setattr(Means, "read_images", slow)
    app = app_on(model, script)
    async with finished(app) as pilot:
        await pilot.press(entry("images").key)
        await until(pilot, lambda: "Reading the data set" in screen_text(app))
        await pilot.press("down")
        assert app.query_one("#images-list", LongList).place == 1
        assert app.busy
        gate.set()
        await until(pilot, lambda: UPPER in screen_text(app))


async def test_a_model_that_cannot_answer_is_told_of(model, script):
    from lipscope.errors import CheckpointError

    def broken(path):
        raise CheckpointError("tensor x holds NaN", next_step="train again")

    write_synthetic(model)
    app = app_on(model, script, evaluator=broken)
    async with finished(app) as pilot:
        await images(pilot)
        assert "No logits: tensor x holds NaN. Next: train again." in words(app, "#logit-bars")
        assert UPPER in screen_text(app)
