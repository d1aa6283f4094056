"""The table of families: its order, its counts, and a family that is not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lipscope.cli import run
from lipscope.commands import compare_layers
from lipscope.commands.compare_layers import certified_run, table
from lipscope.files import run_log
from lipscope.files.run_log import RunLog
from lipscope.records import RunEvent


def row(title: str, certified: int) -> dict[str, Any]:
    share = {"count": certified, "rate": certified / 50}
    return {
        "title": title, "minutes": 1.25, "steps": 40, "clean": {"count": 30, "rate": 0.6},
        "certified": [{"eps": "36/255", **share}], "average_certified_radius": 0.125,
    }  # fmt: skip


def test_the_best_comes_first_with_its_counts() -> None:
    heads, _, first, second = table([row("AOL", 7), row("Cayley", 9)]).splitlines()
    assert heads == "| layers | minutes | steps | clean | 36/255 | average radius |"
    assert first == "| Cayley | 1.2 | 40 | 60.00% (30) | 18.00% (9) | 0.1250 |"
    assert second.startswith("| AOL |")


def test_a_family_that_does_not_exist_is_refused_before_anything_is_trained(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare-layers", "--minutes", "1", "--conv", "no-such", "--out", str(tmp_path / "out")]) == 2
    assert "no-such" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def lipscope(*words: str) -> str:
        asked.append(words[:2])
        (tmp_path / "run.json").touch()
        return '{"clean": null}'

    def finished(path: Path) -> RunLog:
        event = SimpleNamespace(epoch=len(asked), epochs=3)
        return RunLog(path, {}, {}, epochs=(cast(RunEvent, event),))

    monkeypatch.setattr(compare_layers, "_lipscope", lipscope)
    monkeypatch.setattr(run_log, "read_run", finished)
    model = str(tmp_path / "model.safetensors")
    assert certified_run(tmp_path, ["--seed", "1"]) == {"clean": None}
    assert asked == [("train", "--seed"), ("certify", model)]
    certified_run(tmp_path, ["--seed", "1"], 50)  # two of three epochs
    assert asked[2:] == [("train", "--resume"), ("certify", model)]
    certified_run(tmp_path, ["--seed", "1"], 50)
    assert asked[4:] == [("certify", model)]  # which answers from what it kept
