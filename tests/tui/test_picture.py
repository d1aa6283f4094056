import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lipscope.cli import run
from lipscope.errors import LipscopeError, UsageError
from lipscope.tui.picture import parse_size, picture
from lipscope.tui.registry import SCREENS
from lipscope.tui.work.worker import Means
from tests.tui.conftest import FAILURE, Script, write_radii
from tests.waiting import GENEROUS


def words(svg: str) -> str:
    return "".join(ET.fromstring(svg).itertext()).replace("\xa0", " ")


@pytest.mark.parametrize("screen", [screen.id for screen in SCREENS])
def test_every_screen_is_drawn_complete(model, screen):
    write_radii(model)
    text = words(picture(model, Means(Script()), screen=screen, size=(100, 30)))
    assert "analysis complete" in text
    assert "PROVED" in text


def test_keys_are_pressed_before_it_is_drawn(model):
    drawn = words(picture(model, Means(Script()), screen="layers", keys=("g", "g", "down")))
    assert "─ stage1.block1.conv ─" in drawn
    assert "proved by skew" in drawn


def test_a_hostile_name_does_not_break_the_svg(model):
    path = model.rename(model.with_name("<script>&amp;\x1b.safetensors"))
    svg = picture(path, Means(Script()), screen="overview")
    assert "<script>" not in svg
    words(svg)


def test_a_failed_analysis_is_an_error_not_a_picture(model):
    with pytest.raises(LipscopeError, match="not finite"):
        picture(model, Means(Script(failure=FAILURE)), screen="overview")


@pytest.mark.parametrize("text", ["", "120", "120x", "x36", "120*36", "0x0", "5x5", "99999x99999", "-1x20", "120x36x"])
def test_a_size_that_is_none(text):
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


def test_the_command_draws_without_a_terminal(tiny_model, tmp_path):
    target = tmp_path / "out.svg"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "LIPSCOPE_DATA": str(tmp_path)}
    arguments = ["inspect", str(tiny_model), "--screenshot", str(target)]
    answer = subprocess.run(
        [sys.executable, "-m", "lipscope", *arguments, "--screen", "layers", "--size", "100x30"],
        capture_output=True, text=True, timeout=GENEROUS, check=False, stdin=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == ""
    assert str(target) in answer.stderr
    drawn = words(target.read_text())
    assert "13 layers" in drawn
    assert "stage1 … flatten" in drawn  # of these there is nothing to see: they are folded into one line
    kept = Path(str(tiny_model).removesuffix(".safetensors") + ".inspected.jsonl")
    assert kept.exists()
    for wrong in (["--size", "huge"], ["--json"], ["--check"]):
        assert run([*arguments, *wrong]) == 2
