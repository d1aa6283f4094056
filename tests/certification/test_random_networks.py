"""Networks drawn at random: no Jacobian, no rounding and no image inside a radius goes beyond what is proved."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lipscope.bounds.rounding import FLOAT32
from lipscope.certification.budget import error_budget
from lipscope.certification.evaluate import certify
from lipscope.data import ImageSet
from lipscope.errors import CheckFailedError
from lipscope.files.checkpoint import Header
from lipscope.models.described import DescribedNet
from lipscope.models.stored import StoredModel
from tests.models.random_networks import Draw

FEW, MANY = 24, 3000
SLACK = 1e-7
"""Relatively: what an SVD in float64 may be off by."""


@pytest.mark.parametrize("seeds", [range(FEW), pytest.param(range(FEW, MANY), marks=pytest.mark.slow)])
def test_what_is_proved_of_networks_drawn_at_random_holds(seeds: range) -> None:
    for seed in seeds:
        net = Draw(seed).network()
        generator = torch.Generator().manual_seed(seed)
        _jacobians(net, generator, seed)
        _rounding(net, generator, seed)
        _radii(net, generator, seed)


def _jacobians(net: DescribedNet, generator: torch.Generator, seed: int) -> None:
    bound = net.lipschitz_bound()
    if not bound.proved:
        return
    for size in (1.0, 0.01, 30.0):
        x = size * torch.randn(net.input_shape, generator=generator, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda pixels: net.features(pixels[None])[0], x).flatten(1)
        if bool(torch.isfinite(jacobian).all()):
            assert float(torch.linalg.matrix_norm(jacobian, 2)) <= bound.value * (1 + SLACK) + SLACK, seed


def _rounding(net: DescribedNet, generator: torch.Generator, seed: int) -> None:
    """In float32, whose errors float64 shows."""
    budget, pairs = error_budget(net, FLOAT32)
    x = torch.cat([torch.rand(4, *net.input_shape, generator=generator), torch.zeros(1, *net.input_shape)])
    with torch.no_grad():
        single, double = net(x).double(), net(x.double())
        features = (net.features(x).double() - net.features(x.double())).norm(dim=1)
    if math.isfinite(budget.features):
        assert float(features.max()) <= budget.features * (1 + SLACK), seed
    apart = ((single[:, :, None] - single[:, None]) - (double[:, :, None] - double[:, None])).abs()
    assert bool((apart <= pairs * (1 + SLACK) + 1e-300)[:, torch.isfinite(pairs)].all()), seed


def _radii(net: DescribedNet, generator: torch.Generator, seed: int) -> None:
    images = torch.randint(0, 256, (4, *net.input_shape), generator=generator, dtype=torch.uint8)
    data = ImageSet("drawn", "images", images.numpy(), np.zeros(4, np.int64), tuple("abcd"), "drawn")
    try:
        found = certify(StoredModel(net, Header(Path("drawn"), 0, ()), ""), data).certificates
    except CheckFailedError:
        return
    for image, label, radius in zip(images, found.predicted, found.radius, strict=True):
        x = image.double() / 255
        for other in set(range(4)) - {int(label)}:
            point = x
            for _ in range(3):
                point = x + (1 - 1e-9) * radius * _down(net, point, int(label), other)
            with torch.no_grad():
                assert int(net(point[None]).argmax()) == label or radius == 0, seed


def _down(net: DescribedNet, point: Tensor, label: int, other: int) -> Tensor:
    """The direction of length 1 in which f_label - f_other falls fastest."""
    point = point.clone().requires_grad_(True)
    logits = net(point[None])[0]
    (gradient,) = torch.autograd.grad(logits[other] - logits[label], point)
    length = float(gradient.norm())
    return gradient / length if 0 < length < math.inf else torch.zeros_like(gradient)
