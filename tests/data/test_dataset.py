from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from lipscope.data.dataset import ImageSet


def image_set(n: int = 6, seed: int = 0) -> ImageSet:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (n, 3, 32, 32), np.uint8)
    labels = random.integers(0, 3, n)
    return ImageSet("cifar10", "test", images, labels, ("a", "b", "c"), "by hand")


def test_fingerprint_is_the_hash_of_the_sorted_record_hashes():
    data = image_set()
    records = [
        struct.pack("<q", label) + bytes(image.flatten().tolist())
        for image, label in zip(data.images, data.labels, strict=True)
    ]
    expected = hashlib.sha256(b"".join(sorted(hashlib.sha256(record).digest() for record in records)))
    assert data.fingerprint() == expected.hexdigest()


def test_fingerprint_does_not_depend_on_the_order():
    data = image_set()
    assert data.subset([5, 3, 1, 0, 2, 4]).fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    "indices", [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4, 5, 5]], ids=["fewer", "other", "more"]
)
def test_fingerprint_tells_other_records(indices):
    data = image_set()
    assert data.subset(indices).fingerprint() != data.fingerprint()


def test_fingerprint_tells_one_pixel_and_swapped_labels():
    data, other = image_set(), image_set()
    other.images[2, 1, 7, 9] ^= 1
    assert other.fingerprint() != data.fingerprint()
    swapped = image_set()
    first, second = 0, int(np.flatnonzero(swapped.labels != swapped.labels[0])[0])
    swapped.labels[[first, second]] = swapped.labels[[second, first]]
    assert swapped.fingerprint() != data.fingerprint()


def test_subset_keeps_the_order_asked_for():
    data = image_set()
    some = data.subset(np.array([4, 1]))
    assert len(some) == 2
    assert np.array_equal(some.images, np.stack([data.images[4], data.images[1]]))
    assert some.labels.tolist() == [data.labels[4], data.labels[1]]
    assert (some.name, some.split, some.classes, some.source) == ("cifar10", "test", ("a", "b", "c"), "by hand")
    with pytest.raises(IndexError):
        data.subset([6])


def test_an_empty_subset_is_an_image_set():
    assert len(image_set().subset([])) == 0


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 32, 32, 3), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 32, 32), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 32, 32), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 3, 32, 32), np.uint8), np.zeros(2, np.uint8)),
        (np.zeros((2, 3, 32, 32), np.uint8), np.array([0, 3])),
        (np.zeros((2, 3, 32, 32), np.uint8), np.array([-1, 0])),
    ],
    ids=["channels last", "floats", "lengths", "label type", "label too large", "label negative"],
)
def test_malformed_arrays_are_refused(images, labels):
    with pytest.raises(ValueError, match="label"):
        ImageSet("cifar10", "test", images, labels, ("a", "b", "c"), "by hand")


def test_images_without_labels_and_of_another_size():
    images = np.zeros((2, 3, 64, 48), np.uint8)
    data = ImageSet("mine", "images", images, np.array([-1, -1]), ("a",), "by hand", labelled=False)
    assert len(data.subset([1])) == 1
    assert data.subset([1]).labelled is False
    with pytest.raises(ValueError, match="without labels"):
        ImageSet("mine", "images", images, np.array([-1, 0]), ("a",), "by hand", labelled=False)
