from __future__ import annotations

import ast
import codecs
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import lipscope
from lipscope.cli import COMMANDS, run
from lipscope.commands.streams import PLAIN, TWINS, plain
from tests.commands.test_convert import published
from tests.waiting import GENEROUS

pytestmark = pytest.mark.usefixtures("no_data")

ROOM = Path(lipscope.__file__).parent
SEAM = ("commands/messages.py", "commands/streams.py")
"""Where printing is done."""

BARS = ("commands/progress.py", "commands/data.py")
"""Where rich draws bars on stderr; what it is given goes through the same function, as what others print does."""


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash in which lipscope is a command."""
    prelude = f'lipscope() {{ "{sys.executable}" -m lipscope "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", prelude + line],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
        timeout=GENEROUS,
    )


def test_nothing_is_printed_past_the_seam() -> None:
    printing: dict[str, set[str]] = {}
    for file in ROOM.rglob("*.py"):
        name = file.relative_to(ROOM).as_posix()
        if name.startswith("tui/"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                said = ast.unparse(node.func)
                if said in ("print", "click.echo", "click.secho", "Console") or said.endswith(
                    (".stdout.write", ".stderr.write", ".console.print", "_console.print")
                ):
                    printing.setdefault(name, set()).add(ast.unparse(node))
    consoles = {name for name, calls in printing.items() if any(call.startswith("Console(") for call in calls)}
    assert consoles == set(BARS)
    past = {call for name, calls in printing.items() if name not in SEAM for call in calls if "print(" in call}
    assert past
    assert all("visible(" in call for call in past), past


def test_any_encoding_shows_the_same_in_plain_twins(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["certify", str(tiny_model), "--limit", "3"]) == 0
    told = capsys.readouterr().out
    assert "█" in told
    codecs.register_error(PLAIN, plain)
    for encoding in ("cp1252", "ascii", "latin-1", "cp437", "koi8-r"):
        assert b"?" not in told.encode(encoding, PLAIN)
    found = shell(f"lipscope certify {tiny_model} --limit 3", PYTHONIOENCODING="cp1252")
    assert found.returncode == 0
    assert found.stdout == told.encode("cp1252", PLAIN)


def test_bars_have_twins_of_one_column() -> None:
    # Of the histogram, and of plotext's curve and its axes.
    bars = "▏▎▍▌▋▊▉█…" + "▀▄▐▖▗▘▙▚▛▜▝▞▟" + "─│┌┐└┘├┤┬┴┼"
    assert set(bars) <= set(TWINS)
    assert all(len(TWINS[letter]) == 1 for letter in bars)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("command", "code"), [("data list", 0), ("certify nowhere", 4), ("train --epochs x", 2)])
def test_closed_streams(closed: str, command: str, code: int) -> None:
    ended = shell(f"lipscope {command} {closed}")
    assert ended.returncode == code
    assert b"Traceback" not in ended.stderr


def test_what_is_opened_while_a_stream_is_closed_gets_nothing_that_is_printed(tiny_model: Path) -> None:
    before = tiny_model.read_bytes()
    assert shell(f"lipscope certify {tiny_model} --limit 2 <&- >&- 2>&-").returncode == 0
    assert tiny_model.read_bytes() == before


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("--help", 0),
        ("data list", 0),
        ("certify {model} --limit 3 --min-certified 1@3", 5),
        ("inspect {model} --json", 0),
        ("nonsense", 2),
    ],
)
def test_a_reader_that_goes_changes_no_exit_code(command: str, code: int, tiny_model: Path) -> None:
    ended = shell(f"lipscope {command.format(model=tiny_model)} 2>&1 | true; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stderr) == (code, b"")


EVIL = "\x1b]0;owned\x07\x9b31m\u202ea\nlipscope: all is proved"


def test_names_from_a_file_drive_no_terminal(
    tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / EVIL.replace("/", "")
    folder.mkdir()
    model = folder / "model.safetensors"
    save_file({EVIL: np.eye(3, dtype=np.float32), "b": np.ones(3)}, model, {"format": "pt", EVIL: EVIL})
    state = {**published(), EVIL: torch.ones(1)}
    torch.save({EVIL: state, "other": 1}, folder / "best.pth")
    ours = tiny_model.rename(folder / "tiny.safetensors")
    for arguments in (
        ["inspect", str(model)],
        ["inspect", str(model), str(model)],
        ["certify", str(model)],
        ["certify", str(ours), "--limit", "2"],
        ["certify", str(ours), "--limit", "2", "--csv", "-"],
        ["convert", str(folder / "best.pth")],
        ["convert", str(folder / "best.pth"), "--key", EVIL],
        ["train", "--resume", str(folder)],
        ["data", "list", "--data-dir", str(folder)],
        [EVIL],
        ["inspect", EVIL],
        ["certify", "--eps", EVIL],
    ):
        run(arguments)
        stdout, stderr = capfd.readouterr()
        for text in (stdout, stderr):
            assert not {letter for letter in text if not letter.isprintable()} - {"\n", "\t"}, arguments
            assert "\nlipscope: all is proved" not in text, arguments


def test_help_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        run([name, "--help"])
        assert capsys.readouterr().out.isascii(), name


def test_errors_as_objects_are_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", f"{EVIL}.pth", "--json"]) == 2  # no such option
    assert run(["inspect", f"{EVIL}.pth", "--json"]) == 4
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text.splitlines()[1])["error"]["where"] == f"{EVIL}.pth"
