from __future__ import annotations

import pytest
import torch

from lipscope.analysis.images import measuring_images


def test_synthetic_images_without_a_name():
    images, said = measuring_images(None, (3, 32, 32), None)
    assert said == "64 synthetic images (no data set was named)"
    assert images.shape == (64, 3, 32, 32)
    assert 0 <= float(images.min()) < float(images.max()) <= 1


@pytest.mark.parametrize(("shape", "count"), [((7,), 64), ((3, 64, 64), 64), ((3, 224, 224), 6), ((3, 1024, 1024), 4)])
def test_noise_of_any_shape_and_fewer_of_large_ones(shape, count):
    images, said = measuring_images("cifar10", shape, None)
    assert images.shape == (count, *shape)
    assert said == f"{count} images of uniform noise"
    assert torch.equal(images, measuring_images("cifar10", shape, None)[0])
