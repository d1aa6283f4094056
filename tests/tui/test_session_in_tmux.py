"""A session as a person has it: a real terminal, real keys, the committed checkpoint."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lipscope.tui.registry import SCREENS
from tests.terminal import Terminal, needs_tmux

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "checkpoints" / "shiftnet9-96-cifar10.safetensors"

pytestmark = needs_tmux


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal of 100 columns and 30 rows."""
    terminal = Terminal(tmp_path, 100, 30)
    yield terminal
    terminal.kill()


def test_open_visit_every_screen_resize_and_quit(terminal: Terminal) -> None:
    before = subprocess.run(["git", "status", "--short"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    terminal.settings.write_text('[keys]\n"help" = "H"\n')
    # A shell that exports the size of another moment, which programs believe, must not hold the app to it.
    terminal.start(f"inspect {CHECKPOINT}", "COLUMNS=50 LINES=12")
    terminal.wait_for("1 Overview")
    terminal.wait_for("PROVED")
    assert max(len(line.rstrip()) for line in terminal.screen().split("\n")) > 90
    for entry in SCREENS:
        terminal.press(entry.key)
        terminal.wait_for({"overview": "IS IT", "layers": "bound ≤", "radii": "eps 36/255"}.get(entry.id, entry.title))
    terminal.press("2", "g", "g", "j", "+")  # like layers are folded into one line once they are measured
    terminal.wait_for("stage1.block1")
    terminal.press("H")
    terminal.wait_for("keys")
    terminal.press("Escape")
    terminal.tmux("resize-window", "-t", "app", "-x", "60", "-y", "20")
    terminal.wait_for("q Quit")
    lines = terminal.screen().rstrip("\n").split("\n")
    assert len(lines) <= 20
    assert all(len(line.rstrip()) <= 60 for line in lines)
    terminal.press("q")
    terminal.wait_for("code 0")
    after = subprocess.run(["git", "status", "--short"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert [line for line in after.split("\n") if "checkpoints" in line] == [
        line for line in before.split("\n") if "checkpoints" in line
    ]


@pytest.mark.parametrize("number", ["TERM", "HUP"])
def test_a_signal_ends_the_app_as_q_does(terminal: Terminal, tiny_model: Path, number: str) -> None:
    terminal.start(f"inspect {tiny_model}")
    terminal.wait_for("PROVED")
    assert terminal.ask("#{alternate_on} #{mouse_any_flag}") == "1 1"
    shell = terminal.ask("#{pane_pid}")
    child = subprocess.run(["pgrep", "-P", shell], capture_output=True, text=True, check=True).stdout.split()[0]
    subprocess.run(["kill", f"-{number}", child], check=True)
    terminal.wait_for("code 0")
    assert terminal.ask("#{alternate_on} #{mouse_any_flag}") == "0 0"
