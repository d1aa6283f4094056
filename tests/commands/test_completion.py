from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from lipscope.cli import COMMANDS, cli
from lipscope.layers.convolutions import CONVOLUTIONS
from tests.waiting import GENEROUS

PAGE = Path(__file__).parents[2] / "docs" / "completion.md"


def completed(*words: str) -> list[str]:
    *before, last = words
    return [
        item.value for item in ShellComplete(cli, {}, "lipscope", "_LIPSCOPE_COMPLETE").get_completions(before, last)
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("",), list(COMMANDS)),
        (("ce",), ["certify"]),
        (("train", "--dataset", "synth"), ["synthetic", "synthetic100"]),
        (("train", "--conv", ""), list(CONVOLUTIONS)),
        (("train", "--activation", "h"), ["hh1", "hh2"]),
        (("train", "--recipe", "p"), ["paper"]),
        (("train", "--loss", "off"), ["offset-cross-entropy"]),
        (("inspect", "--screen", "ov"), ["overview"]),
        (("certify", "--dataset", "cifar1"), ["cifar10", "cifar100"]),
        (("certify", "--device", "c"), ["cpu", "cuda", "cuda:0"]),
        (("data", "fetch", "cifar100"), ["cifar100"]),
        (("train", "--hold"), ["--holdout"]),
    ],
)
def test_values_are_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert completed(*words) == expected


def test_files_are_left_to_the_shell() -> None:
    items = ShellComplete(cli, {}, "lipscope", "_LIPSCOPE_COMPLETE").get_completions(["inspect"], "")
    assert [item.type for item in items] == ["file"]


def test_what_the_page_tells_to_type_is_a_script_for_the_shell() -> None:
    assert "_LIPSCOPE_COMPLETE=bash_source lipscope" in PAGE.read_text(encoding="utf-8")
    environment = {**os.environ, "_LIPSCOPE_COMPLETE": "zsh_source"}
    script = "import sys; sys.argv[0] = 'lipscope'; from lipscope.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment, timeout=GENEROUS
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("#compdef lipscope")
