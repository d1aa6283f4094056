"""Images of a file beside the data set's: mapped, not read, and refused in words where they are something else."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lipscope.data.extra import open_extra
from lipscope.errors import DataError

SHAPE = (3, 32, 32)


def arrays(count: int = 7) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "image": random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        "label": random.integers(0, 10, count, dtype=np.int64),
    }


def test_images_come_channels_first_with_their_labels_and_digest(tmp_path: Path) -> None:
    path, stored = tmp_path / "images.npz", arrays()
    np.savez(path, **stored)
    extra = open_extra(path, SHAPE, 10)
    assert isinstance(extra.images, np.memmap)
    assert extra.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    images, labels = extra.batch(np.array([6, 0, 6]))
    for at, number in enumerate((6, 0, 6)):
        for channel in range(3):
            np.testing.assert_array_equal(images[at, channel], stored["image"][number, :, :, channel])
        assert labels[at] == stored["label"][number]
    assert (images.dtype, labels.dtype, len(extra)) == (np.uint8, np.int64, 7)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"image": np.zeros((7, 32, 32, 3), np.float32)}, "float32"),
        ({"image": np.zeros((7, 3, 32, 32), np.uint8)}, "not uint8"),
        ({"image": np.zeros((6, 32, 32, 3), np.uint8)}, "beside"),
        ({"image": np.asfortranarray(np.zeros((7, 32, 32, 3), np.uint8))}, "column by column"),
        ({"image": np.zeros((0, 32, 32, 3), np.uint8), "label": np.zeros(0, np.int64)}, "0"),
        ({"image": np.uint8(3)}, r"\(\)"),
        ({"label": np.full(7, 10)}, "outside 0..9"),
        ({"label": np.full(7, -1)}, "outside 0..9"),
        ({"label": np.zeros(7)}, "float64"),
        ({"label": np.zeros((7, 1), np.int64)}, "label is"),
        ({"label": np.array([None] * 7, dtype=object)}, "object"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, change: dict[str, np.ndarray], why: str) -> None:
    np.savez(tmp_path / "other.npz", **{**arrays(), **change})
    with pytest.raises(DataError, match=why):
        open_extra(tmp_path / "other.npz", SHAPE, 10)


def test_compressed_ones_cannot_be_mapped(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "small.npz", **arrays())
    with pytest.raises(DataError, match=r"compressed.*\n?.*savez") as caught:
        open_extra(tmp_path / "small.npz", SHAPE, 10)
    assert "savez" in str(caught.value)


def test_a_header_that_promises_more_than_the_file_has_allocates_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", **arrays())
    with zipfile.ZipFile(tmp_path / "whole.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    # As long as it was, so that only the numbers of the header are other ones.
    more = members["image.npy"].replace(b"(7, 32, 32, 3), }      ", b"(700000, 32, 32, 3), } ")
    assert more != members["image.npy"]
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("image.npy", more)
        archive.writestr("label.npy", members["label.npy"])
    with pytest.raises(DataError, match="but has"):
        open_extra(tmp_path / "other.npz", SHAPE, 10)


@pytest.mark.parametrize("kept", [0, 3, 100, 5_000, 21_900])
def test_the_beginning_of_a_file_is_refused(tmp_path: Path, kept: int) -> None:
    np.savez(tmp_path / "whole.npz", **arrays())
    part = tmp_path / "part.npz"
    part.write_bytes((tmp_path / "whole.npz").read_bytes()[:kept])
    with pytest.raises(DataError, match="no images to learn from"):
        open_extra(part, SHAPE, 10)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none.npz"):
        with pytest.raises(DataError, match="no images to learn from"):
            open_extra(path, SHAPE, 10)
