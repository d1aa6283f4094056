from __future__ import annotations

import numpy as np
import pytest

from lipscope.data.synthetic import SIZES, shifted, smooth_patterns, synthetic

FINGERPRINTS = {
    ("synthetic", "train"): "0a95556ea26214660a12f44fc9ab45707fcbcad8035c557f5f537b1c6c6de304",
    ("synthetic", "test"): "969f145dffec18a0f512a366d93696d3c960d3088fb84abdf1c43eaa6f779b30",
    ("synthetic100", "train"): "cb73915c7f83c987c3a2809853f17db003195aae51459a2da7b7416dfc1fc8b2",
    ("synthetic100", "test"): "14d98e49a9f523af771efb218bd6c6901830b6e42a2f9acb989df3741abe498b",
}


@pytest.mark.parametrize(("name", "split"), FINGERPRINTS)
def test_the_bytes_never_change(name, split):
    """Certificates name the data by its fingerprint, so another generator would be another data set."""
    assert synthetic(name, split).fingerprint() == FINGERPRINTS[name, split]


@pytest.mark.parametrize(("name", "classes"), [("synthetic", 10), ("synthetic100", 100)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_shapes_and_balance(name, classes, split):
    data = synthetic(name, split)
    assert data.images.shape == (SIZES[split], 3, 32, 32)
    assert len(data.classes) == classes
    assert np.bincount(data.labels).tolist() == [SIZES[split] // classes] * classes
    assert data.images.flags.writeable
    assert np.mean((data.images == 0) | (data.images == 255)) < 0.001


def test_splits_share_no_image():
    train = {image.tobytes() for image in synthetic("synthetic", "train").images}
    assert len(train) == SIZES["train"]
    assert not train & {image.tobytes() for image in synthetic("synthetic", "test").images}


@pytest.mark.parametrize(("name", "least"), [("synthetic", 0.7), ("synthetic100", 0.3)])
def test_the_classes_can_be_learnt_but_not_all_of_them_linearly(name, least):
    train, test = synthetic(name, "train"), synthetic(name, "test")
    inputs, targets = features(train.images), np.eye(len(train.classes))[train.labels]
    weights = np.linalg.solve(inputs.T @ inputs + 10 * np.eye(inputs.shape[1]), inputs.T @ targets)
    accuracy = np.mean((features(test.images) @ weights).argmax(1) == test.labels)
    assert least < accuracy < 0.9


def features(images: np.ndarray) -> np.ndarray:
    """Means over 4x4 pixels, in [-0.5, 0.5]."""
    blocks = images.reshape(len(images), 3, 8, 4, 8, 4).mean((3, 5)) / 255 - 0.5
    return blocks.reshape(len(images), -1)


def test_patterns_are_bilinear_between_the_corners_and_periodic():
    pattern = smooth_patterns(1, np.random.RandomState(3))[0, 0].astype(int)
    corners = pattern[::8, ::8]
    for row, column in [(0, 0), (1, 3), (3, 3)]:
        right, below = corners[row, (column + 1) % 4], corners[(row + 1) % 4, column]
        assert abs(pattern[8 * row, 8 * column + 4] - (corners[row, column] + right) / 2) <= 1
        assert abs(pattern[8 * row + 2, 8 * column] - (0.75 * corners[row, column] + 0.25 * below)) <= 1


def test_a_shift_rolls_rows_and_columns():
    pattern = smooth_patterns(1, np.random.RandomState(3))
    moved = shifted(np.repeat(pattern, 20, 0), np.random.RandomState(4))
    rolls = [np.roll(pattern[0], (r, c), (1, 2)) for r in range(-5, 6) for c in range(-5, 6)]
    found = [[np.array_equal(image, roll) for roll in rolls].index(True) for image in moved]
    assert len(set(found)) > 5


def test_another_name_is_an_error():
    with pytest.raises(KeyError):
        synthetic("cifar10", "train")
