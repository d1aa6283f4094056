from __future__ import annotations

import functools
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from lipscope.errors import CheckpointError
from lipscope.files.signing import Origin
from lipscope.files.violation import Pair, read_pair, violation_path, write_pair
from tests.always import always

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 4, 4), dtype=np.uint8)
POINT = (IMAGE / 255 + 0.01).clip(0, 1).astype(np.float32)
TOLD = {"index": 17, "adversarial_class": 2, "distance": 0.07}
PAIR = Pair(IMAGE, POINT, TOLD, "a" * 64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return violation_path(tmp_path, Path("model.safetensors"), 17)


def test_what_is_written_is_read_and_can_be_looked_at(path: Path) -> None:
    write_pair(path, PAIR)
    back = read_pair(path)
    assert np.array_equal(back.image, IMAGE)
    assert np.array_equal(back.adversarial, POINT)
    assert (back.told, back.index, back.model_sha256, back.origin) == (TOLD, 17, "a" * 64, Origin(own=True))
    pictures = {file.name.split(".")[-2]: np.asarray(Image.open(file)) for file in path.parent.glob("*.png")}
    assert np.array_equal(pictures["image"].transpose(2, 0, 1), IMAGE)
    assert np.abs(pictures["adversarial"].transpose(2, 0, 1) / 255 - POINT).max() <= 0.5 / 255 + 1e-6


def test_that_of_another_user_is_a_claim(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pair(path, PAIR)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    assert not read_pair(path).origin.own


@pytest.mark.parametrize(
    "pair",
    [
        Pair(IMAGE, POINT, {}, ""),
        Pair(IMAGE, POINT, {**TOLD, "index": "17"}, ""),
        Pair(IMAGE, POINT, {**TOLD, "distance": None}, ""),
        Pair(IMAGE, np.full_like(POINT, np.inf), TOLD, ""),
        Pair(IMAGE, POINT[:, :2], TOLD, ""),
    ],
)
def test_what_does_not_fit_together_is_refused(pair: Pair, path: Path) -> None:
    write_pair(path, pair)
    with pytest.raises(CheckpointError, match="not a saved violation"):
        read_pair(path)


@functools.cache
def whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        write_pair(path, PAIR)
        return path.read_bytes()


@always(place=st.integers(0, 2000), value=st.integers(0, 255))
def test_no_damaged_byte_ends_in_anything_but_an_error_or_a_claim(place: int, value: int) -> None:
    content = bytearray(whole())
    content[place % len(content)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(content)
        with suppress(CheckpointError):
            assert read_pair(path).origin.own == (bytes(content) == whole())
