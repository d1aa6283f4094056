import json
import os
import re
from pathlib import Path

import pytest
from textual.widgets import TabbedContent

from lipscope.files.checkpoint import read_header
from lipscope.tui.app import InspectApp
from lipscope.tui.registry import SCREENS, entry
from lipscope.tui.training.pane import TrainingPane
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.work.run_watch import Child
from lipscope.tui.work.state import Phase
from lipscope.tui.work.worker import Means
from tests.tui.conftest import Script, finished, screen_text, until, words, write_checkpoint
from tests.tui.runs import EPOCHS, LAYERS, Run

SIZES = [(60, 20), (80, 24), (120, 36), (200, 60)]


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


def app_on(run: Run, script: Script | None = None, child: Child | None = None) -> InspectApp:
    means = Means(script or Script(), look_every=0.02)
    return InspectApp(run.path / "model.safetensors", analyse=means, screen="training", run=run.path, child=child)


def shown(app) -> str:
    return " ".join(screen_text(app).split())


def said(app) -> str:
    """The words of the notice; nothing before the screen is there."""
    return words(app, "#training-notice") if app.query("#training-notice") else ""


async def test_a_model_without_a_run_says_how_to_see_one(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press(entry("training").key)
        await until(pilot, lambda: "lipscope inspect runs/NAME" in said(app))


@pytest.mark.parametrize("size", SIZES)
async def test_a_running_training_fits_every_size(run, size):
    run.train(1, 3)
    run.tell("running", 4, 25)
    app = app_on(run)
    async with app.run_test(size=size) as pilot:
        of = "/" if size[0] == 60 else " of "
        await until(pilot, lambda: f"RUNNING epoch 4{of}8, step 325{of}800" in shown(app))
        narrow, roomy = (
            "epoch 3, log: loss 1.443, clean ~53.3%",
            "epoch 3 by the log: loss 1.443; training: clean ~53.3%",
        )
        assert (narrow if size[0] == 60 else roomy) in shown(app)
        assert "held out: clean ~55.3%, certified ~37.3%" in shown(app)
        assert "…" not in words(app, "#training-words")
        assert "~ clean, certified at 36/255" in shown(app)
        lines = screen_text(app).split("\n")
        assert len(lines) == size[1]
        assert all(len(line) == size[0] for line in lines)
        for widget in app.query_one(TrainingPane).query("*"):
            if widget.region.area:
                assert app.screen.region.contains_region(widget.region)
        table = app.query_one("#training-list", LongList)
        if not table.region.area:
            await pilot.press("right_square_bracket", "left_square_bracket")
        await until(pilot, lambda: table.region.area)
        await until(pilot, lambda: "0.9867" in words(app, "#training-list"))  # 1 - 0.02 * 2 / 3
        assert "layers move" in shown(app)


async def test_it_follows_a_run_that_grows(run):
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "Nothing has been trained yet" in said(app))
        run.tell("running", 1, 40)
        await until(pilot, lambda: "RUNNING epoch 1 of 8, step 40 of 800" in shown(app))
        assert "Measured at the end of an epoch" in shown(app)
        for epoch in range(1, EPOCHS + 1):
            run.train(epoch, epoch)
            await until(pilot, lambda epoch=epoch: f"epoch {epoch} of 8 done" in shown(app))
        assert "FINISHED" in shown(app)
        assert f"of {len(LAYERS)} layers move" in shown(app)


async def test_half_written_truncated_and_resumed_files(run):
    run.train(1, 5)
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "epoch 5 of 8 done" in shown(app))
        line = json.dumps(run.event(6).to_json()) + "\n"
        run.append("metrics.jsonl", line[:40])
        await pilot.pause(0.1)
        assert "epoch 5 of 8 done" in shown(app)
        assert "DAMAGED" not in shown(app)
        run.append("metrics.jsonl", line[40:])
        await until(pilot, lambda: "epoch 6 of 8 done" in shown(app))
        # A resumed run drops the lines that its saved state has not finished.
        kept = (run.path / "metrics.jsonl").read_text().splitlines(keepends=True)[:3]
        run.write("partial", "".join(kept))
        (run.path / "partial").replace(run.path / "metrics.jsonl")
        await until(pilot, lambda: "epoch 3 of 8 done" in shown(app))
        run.write("metrics.jsonl", "")
        run.write("layers.jsonl", "")
        await until(pilot, lambda: "Nothing has been trained yet" in said(app))


async def test_a_stalled_run_says_since_when(run):
    run.train(1, 2)
    run.tell("running", 3, 10)
    now = 1_800_000_000.0
    run.age(now)
    app = app_on(run)
    app.session._watch.now = lambda: now + 754
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "STALLED epoch 3 of 8" in shown(app))
        assert "No news for 12 min" in said(app)
        assert "lipscope train --resume" in said(app)
        run.tell("running", 3, 11)
        os.utime(run.path / "progress.json", (now + 750, now + 750))
        await until(pilot, lambda: "RUNNING" in shown(app))
        assert not app.query_one("#training-notice").display


@pytest.mark.parametrize(("status", "text"), [("stopped", "Stopped and saved"), ("failed", "ended with an error")])
async def test_a_run_that_ended_early_says_how_to_go_on(run, status, text):
    run.train(1, 2)
    run.tell(status, 3, 10)
    app = app_on(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: text in said(app))
        assert "--resume" in said(app)
        assert status.upper() in shown(app)
        lines = screen_text(app).split("\n")
        assert "NO VERDICT" in lines[0]
        assert "X Cancel" not in lines[-1]


async def test_damaged_lines_are_named_and_the_rest_is_shown(run):
    run.train(1, 2)
    run.append("metrics.jsonl", "\x1b[31mgarbage\n")
    run.train(3, 3)
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "DAMAGED: metrics.jsonl line 3: not JSON" in said(app))
        assert "epoch 3 of 8 done" in shown(app)


async def test_a_run_that_is_deleted_while_open(run):
    run.train(1, 2)
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "epoch 2 of 8 done" in shown(app))
        (run.path / "run.json").unlink()
        await until(pilot, lambda: "The run can no longer be read" in said(app))
        assert "epoch 2 of 8 done" in shown(app)


async def test_the_other_screens_wait_for_the_model_and_then_fill(run):
    script = Script()
    app = app_on(run, script)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "no model yet" in shown(app))
        assert script.runs == 0
        await pilot.press("r")  # there is nothing to read again yet
        assert app.state.phase is Phase.WAITING
        for key in "1234":
            await pilot.press(key)
            await until(pilot, lambda: "the first epoch of the training writes it" in screen_text(app))
            assert not re.search("CHECKING|bytes|has begun|reading the results|matches the filter", screen_text(app))
        write_checkpoint(run.path / "new")
        (run.path / "new").replace(run.path / "model.safetensors")
        await until(pilot, lambda: app.state.phase is Phase.DONE)
        assert app.state.verdict is not None
        assert app.state.run is not None
        assert app.state.header == read_header(run.path / "model.safetensors")


async def test_a_training_that_ended_without_a_model_is_waited_for_no_more(run):
    app = app_on(run, Script(), Child(tuple, lambda: 1))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "no model: the training ended before its first epoch did" in shown(app))
        assert "NO VERDICT" in shown(app)


async def test_a_damaged_model_that_was_waited_for(run):
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "no model yet" in shown(app))
        run.write("model.safetensors", "garbage")
        await until(pilot, lambda: app.state.phase is Phase.FAILED)
        assert app.query_one(TabbedContent).active == "training"


async def test_a_child_is_not_disturbed_by_an_analysis_before_it_ends(run):
    write_checkpoint(run.path / "model.safetensors")
    run.train(1, 2)
    said, codes = ["lipscope: run folder here", "lipscope: epoch 2/8"], [None]
    script = Script()
    app = app_on(run, script, Child(lambda: tuple(said), lambda: codes[-1]))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "the training runs; r analyses" in shown(app))
        await until(pilot, lambda: "lipscope: epoch 2/8" in shown(app))
        assert script.runs == 0
        said.append("lipscope: \x1b[2Jboom")
        codes.append(1)
        await until(pilot, lambda: "FAILED epoch 2 of 8" in shown(app))
        assert "\\x1b[2Jboom" in shown(app)
        await until(pilot, lambda: app.state.phase is Phase.DONE)
        assert script.runs == 1


async def test_r_analyses_while_the_child_trains(run):
    write_checkpoint(run.path / "model.safetensors")
    script = Script()
    app = app_on(run, script, Child(tuple, lambda: None))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "the training runs" in shown(app))
        await pilot.press("r")
        await until(pilot, lambda: app.state.phase is Phase.DONE)
        assert script.runs == 1
        assert app.state.run is not None


async def test_keys_and_mouse(run):
    write_checkpoint(run.path / "model.safetensors")
    run.train(1, EPOCHS)
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "FINISHED" in shown(app))
        table = app.query_one("#training-list", LongList)
        assert app.focused is table
        await pilot.press("j", "j")
        assert table.place == 2
        pane = app.query_one(TrainingPane)
        moving = table.count
        await pilot.press("plus")
        await until(pilot, lambda: table.count == len(LAYERS))
        assert moving <= len(LAYERS)
        await pilot.press("G")
        assert pane._chosen.name == "head"
        await pilot.press("g", "g")
        await pilot.click("#training-list", offset=(3, 4))
        await until(pilot, lambda: pane._chosen.name == LAYERS[3])
        states = [run.layers(epoch).layers[3] for epoch in (1, EPOCHS)]
        numbers = [state.bound for state in states] + [state.gradient for state in states]
        assert pane.copied() == "\t".join([LAYERS[3], *map(str, numbers)])  # every digit
        await pilot.press("y")
        await until(pilot, lambda: "loss, training, logarithmic" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "logarithmic" not in shown(app))
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: not table.region.area)
        assert "that move" in shown(app)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: table.region.area)


async def test_the_cursor_stays_when_an_epoch_comes(run):
    run.train(1, 2)
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.query("#training-list") and app.query_one("#training-list", LongList).count > 3)
        await pilot.press("j", "j", "j")
        run.train(3, 3)
        await until(pilot, lambda: "epoch 3 of 8 done" in shown(app))
        assert app.query_one("#training-list", LongList).place == 3


async def test_the_sheet_for_export(run):
    run.train(1, 3)
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "epoch 3 of 8 done" in shown(app))
        sheet = app.query_one(TrainingPane).sheet()
        assert [row["epoch"] for row in sheet.rows] == [1, 2, 3]
        assert sheet.rows[2]["loss"] == run.event(3).loss
        assert "estimate" in sheet.columns[3]
        assert [len(record["layers"]) for record in sheet.facts["layers"]] == [len(LAYERS)] * 3
        json.dumps(sheet.facts, allow_nan=False)


async def test_losses_that_are_no_numbers_leave_gaps(run):
    run.append("metrics.jsonl", json.dumps({**run.event(1).to_json(), "loss": float("nan")}) + "\n")
    app = app_on(run)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "epoch 1 of 8 done" in shown(app))
        run.train(2, 3)
        await until(pilot, lambda: "epoch 3 of 8 done" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "logarithmic" in shown(app))


# What it looks like; the pictures were looked at before they were accepted.


@pytest.fixture
def same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, still_pace: None) -> Run:
    """A run under a relative path, without this version's number and the screens that come later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lipscope.tui.widgets.title.__version__", "0.0.0")
    monkeypatch.setattr("lipscope.tui.app.SCREENS", SCREENS[:6])
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)
    return Run(Path("run"))


async def _settled(pilot, text: str) -> None:
    await until(pilot, lambda: text in shown(pilot.app))
    await until(pilot, lambda: not pilot.app._repaint_pending)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: "x".join(map(str, size)))
def test_picture_running(snap_compare, same_everywhere, size):
    same_everywhere.train(1, 5)
    same_everywhere.tell("running", 6, 25)
    app = app_on(same_everywhere)
    assert snap_compare(app, terminal_size=size, run_before=lambda pilot: _settled(pilot, "RUNNING epoch 6"))
