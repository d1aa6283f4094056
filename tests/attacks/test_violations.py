from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from lipscope.attacks.driver import Settings, attack
from lipscope.attacks.target import margins
from lipscope.attacks.violations import (
    describe,
    save_violation,
    verify_saved,
    violated,
)
from lipscope.errors import CheckpointError
from lipscope.files.violation import violation_path

from .makers import certified, images, linear_net, stored


@pytest.fixture(scope="module")
def case():
    """A model, a lie about it, and an adversarial inside the lie."""
    net, data = linear_net(1), images(3, 1)
    lie = certified(net, data)
    lie = replace(lie, radius=1.5 * lie.radius)
    found = []
    attack(stored(net), data, lie, Settings(("minimum",)), on_violation=lambda *pair: found.append(pair))
    return stored(net), lie, found[1]


def test_what_is_strictly_inside_is_a_violation():
    lie = certified(linear_net(1), images(4, 1))
    lie = replace(lie, radius=np.array([0.5, 0.5, 0.0, 0.6]))
    assert violated(lie, np.array([0.5, 0.49, np.inf, 0.55])).tolist() == [False, True, False, True]


def test_a_violation_says_what_it_refutes(case):
    model, lie, (row, image, point) = case
    violation = describe(model, lie, row, image, point)
    assert violation is not None
    assert (violation.index, violation.predicted) == (1, int(lie.predicted[1]))
    assert violation.adversarial_class != violation.predicted
    assert violation.margin < 0
    exact = float((point.double() - image.double() / 255).norm())
    assert exact <= violation.distance <= exact + 1e-6
    assert violation.radius == lie.radius[1]


def test_what_is_none_is_not_called_one(case):
    model, lie, (row, image, point) = case
    assert describe(model, lie, row, image, image.float() / 255) is None  # the same class
    honest = replace(lie, radius=lie.radius / 1.5)
    assert describe(model, honest, row, image, point) is None  # outside
    outside = point.clone()
    outside[0, 0, 0] = -1e-3
    assert describe(model, replace(lie, radius=np.full(3, 9.0)), row, image, outside) is None


def test_the_pair_is_saved_and_verified_again(case, tmp_path):
    model, lie, (row, image, point) = case
    path = violation_path(tmp_path, tmp_path / "model.safetensors", 1)
    violation = describe(model, lie, row, image, point)
    save_violation(path, violation, model.sha256, image, point)
    arrays = load_file(path)
    assert np.array_equal(arrays["image"], image.numpy())
    assert np.array_equal(arrays["adversarial"], point.numpy())
    assert verify_saved(path, model, lie) == violation
    assert verify_saved(path, model, replace(lie, radius=lie.radius / 1.5)) is None
    pictures = [np.asarray(Image.open(file)).transpose(2, 0, 1) for file in sorted(tmp_path.glob("*.png"))]
    assert [file.name for file in sorted(tmp_path.glob("*.png"))] == [
        "model.certified.violation-1.adversarial.png", "model.certified.violation-1.image.png",
    ]  # fmt: skip
    assert np.array_equal(pictures[1], image.numpy())
    assert np.abs(pictures[0] / 255 - point.numpy()).max() <= 0.5 / 255 + 1e-6


def test_other_files_are_refused(case, tmp_path):
    model, lie, (row, image, point) = case
    path = violation_path(tmp_path, tmp_path / "model.safetensors", 1)
    violation = describe(model, lie, row, image, point)
    save_violation(path, violation, model.sha256, image, point)
    with pytest.raises(CheckpointError, match="another model"):
        verify_saved(path, replace(model, sha256="1" * 64), lie)
    with pytest.raises(CheckpointError, match="not a saved violation"):
        verify_saved(path, model, replace(lie, index=lie.index + 5))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError):
        verify_saved(path, model, lie)


def test_rounding_between_equal_rows_refutes_nothing():
    """f_0 - f_1 is the positive difference of two biases on every image, whatever a sum of products makes of it."""
    logits, predicted = torch.tensor([[1.0, 1.0 + 2**-52, 0.5]], dtype=torch.float64), torch.tensor([0])
    assert margins(logits, predicted).min() < 0
    settled = torch.full((3, 3), math.nan, dtype=torch.float64)
    settled[0, 1], settled[1, 0] = 1e-30, -1e-30
    assert margins(logits, predicted, settled).tolist() == [[math.inf, 1e-30, 0.5]]
