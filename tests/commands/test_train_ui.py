"""Training inside the app, in a real terminal."""

import json

import pytest

from lipscope.cli import run as lipscope
from tests.terminal import Terminal, needs_tmux
from tests.waiting import wait_until

OPTIONS = "--dataset synthetic --channels 2 --float32 --batch 100 --holdout 4000 --seed 5"


@pytest.fixture
def terminal(tmp_path):
    terminal = Terminal(tmp_path, 120, 36)
    yield terminal
    terminal.kill()


@needs_tmux
def test_quitting_saves_and_stops_and_says_how_to_go_on(terminal, tmp_path):
    out = tmp_path / "run"
    terminal.start(f"train --ui {OPTIONS} --epochs 200 --out {out}")
    terminal.wait_for("6 Training")
    terminal.wait_for(" by the log: loss")
    terminal.press("q")
    shown = terminal.wait_for("code 130")
    assert "saving and stopping the training" in shown
    assert f"continue with `lipscope train --resume {out}`" in " ".join(shown.split())
    assert "Traceback" not in shown
    assert json.loads((out / "progress.json").read_text())["status"] == "stopped"
    assert (out / "state.pt").exists()
    terminal.kill()
    terminal.start(f"train --ui --resume {out}")  # the child goes on where the other one stopped
    before = len((out / "metrics.jsonl").read_text().splitlines())
    wait_until(lambda: len((out / "metrics.jsonl").read_text().splitlines()) > before, terminal.screen)
    terminal.press("q")
    terminal.wait_for("code 130")
    epochs = [json.loads(line)["epoch"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, len(epochs) + 1))


@pytest.mark.usefixtures("no_data")
def test_it_needs_a_terminal_and_a_single_process(tmp_path, capsys, monkeypatch):
    arguments = ["train", "--ui", *OPTIONS.split(), "--out", str(tmp_path / "run")]
    assert lipscope(arguments) == 2
    assert "--ui needs a terminal" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert lipscope(arguments) == 2
    assert "--ui is for one process" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
