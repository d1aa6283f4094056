"""Progress in a side file; the command's own tests interrupt and kill it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lipscope.certification.partial import Progress, order_digest
from lipscope.data.synthetic import synthetic
from lipscope.errors import CheckFailedError
from tests.full_disk import full_disk

ROWS = torch.arange(12.0).reshape(4, 3)

Make = Callable[..., Progress]


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, notes: list[str]) -> Make:
    def progress(about: Any = "this", shape: tuple[int, int] = (9, 3), dtype: torch.dtype = torch.float32) -> Progress:
        return Progress(tmp_path / "x.part.safetensors", {"about": about}, shape, dtype, notes.append)

    return progress


def test_rows_come_back_until_they_are_removed(make: Make, notes: list[str]) -> None:
    assert make().load() is None
    assert notes == []
    make().update(ROWS)
    found = make().load()
    assert found is not None
    assert torch.equal(found, ROWS)
    assert notes == ["continued after 4 of 9 images"]
    make().remove()
    assert make().load() is None
    make().remove()


@pytest.mark.parametrize(
    "other",
    [{"about": "that"}, {"shape": (3, 3)}, {"shape": (9, 4)}, {"dtype": torch.float64}],
    ids=lambda other: next(iter(other)),
)
def test_other_rows_are_not_taken(make: Make, notes: list[str], other: dict[str, Any]) -> None:
    make().update(ROWS)
    assert make(**other).load() is None
    assert len(notes) == 1
    assert "is ignored" in notes[0]


def leave(progress: Progress, error: BaseException) -> None:
    """Leave with the first row saved and two more not yet."""
    with progress:
        progress.update(ROWS[:1])
        progress._pause_until = float("inf")
        progress.update(ROWS[:3])
        raise error


def test_the_last_rows_are_saved_on_the_way_out(make: Make) -> None:
    with pytest.raises(KeyboardInterrupt):
        leave(make(), KeyboardInterrupt())
    found = make().load()
    assert found is not None
    assert torch.equal(found, ROWS[:3])


def test_rows_that_can_only_fail_again_are_forgotten(make: Make) -> None:
    with pytest.raises(CheckFailedError):
        leave(make(), CheckFailedError("refused"))
    assert make().load() is None


def test_saving_pauses_for_twenty_times_its_own_length(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock moves by a second at every look: saving takes one second, and the next one waits for twenty."""
    import lipscope.certification.partial as room

    seconds = iter(range(1000))
    monkeypatch.setattr(room.time, "monotonic", lambda: float(next(seconds)))
    progress, saved = make(), []
    for k in range(60):
        progress.update(torch.full((k % 9 + 1, 3), float(k)))
        found = make().load()
        assert found is not None
        saved.append(float(found[0, 0]))
    moments = sorted(set(saved))
    assert len(moments) == 3
    assert moments[1] - moments[0] >= 17


def test_a_full_disk_is_told_once_and_ends_nothing(make: Make, notes: list[str], tmp_path: Path) -> None:
    with full_disk(100), make() as progress:
        progress.update(ROWS)
        progress.update(ROWS)
    assert len(notes) == 1
    assert "progress is not kept" in notes[0]
    assert list(tmp_path.iterdir()) == []


def test_the_order_matters_here() -> None:
    data, index = synthetic("synthetic", "test").subset(range(5)), np.arange(5)
    digest = order_digest(data, index)
    assert order_digest(data.subset(range(5)), index.copy()) == digest
    assert data.subset([1, 0, 2, 3, 4]).fingerprint() == data.fingerprint()
    assert order_digest(data.subset([1, 0, 2, 3, 4]), index) != digest
    assert order_digest(data, index + 1) != digest
