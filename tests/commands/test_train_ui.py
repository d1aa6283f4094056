"""Training inside the app, in a real terminal."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lipscope.cli import run as lipscope

SOCKET = f"lipscope-train-{os.getpid()}"
OPTIONS = "--dataset synthetic --channels 2 --float32 --batch 100 --holdout 4000 --seed 5"


def tmux(*arguments: str) -> str:
    """One command to a tmux server of this test's own."""
    answer = subprocess.run(
        ["tmux", "-L", SOCKET, "-f", "/dev/null", *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    return answer.stdout


def wait_for(text: str, seconds: float = 90.0) -> str:
    deadline = time.monotonic() + seconds
    while text not in (shown := tmux("capture-pane", "-p", "-J", "-t", "app")):
        assert time.monotonic() < deadline, f"no {text!r} within {seconds} s:\n{shown}"
        time.sleep(0.05)
    return shown


@pytest.fixture
def terminal(tmp_path: Path):
    """Starts lipscope in a terminal of 120 columns and 36 rows; what it answers with is written behind ``code``."""
    settings = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "LIPSCOPE_CONFIG": str(tmp_path / "config.toml"),
        "OMP_NUM_THREADS": "1",
    }
    environment = " ".join(f"{name}={value}" for name, value in settings.items())

    def start(arguments: str) -> None:
        command = f"env {environment} {sys.executable} -m lipscope {arguments}; echo code $?; sleep 60"
        tmux("new-session", "-d", "-s", "app", "-x", "120", "-y", "36", command)

    yield start
    tmux("kill-server")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_quitting_saves_and_stops_and_says_how_to_go_on(terminal, tmp_path):
    out = tmp_path / "run"
    terminal(f"train --ui {OPTIONS} --epochs 200 --out {out}")
    wait_for("6 Training")
    wait_for("epoch 1: loss")
    tmux("send-keys", "-t", "app", "q")
    shown = wait_for("code 130")
    assert "saving and stopping the training" in shown
    assert f"continue with `lipscope train --resume {out}`" in " ".join(shown.split())
    assert "Traceback" not in shown
    assert json.loads((out / "progress.json").read_text())["status"] == "stopped"
    assert (out / "state.pt").exists()
    tmux("kill-session", "-t", "app")
    terminal(f"train --ui --resume {out}")  # the child goes on where the other one stopped
    before = len((out / "metrics.jsonl").read_text().splitlines())
    deadline = time.monotonic() + 90
    while len((out / "metrics.jsonl").read_text().splitlines()) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tmux("send-keys", "-t", "app", "q")
    wait_for("code 130")
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
