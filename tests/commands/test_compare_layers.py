"""The table of families: its order, its counts, and a family that is not there."""

from __future__ import annotations

from typing import Any

import pytest

from lipscope.cli import run
from lipscope.commands.compare_layers import table


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
