"""Networks whose exact robustness is known, and everything an attack needs to know about them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from lipscope.attacks.target import Target
from lipscope.certification.evaluate import certify
from lipscope.data import ImageSet
from lipscope.files.checkpoint import Header
from lipscope.layers.heads import LastLayerNormalized
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.models.composition import LipschitzNet
from lipscope.models.stored import StoredModel
from lipscope.records.certificates import Certificates

SIDE = 4
SIZE = 3 * SIDE * SIDE


def linear_net(seed: int, classes: int = 5, scale: float = 1.0) -> LipschitzNet:
    """f(x) = W flatten(x) + b: the certificate (f_l - f_i) / ||w_l - w_i|| is the distance itself."""
    random = torch.Generator().manual_seed(seed)
    head = LastLayerNormalized(SIZE, classes)
    with torch.no_grad():
        head.weight.normal_(generator=random).mul_(scale)
        head.bias.normal_(generator=random).mul_(0.2)
        head.bias.sub_(0.5 * head.weight.sum(dim=1))
    net = LipschitzNet(Normalize((0.0,) * 3, (1.0,) * 3), [("flatten", Flatten())], head, (3, SIDE, SIDE))
    return net.eval().requires_grad_(False)


def images(count: int, seed: int, classes: int = 5, low: int = 90, high: int = 166) -> ImageSet:
    """Random bytes, away from 0 and 255 where the box is not to matter."""
    random = np.random.default_rng(seed)
    pixels = random.integers(low, high, (count, 3, SIDE, SIDE)).astype(np.uint8)
    labels = random.integers(0, classes, count)
    return ImageSet("synthetic", "test", pixels, labels, tuple(map(str, range(classes))), "made")


def stored(net: LipschitzNet) -> StoredModel:
    return StoredModel(net, Header(Path("made.safetensors"), 0, ()), "0" * 64)


def certified(net: LipschitzNet, data: ImageSet) -> Certificates:
    return certify(stored(net), data, np.arange(len(data))).certificates


def target(net: LipschitzNet, data: ImageSet, claimed: Certificates | None = None, seed: int = 0) -> Target:
    claimed = claimed or certified(net, data)
    predicted = torch.from_numpy(claimed.predicted)
    pairs = net.head.pair_bounds() * claimed.lipschitz
    return Target(
        net, torch.from_numpy(data.images), predicted, pairs[predicted].float().clamp(min=1e-30),
        torch.from_numpy(claimed.radius), tuple(range(len(data))), seed,
    )  # fmt: skip


def exact_distance(net: LipschitzNet, data: ImageSet, predicted: np.ndarray) -> np.ndarray:
    """Of a linear net, without the box: float64, by the formula."""
    W, b = net.head.weight.double().numpy(), net.head.bias.double().numpy()
    logits = (data.images.reshape(len(data), -1) / 255) @ W.T + b
    found = np.full(len(data), math.inf)
    for row, own in enumerate(predicted):
        for other in range(len(b)):
            if other != own:
                gap = (logits[row, own] - logits[row, other]) / np.linalg.norm(W[own] - W[other])
                found[row] = min(found[row], gap)
    return found
