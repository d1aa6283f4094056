from __future__ import annotations

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest

from lipscope.data.pickles import parse_pickled, read_pickled_folder
from lipscope.data.releases import CIFAR10
from lipscope.errors import DataError
from tests.data.makers import binary_files, md5, python2_pickle, python_files, tiny


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def blessed(data: bytes, name: str = "test_batch"):
    """CIFAR-10 as if ``data`` were its official file."""
    return replace(CIFAR10, python=replace(CIFAR10.python, md5={name: md5(data)}))


def test_the_pickled_files_hold_the_same_images_as_the_binary_ones(tmp_path, tiny_release):
    release, _ = tiny_release
    for name, data in python_files(release).items():
        (tmp_path / name).write_bytes(data)
    for split in ("train", "test"):
        images, labels = read_pickled_folder(tmp_path, release, split)
        whole = b"".join(binary_files(release)[name] for name in release.binary.files(split))
        records = np.frombuffer(whole, np.uint8).reshape(len(images), -1)
        assert np.array_equal(images.reshape(len(images), -1), records[:, -3072:])
        assert labels.tolist() == records[:, -3073].tolist()
        assert images.flags.writeable


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_of_current_numpy_are_read_too(protocol):
    pixels = np.arange(2 * 3072).astype(np.uint8).reshape(2, 3072)
    data = pickle.dumps({"data": pixels, "labels": [3, 1]}, protocol)
    images, labels = parse_pickled(data, "test_batch", blessed(data), "here")
    assert np.array_equal(images.reshape(2, -1), pixels)
    assert labels.tolist() == [3, 1]


def test_another_file_is_refused_unopened(tmp_path):
    trap = tmp_path / "trap"
    data = pickle.dumps(Bomb(str(trap)))
    with pytest.raises(DataError, match="not the official one") as caught:
        parse_pickled(data, "test_batch", CIFAR10, "here/test_batch")
    assert not trap.exists()
    assert md5(data) in caught.value.why
    assert "binary version" in caught.value.next_step


def test_even_with_the_right_checksum_nothing_is_called(tmp_path):
    trap = tmp_path / "trap"
    data = pickle.dumps(Bomb(str(trap)))
    with pytest.raises(DataError, match="mkdir"):
        parse_pickled(data, "test_batch", blessed(data), "here")
    assert not trap.exists()


PIXELS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps({"data": PIXELS}),
        pickle.dumps({"data": PIXELS, "labels": [1]}),
        pickle.dumps({"data": PIXELS, "labels": [1, 10]}),
        pickle.dumps({"data": PIXELS, "labels": [1, -1]}),
        pickle.dumps({"data": PIXELS, "labels": ["a", "b"]}),
        pickle.dumps({"data": PIXELS.astype(np.int16), "labels": [1, 2]}),
        pickle.dumps({"data": PIXELS[:, :-1].copy(), "labels": [1, 2]}),
        pickle.dumps({"data": PIXELS[:0].copy(), "labels": []}),
        pickle.dumps({"data": "text", "labels": [1, 2]}),
        pickle.dumps([1, 2]),
        python2_pickle(PIXELS, np.array([1, 2]), "labels")[:-40],
        b"",
        b"not a pickle",
    ],
)
def test_anything_but_images_and_labels_is_an_error(data):
    with pytest.raises(DataError, match="does not hold images and labels"):
        parse_pickled(data, "test_batch", blessed(data), "here")


def test_one_changed_file_in_the_folder_is_named(tmp_path):
    release, _ = tiny(CIFAR10)
    files = python_files(release)
    files["data_batch_3"] = files["data_batch_3"][:-2] + b" u."
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match="not the official one") as caught:
        read_pickled_folder(tmp_path, release, "train")
    assert caught.value.where.endswith("data_batch_3")
    assert len(read_pickled_folder(tmp_path, release, "test")[0]) == 4
