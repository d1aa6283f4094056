import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import lipscope.tui.work.cache as cache_module
from lipscope.files.checkpoint import sha256_of
from lipscope.records import AnalysisEvent, Verdict
from lipscope.tui.app import InspectApp
from lipscope.tui.work.cache import CODE, Cache, Kept, condensed
from lipscope.tui.work.plain import outline, revived
from lipscope.tui.work.state import Phase
from lipscope.tui.work.worker import Means
from tests.tui.conftest import (
    FAILURE,
    VERDICT,
    Script,
    bounds,
    finished,
    measured,
    screen_text,
    until,
    write_checkpoint,
)

EVENTS = (
    *(AnalysisEvent(i, 25, "", layer=measured(report, i)) for i, report in enumerate(bounds(), 1)),
    AnalysisEvent(25, 25, "", verdict=VERDICT),
)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "user")


@pytest.fixture
def kept(model: Path, cache: Cache) -> Path:
    """The file of a kept analysis of the model."""
    place = cache.write(model, sha256_of(model), Kept(EVENTS, 12.5))
    assert place is not None
    return place


def test_what_was_kept_comes_back_the_same(model, cache, kept):
    assert kept == model.with_name("model.inspected.jsonl")
    again = cache.read(model, sha256_of(model))
    assert again == Kept(EVENTS, 12.5)


def test_other_bytes_get_no_answer(model, cache, kept):
    write_checkpoint(model, channels=99)
    assert cache.read(model, sha256_of(model)) is None


@pytest.mark.parametrize("change", ["flip", "cut", "extend", "empty", "code", "none"])
def test_a_damaged_file_is_ignored(model, cache, kept, change):
    content = bytearray(kept.read_bytes())
    if change == "flip":
        content[len(content) // 2] ^= 1
    elif change == "cut":
        content = content[:-10]
    elif change == "extend":
        content += b"\n{}"
    elif change == "empty":
        content = bytearray()
    elif change == "code":
        content[:CODE] = b"0" * CODE
    kept.write_bytes(bytes(content))
    assert (cache.read(model, sha256_of(model)) is None) == (change != "none")


def test_a_forged_verdict_of_somebody_else_is_ignored(model, cache, kept, tmp_path):
    """Whoever makes a checkpoint can make a cache beside it, with the right hash: but not with this user's key."""
    forger = Cache(tmp_path / "forger")
    forged = (AnalysisEvent(1, 1, "", verdict=Verdict("proved", 1.0, "trust me")),)
    forger.write(model, sha256_of(model), Kept(forged, 0.1))
    assert forger.read(model, sha256_of(model)) is not None
    assert cache.read(model, sha256_of(model)) is None


@pytest.mark.parametrize(("name", "value"), [("__version__", "9.9.9"), ("SCHEMA", "lipscope.inspected/2")])
def test_another_version_or_schema_is_ignored(model, cache, kept, monkeypatch, name, value):
    monkeypatch.setattr(cache_module, name, value)
    assert cache.read(model, sha256_of(model)) is None


def test_another_data_folder_is_another_analysis(model, cache, kept):
    assert Cache(cache._folder, about="elsewhere").read(model, sha256_of(model)) is None


def test_too_much_is_neither_kept_nor_read(model, cache, kept, monkeypatch):
    monkeypatch.setattr(cache_module, "LARGEST", 1000)
    assert cache.read(model, sha256_of(model)) is None
    kept.unlink()
    assert cache.write(model, sha256_of(model), Kept(EVENTS, 1.0)) is None
    assert not kept.exists()


def test_a_read_only_folder_is_answered_from_the_users(model, cache, monkeypatch):
    """By a refused name, because root may write anywhere."""
    beside, elsewhere = cache.places(model)
    beside.mkdir()
    assert cache.write(model, sha256_of(model), Kept(EVENTS, 1.0)) == elsewhere
    assert cache.read(model, sha256_of(model)) == Kept(EVENTS, 1.0)


def test_nowhere_to_write_is_no_error(model, tmp_path):
    (tmp_path / "user").write_text("a file")
    assert Cache(tmp_path / "user").write(model, "00", Kept(EVENTS, 1.0)) is None
    assert Cache(tmp_path / "user").read(model, "00") is None


@pytest.mark.parametrize("attempt", range(20))
def test_the_key_is_private_and_the_same_for_writers_that_start_together(attempt, model, tmp_path):
    start = threading.Barrier(8)

    def write() -> None:
        start.wait()
        Cache(tmp_path / "u").write(model, "00", Kept(EVENTS, 1.0))

    threads = [threading.Thread(target=write) for _ in range(start.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    key = tmp_path / "u" / "cache.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert list((tmp_path / "u").iterdir()) == [key], "all found their place beside the model, nothing is left over"
    assert Cache(tmp_path / "u").read(model, "00") is not None


def test_the_last_word_on_each_layer_is_kept_in_forward_order():
    first = bounds()[:3]
    events = [AnalysisEvent(i, 9, "", layer=report) for i, report in enumerate(first)]
    events += [AnalysisEvent(3, 9, "", verdict=VERDICT), AnalysisEvent(9, 9, "", layer=measured(first[1], 1))]
    short = list(condensed(events))
    assert [event.layer.name for event in short[:-1]] == [report.name for report in first]
    assert short[1].layer == measured(first[1], 1)
    assert (short[-1].verdict, short[-1].done, short[-1].layer) == (VERDICT, 9, None)


def test_revived_refuses_what_is_not_of_its_type():
    plain = json.loads(json.dumps({"done": "1", "total": 2, "doing": "", "layer": None, "verdict": None}))
    with pytest.raises((TypeError, KeyError)):
        revived(AnalysisEvent, plain)
    with pytest.raises(ValueError, match="none of"):
        revived(Verdict, {"status": "perhaps", "lipschitz": None, "reason": ""})


def test_an_outline_changes_with_the_fields():
    assert outline(AnalysisEvent) != outline(Verdict)
    assert "status" in outline(AnalysisEvent)


# In the app


async def test_the_second_opening_computes_nothing_and_says_so(model, cache):
    script = Script()
    app = InspectApp(model, analyse=Means(script, cache))
    async with finished(app) as pilot:
        assert "analysis complete" in screen_text(app)
        first = app.state
    again = InspectApp(model, analyse=Means(script, cache))
    async with finished(again) as pilot:
        assert script.runs == 1
        assert f"from cache, verified sha256 {sha256_of(model)[:16]}" in screen_text(again)
        assert (again.state.layers, again.state.verdict) == (first.layers, first.verdict)
        assert list(again.state.layers) == list(first.layers)
        await pilot.press("r")
        await until(pilot, lambda: script.runs == 2 and again.state.phase is Phase.DONE and not again.busy)
        assert "analysis complete" in screen_text(again)
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
            await pilot.press("x")
        elif how == "replaced":
            write_checkpoint(model, channels=99)
        script.gate.set()
        await until(pilot, lambda: not app.busy)
    assert cache.candidates(model) == []


def test_it_leaves_the_committed_checkpoints_clean():
    """Whoever opens a checkpoint of a clone sees no change in git."""
    root = Path(__file__).parents[3]
    patterns = (root / ".gitignore").read_text().split("\n")
    beside, _ = Cache(root / "nowhere").places(root / "checkpoints" / "a.safetensors")
    assert beside.name.endswith(".inspected.jsonl")
    assert "*.inspected.jsonl" in patterns
    assert os.sep not in beside.name


def test_kept_is_replaced_not_mixed(model, cache, kept):
    other = replace(EVENTS[-1], verdict=Verdict("not-proved", None, "no rule"))
    cache.write(model, sha256_of(model), Kept((other,), 1.0))
    assert cache.read(model, sha256_of(model)).events == (other,)
