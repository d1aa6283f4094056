"""A session as a person has it: a real terminal, real keys, the committed checkpoint."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lipscope.tui.registry import SCREENS

ROOT = Path(__file__).parents[2]
CHECKPOINT = next(
    (path for path in sorted((ROOT / "checkpoints").glob("*.safetensors")) if path.name.count(".") == 1), None
)
SOCKET = f"lipscope-test-{os.getpid()}"

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.skipif(CHECKPOINT is None, reason="no checkpoint in this tree"),
]


def tmux(*arguments: str) -> str:
    """One command to a tmux server of this test's own."""
    answer = subprocess.run(
        ["tmux", "-L", SOCKET, "-f", "/dev/null", *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    return answer.stdout


def screen() -> str:
    return tmux("capture-pane", "-p", "-t", "app")


def wait_for(text: str, seconds: float = 60.0) -> str:
    deadline = time.monotonic() + seconds
    while text not in (shown := screen()):
        assert time.monotonic() < deadline, f"no {text!r} within {seconds} s:\n{shown}"
        time.sleep(0.05)
    return shown


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """The app in a terminal of 100 columns and 30 rows, with nothing of the user's own; where its exit code goes."""
    code = tmp_path / "code"
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "LIPSCOPE_CONFIG": str(tmp_path / "config.toml"),
        "OMP_NUM_THREADS": "1",
    }
    (tmp_path / "config.toml").write_text('[keys]\n"help" = "H"\n')
    settings = " ".join(f"{name}={value}" for name, value in environment.items())
    # A shell that exports the size of another moment, which programs believe, must not hold the app to it.
    inspect = f"env COLUMNS=50 LINES=12 {settings} {sys.executable} -m lipscope inspect {CHECKPOINT}"
    command = f"{inspect}; echo $? > {code}; sleep 60"
    tmux("new-session", "-d", "-s", "app", "-x", "100", "-y", "30", command)
    yield code
    tmux("kill-server")


def test_open_visit_every_screen_resize_and_quit(opened: Path) -> None:
    before = subprocess.run(["git", "status", "--short"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    wait_for("1 Overview")
    wait_for("PROVED")
    assert max(map(len, screen().split("\n"))) > 90
    for entry in SCREENS:
        tmux("send-keys", "-t", "app", entry.key)
        wait_for({"overview": "IS IT", "layers": "bound ≤", "radii": "eps 36/255"}.get(entry.id, entry.title))
    tmux("send-keys", "-t", "app", "2", "j", "j")
    wait_for("stage1.block1")
    tmux("send-keys", "-t", "app", "H")
    wait_for("keys")
    tmux("send-keys", "-t", "app", "Escape")
    tmux("resize-window", "-t", "app", "-x", "60", "-y", "20")
    wait_for("q Quit")
    lines = screen().rstrip("\n").split("\n")
    assert len(lines) <= 20
    assert all(len(line) <= 60 for line in lines)
    tmux("send-keys", "-t", "app", "q")
    deadline = time.monotonic() + 20
    while not opened.exists() or not opened.read_text().strip():
        assert time.monotonic() < deadline, screen()
        time.sleep(0.05)
    assert opened.read_text().strip() == "0"
    after = subprocess.run(["git", "status", "--short"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert [line for line in after.split("\n") if "checkpoints" in line] == [
        line for line in before.split("\n") if "checkpoints" in line
    ]


@pytest.mark.parametrize("number", ["TERM", "HUP"])
def test_a_signal_ends_the_app_as_q_does(opened: Path, number: str) -> None:
    wait_for("PROVED")
    assert tmux("display-message", "-p", "-t", "app", "#{alternate_on} #{mouse_any_flag}").strip() == "1 1"
    shell = tmux("display-message", "-p", "-t", "app", "#{pane_pid}").strip()
    child = subprocess.run(["pgrep", "-P", shell], capture_output=True, text=True, check=True).stdout.split()[0]
    subprocess.run(["kill", f"-{number}", child], check=True)
    deadline = time.monotonic() + 60
    while not (opened.exists() and opened.read_text().strip()):
        assert time.monotonic() < deadline, screen()
        time.sleep(0.05)
    assert opened.read_text().strip() == "0"
    assert tmux("display-message", "-p", "-t", "app", "#{alternate_on} #{mouse_any_flag}").strip() == "0 0"
