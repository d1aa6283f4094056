from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lipscope.errors import UsageError
from lipscope.training.holdout import TrainingSet, split_holdout, validate
from tests.conftest import TINY
from tests.training.conftest import ALONE

CPU = torch.device("cpu")


def records(images: torch.Tensor, labels: torch.Tensor) -> list[tuple[bytes, int]]:
    return [(image.numpy().tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]


@pytest.mark.parametrize("holdout", [0, 1, 60, 299])
def test_a_partition_of_the_training_images(few_images, holdout):
    split = split_holdout(few_images, holdout, 5, CPU)
    held, kept = records(split.held_images, split.held_labels), records(split.images, split.labels)
    everything = records(torch.from_numpy(few_images.images), torch.from_numpy(few_images.labels))
    assert (len(held), len(kept)) == (holdout, 300 - holdout)
    assert sorted(held + kept) == sorted(everything)


def test_the_seed_picks_them(few_images):
    first, again, other = (split_holdout(few_images, 60, seed, CPU) for seed in (5, 5, 6))
    assert torch.equal(first.held_images, again.held_images)
    assert torch.equal(first.images, again.images)
    common = set(records(first.held_images, first.held_labels)) & set(records(other.held_images, other.held_labels))
    assert len(common) < 30


@pytest.mark.parametrize("holdout", [300, 5000])
def test_too_few_images(few_images, holdout):
    with pytest.raises(UsageError, match=f"300 images, {holdout} held"):
        split_holdout(few_images, holdout, 0, CPU)


def test_validation_counts_by_brute_force(few_images):
    torch.manual_seed(1)
    net = TINY.build()
    net.make_trainable()
    frozen = net.frozen()
    images, labels = torch.from_numpy(few_images.images), torch.from_numpy(few_images.labels)
    with torch.no_grad():
        logits = frozen(images.float() / 255).double().numpy()
    # Labels that many images meet, so that there is something to count.
    labels = torch.where(torch.arange(300) % 3 > 0, torch.from_numpy(logits.argmax(1)), labels)
    rows = frozen.head.weight.double().numpy()
    correct = certified = 0
    for row, label in zip(logits, labels.tolist(), strict=True):
        radius = min(
            (row[label] - row[i]) / np.linalg.norm(rows[label] - rows[i]) * 0.2507 for i in range(10) if i != label
        )
        correct += radius > 0
        certified += radius > 36 / 255
    assert 0 < certified < correct
    split = TrainingSet(images[:0], labels[:0], images, labels)
    accuracies = validate(frozen, split, ALONE)
    assert accuracies == (pytest.approx(correct / 300), pytest.approx(certified / 300))


def test_nothing_held_is_nothing_validated(few_images):
    assert validate(TINY.build(), split_holdout(few_images, 0, 0, CPU), ALONE) is None


def test_the_certified_radius_is_36_over_255():
    from lipscope.training.losses import EPS

    assert math.isclose(EPS * 255, 36)
