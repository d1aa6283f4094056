"""Kept analyses in the app: a second opening computes nothing, and only a whole analysis is kept."""

import pytest

from lipscope.files.checkpoint import sha256_of
from lipscope.files.kept_analysis import Cache
from lipscope.tui.app import InspectApp
from lipscope.tui.work.state import Phase
from lipscope.tui.work.worker import Means
from tests.tui.conftest import FAILURE, Script, finished, screen_text, until, write_checkpoint


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "user")


async def test_the_second_opening_computes_nothing_and_says_so(model, cache):
    script = Script()
    app = InspectApp(model, analyse=Means(script, cache))
    async with finished(app) as pilot:
        await until(pilot, lambda: "analysis complete" in screen_text(app))
        first = app.state
    again = InspectApp(model, analyse=Means(script, cache))
    async with finished(again) as pilot:
        assert script.runs == 1
        await until(pilot, lambda: f"from cache, verified sha256 {sha256_of(model)[:12]}" in screen_text(again))
        assert (again.state.layers, again.state.verdict) == (first.layers, first.verdict)
        assert list(again.state.layers) == list(first.layers)
        await pilot.press("r")
        await until(pilot, lambda: script.runs == 2 and again.state.phase is Phase.DONE and not again.busy)
        await until(pilot, lambda: "analysis complete" in screen_text(again))
        assert not again.state.cached


async def test_a_cache_about_other_bytes_is_computed_anew(model, cache):
    script = Script()
    async with finished(InspectApp(model, analyse=Means(script, cache))):
        pass
    write_checkpoint(model, channels=99)
    app = InspectApp(model, analyse=Means(script, cache))
    async with finished(app):
        assert script.runs == 2
        assert not app.state.cached


@pytest.mark.parametrize("how", ["failed", "cancelled", "replaced"])
async def test_only_a_whole_analysis_of_unchanged_bytes_is_kept(model, cache, how):
    script = Script(hold_at=16, failure=FAILURE if how == "failed" else None)
    app = InspectApp(model, analyse=Means(script, cache))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.state.done == 16 and app.state.sha256 is not None)
        if how == "cancelled":
            await pilot.press("X")
        elif how == "replaced":
            write_checkpoint(model, channels=99)
        script.gate.set()
        await until(pilot, lambda: not app.busy)
    assert cache.candidates(model) == []
