"""Networks that are saved, read again, and held against what they were."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

import lipscope
from lipscope.bounds.rounding import FLOAT64
from lipscope.certification.budget import error_budget
from lipscope.files.checkpoint import read_header
from lipscope.models.capture.export import copied
from lipscope.models.composition import LipschitzNet

SHAPE = (4, 6, 6)


def saved(net: nn.Module, target: Path, shape: tuple[int, ...] = SHAPE, **options) -> LipschitzNet:
    lipscope.save(net.eval(), target, input_shape=shape, force=True, **options)
    return lipscope.load(target)


def kinds(target: Path) -> list[str]:
    """Of the layers, those inside blocks after the block's own."""

    def walk(layers: list[dict]) -> list[str]:
        found = []
        for layer in layers:
            found += [layer["kind"], *walk(layer.get("layers", []))]
        return found

    return walk(read_header(target).config["layers"])


def check(net: nn.Module, file: LipschitzNet, shape: tuple[int, ...] = SHAPE, slack: float = 1e-5) -> None:
    """Same outputs, a bound above the dense Jacobian's norm, and a bound on rounding."""
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted = net(x).flatten(1)
        torch.testing.assert_close(file(x), wanted, rtol=slack, atol=slack * float(wanted.abs().max()))
    exact = file.double()
    bound = file.lipschitz_bound()
    assert bound.proved
    for point in x[:3].double():
        jacobian = torch.autograd.functional.jacobian(lambda p: exact.features(p[None])[0], point).flatten(1)
        assert float(torch.linalg.svdvals(jacobian)[0]) <= bound.value * (1 + 1e-9)
    budget, _ = error_budget(file.float(), FLOAT64)
    assert math.isfinite(budget.margin)


def check_radii(net: nn.Module, target: Path, shape: tuple[int, ...] = SHAPE) -> None:
    """Inside the certified radius the author's module, in float64, keeps its class: down the margin, and at random."""
    data = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    found = lipscope.certify(target, (data, [0, 0]))
    twin = copied(net, torch.float64)
    generator = torch.Generator().manual_seed(1)
    for image, radius, winner, rival in zip(data, found.radius, found.predicted, found.runner_up, strict=True):
        point = (torch.from_numpy(image).double() / 255).requires_grad_()
        logits = twin(1 * point[None]).flatten()
        assert int(logits.argmax()) == winner or radius == 0
        margin = logits[winner] - logits[rival]
        (slope,) = torch.autograd.grad(margin, point, allow_unused=True, materialize_grads=True)
        noise = torch.randn(5, *shape, generator=generator, dtype=torch.float64)
        for direction in (-slope, *noise):
            length = float(torch.linalg.vector_norm(direction))
            step = direction * (radius * (1 - 1e-9) / length) if length else torch.zeros_like(direction)
            moved = twin((point.detach() + step)[None]).flatten()
            assert radius == 0 or float(moved[winner] - moved.scatter(0, torch.tensor(winner), -math.inf).max()) > 0
