from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipscope.data.binary import class_names, count_records, parse_records, read_folder
from lipscope.data.releases import CIFAR10, CIFAR100
from lipscope.errors import DataError
from tests.data.makers import binary_files


def record(labels: list[int], red: int, green: int, blue: int) -> bytes:
    """One record: all pixels of a channel alike, but the first of the second row of red is 7."""
    channels = [bytearray([value] * 1024) for value in (red, green, blue)]
    channels[0][32] = 7
    return bytes(labels) + b"".join(bytes(channel) for channel in channels)


def written(folder, files):
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_a_record_of_cifar10_is_a_label_and_three_channels_row_by_row():
    images, labels = parse_records(record([3], 10, 20, 30) + record([9], 1, 2, 3), CIFAR10, "by hand")
    assert labels.tolist() == [3, 9]
    assert labels.dtype == np.int64
    assert images.shape == (2, 3, 32, 32)
    assert images.dtype == np.uint8
    assert images[0, :, 5, 5].tolist() == [10, 20, 30]
    assert images[0, 0, 1, 0] == 7
    assert images[0, 0, 0, 1] == 10
    assert images.flags.writeable


def test_the_class_of_cifar100_is_the_fine_label():
    _, labels = parse_records(record([4, 77], 0, 0, 0) + record([19, 0], 0, 0, 0), CIFAR100, "by hand")
    assert labels.tolist() == [77, 0]


@pytest.mark.parametrize(
    ("release", "data", "message"),
    [
        (CIFAR10, b"", "empty"),
        (CIFAR10, record([3], 0, 0, 0)[:-1], "truncated"),
        (CIFAR10, record([3], 0, 0, 0) + b"x", "3074 bytes are not a multiple of the record of 3073"),
        (CIFAR10, record([3], 0, 0, 0) + record([10], 0, 0, 0), "record 1 says 10, labels go from 0 to 9"),
        (CIFAR100, record([20, 5], 0, 0, 0), "record 0 says 20, labels go from 0 to 19"),
        (CIFAR100, record([1, 100], 0, 0, 0), "record 0 says 100, labels go from 0 to 99"),
    ],
)
def test_malformed_records_are_named(release, data, message):
    with pytest.raises(DataError, match=message) as caught:
        parse_records(data, release, "data_batch_9.bin")
    assert caught.value.where == "data_batch_9.bin"
    assert caught.value.next_step


@pytest.mark.parametrize("release", [CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def test_a_folder_is_read_in_the_order_of_its_files(tmp_path, release):
    files = binary_files(release)
    folder = written(tmp_path / "folder", files)
    images, labels = read_folder(folder, release, "train")
    whole = np.frombuffer(b"".join(files[name] for name in release.binary.train), np.uint8)
    whole = whole.reshape(-1, release.record_size)
    assert images.reshape(len(images), -1).tolist() == whole[:, -3072:].tolist()
    assert labels.tolist() == whole[:, -3073].tolist()
    assert len(read_folder(folder, release, "test")[0]) == 4
    assert count_records(folder, release, "train") == len(labels)


def test_the_missing_file_is_named(tmp_path):
    folder = written(tmp_path / "folder", binary_files(CIFAR10))
    (folder / "data_batch_4.bin").unlink()
    for read in (read_folder, count_records):
        with pytest.raises(DataError, match="missing") as caught:
            read(folder, CIFAR10, "train")
        assert caught.value.where.endswith("data_batch_4.bin")
        assert "lipscope data fetch cifar10" in caught.value.next_step
    assert len(read_folder(folder, CIFAR10, "test")[1]) == 4


@pytest.mark.parametrize("data", [b"", bytes(3072), bytes(3074)], ids=["empty", "short", "long"])
def test_counting_checks_the_sizes(tmp_path, data):
    folder = written(tmp_path / "folder", {"test_batch.bin": data})
    with pytest.raises(DataError, match="truncated"):
        count_records(folder, CIFAR10, "test")


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path):
    (tmp_path / "test_batch.bin").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_folder(tmp_path, CIFAR10, "test")


def test_class_names_come_from_the_folder(tmp_path):
    release = replace(CIFAR10, classes=("cat", "dog"))
    assert class_names(tmp_path, release) == ("cat", "dog")
    names = tmp_path / "batches.meta.txt"
    names.write_text("dog\ncat\n\n")
    assert class_names(tmp_path, release) == ("dog", "cat")
    names.write_text("dog\n")
    with pytest.raises(DataError, match="1 names for 2 classes"):
        class_names(tmp_path, release)
    names.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a text file"):
        class_names(tmp_path, release)
    names.unlink()
    names.mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        class_names(tmp_path, release)
