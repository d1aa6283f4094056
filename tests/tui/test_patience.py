"""The app stays awake while a thread computes, and does not grow while it is used."""

import asyncio
import gc
import statistics
import threading
import time

import numpy as np
import pytest

from lipscope.records import AnalysisEvent
from lipscope.tui.app import InspectApp
from lipscope.tui.layers.pane import LayersPane
from lipscope.tui.registry import SCREENS, entry
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.work.state import Phase
from lipscope.tui.work.worker import Means
from tests.tui.conftest import bounds, finished, screen_text, until, write_radii
from tests.waiting import GENEROUS


class Factorising:
    """Waits, then is inside one singular value decomposition after another until it is told to stop."""

    def __init__(self):
        self.stop = False
        self.begin = threading.Event()
        self.finished = 0

    def __call__(self, path):
        for report in bounds():
            yield AnalysisEvent(1, 100, "singular values", layer=report)
        matrix = np.random.default_rng(0).normal(size=(1000, 1000))
        self.begin.wait(GENEROUS)
        while not self.stop:
            np.linalg.svd(matrix)
            self.finished += 1


async def answered_within_one(app: InspectApp, analysis: Factorising, keys: int) -> None:
    """Press keys until so many in a row have moved the cursor while one and the same factorisation went on.

    A thread that held the interpreter while it factorises would let one key through between two factorisations.
    """
    table = app.query_one("#layers-list", LongList)
    deadline = time.monotonic() + GENEROUS
    number = answered = 0
    during = analysis.finished
    while answered < keys:
        before = table.place
        app.simulate_key("j" if number % 10 < 5 else "k")
        number += 1
        while table.place == before:
            await asyncio.sleep(0.001)  # an app that waits for keys does not spin either
            assert time.monotonic() < deadline, (number, answered, analysis.finished)
        answered = answered + 1 if analysis.finished == during else 0
        during = analysis.finished


async def test_no_key_waits_while_a_thread_factorises(model):
    analysis = Factorising()
    app = InspectApp(model, analyse=analysis)
    try:
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.press("2")
            await until(pilot, lambda: app.query_one("#layers-list", LongList).count == 3)  # folded
            await pilot.press("home", "down", "plus", "home")  # unfold the layers that are alike
            await until(pilot, lambda: app.query_one("#layers-list", LongList).count > 10)
            analysis.begin.set()
            await until(pilot, lambda: analysis.finished)
            await answered_within_one(app, analysis, 4)
            assert app.state.phase is Phase.RUNNING
    finally:
        analysis.stop = True
        analysis.begin.set()


@pytest.mark.parametrize("reloads", [60, pytest.param(200, marks=pytest.mark.slow)])
async def test_memory_is_flat_over_reloads(model, script, reloads):
    write_radii(model, n=200)
    app = InspectApp(model, analyse=Means(script, look_every=60))

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    async with finished(app, (80, 24)) as pilot:
        counts = []
        for number in range(reloads):
            app.session.reload()
            while not app.settled:
                await asyncio.sleep(0.001)
            if number + 1 in (reloads // 4, reloads):
                await pilot.pause(0.1)
                counts.append(objects())
        assert script.runs == reloads + 1
        script.threads.clear()
        assert counts[1] < 1.02 * counts[0] + reloads, counts  # one thread object a reload is the test's own


async def test_memory_is_flat_over_repeated_looks_at_kernels(model, script):
    """Down and up through the layers with their kernels shown, and the file read again every time."""
    app = InspectApp(model, analyse=Means(script, look_every=60))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.settled)
        await pilot.press("2", "v", "v", "down")
        counts = []
        for number in range(24):
            app.session.reload()
            await until(pilot, lambda: not app.state.phase.active and not app.busy and app.state.kernel is not None)
            app.query_one("#layers-list", LongList).choose((1, 3, 11)[number % 3])
            await until(pilot, lambda: not app.busy and app.state.kernel.layer == app.query_one(LayersPane).chosen.key)
            if number in (11, 23):
                gc.collect()
                counts.append(len(gc.get_objects()))
        script.threads.clear()
        assert counts[1] < 1.02 * counts[0] + 24, counts


@pytest.mark.parametrize("n", [10_000])
async def test_ten_thousand_images_answer_an_arrow_key(model, script, n):
    write_radii(model, n=n)
    app = InspectApp(model, analyse=script)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.settled)
        await pilot.press(entry("radii").key)
        await until(pilot, lambda: "eps 36/255" in screen_text(app))
        waits = []
        for _ in range(9):
            started = time.thread_time()
            app.query("RadiiPane").first().action_move(1)
            waits.append(time.thread_time() - started)
        assert statistics.median(waits) < 0.05, waits


async def test_only_the_screen_in_front_follows_the_analysis(model, script, monkeypatch):
    write_radii(model, n=200)
    shown = []
    for screen in SCREENS:
        pane = screen.load()
        monkeypatch.setattr(
            pane, "show", lambda self, state, show=pane.show: (shown.append(type(self)), show(self, state))[1]
        )
    layers, radii = entry("layers").load(), entry("radii").load()
    app = InspectApp(model, analyse=script, screen="layers")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.settled and app.state.phase is Phase.DONE)
        assert set(shown) == {layers}
        await pilot.press(entry("radii").key)
        await until(pilot, lambda: "certified accuracy" in screen_text(app))
        assert set(shown) == {layers, radii}
        before = len(shown)
        await pilot.press(entry("layers").key, entry("radii").key)
        assert len(shown) == before, "nothing has happened since"
