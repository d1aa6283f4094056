"""Gradient norm preservation: how much of the gradient each layer passes back, measured on images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.layers.block import Block
from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.heads import Head
from lipscope.layers.residual import Named
from lipscope.models.network import Network
from lipscope.records import GradientNorms, Tightness

SEED = 0
"""Of the random directions: the same file gives the same report."""


@dataclass(frozen=True)
class GradientFlow:
    """What the gradient of the margin does on its way from the logits to the pixels.

    Args:
        margin: by layer name, ||J^T g|| / ||g|| for the gradient g of the margin that really arrives there.
        random: the same for Gaussian g at the layer's output, at the same activations.
        cumulative: by layer name, ||g at the layer's input|| / ||g at the features||; the head has none.
        slopes: (N,) float64, ||grad_x (f_l - f_i)||; not finite where the margin is not.
        predicted, runner_up: (N,) the classes l and i.
        images: which images, for the records.
    """

    margin: Mapping[str, GradientNorms]
    random: Mapping[str, GradientNorms]
    cumulative: Mapping[str, GradientNorms]
    slopes: Tensor
    predicted: Tensor
    runner_up: Tensor
    images: str


@dataclass(frozen=True)
class _Place:
    """A layer with what enters and leaves it; ``inside`` a residual sum the gradient is one of several."""

    name: str
    layer: LipschitzLayer
    before: Tensor
    after: Tensor
    inside: bool


def gradient_norms(net: Network, images: Tensor, source: str) -> dict[str, GradientNorms]:
    """The margin gradients alone, as of :func:`gradient_flow`."""
    return dict(gradient_flow(net, images, source, random=False).margin)


def gradient_flow(net: Network, images: Tensor, source: str, *, random: bool = True) -> GradientFlow:
    """||J^T g|| / ||g|| of every layer, for the gradients of the margin f_l - f_i that flow there, and random ones.

    l is the predicted class and i the one with the second largest logit. For the last layer g = e_l - e_i, of length
    sqrt(2). A network without a head has its two largest outputs for logits; with one output, that one is the margin.

    Args:
        net: in eval mode.
        images: (N, *input_shape), pixels in [0, 1].
        source: what the images are, for the record.
        random: whether random directions are measured too.

    Returns:
        statistics by layer name; images whose gradient vanished before a layer, or overflowed in it, are left out
        of its statistics.
    """
    places: list[_Place] = []
    pixels = images.clone().requires_grad_()
    with torch.enable_grad():
        stack = [(name, layer) for name, layer, _ in net.layers()]
        logits = _forward(stack, pixels, places, inside=False).flatten(1)
        top = logits.topk(min(2, logits.shape[1]), dim=1)
        margin = top.values[:, 0] - top.values[:, 1] if logits.shape[1] > 1 else logits[:, 0]
    taps = [tap for place in places for tap in (place.before, place.after)]
    gradients = torch.autograd.grad(margin.sum(), [pixels, *taps])
    slopes, *lengths = (_norms(gradient.detach()) for gradient in gradients)
    # Where the margin is NaN the comparisons inside activations are void, and so are the gradients.
    sound = margin.detach().isfinite()
    slopes = torch.where(sound, slopes, math.nan)
    ratios = {
        place.name: _ratio(before, after, sound)
        for place, before, after in zip(places, lengths[::2], lengths[1::2], strict=True)
    }
    features = lengths[-2] if isinstance(places[-1].layer, Head) else lengths[-1]
    cumulative = {
        place.name: _ratio(before, features, sound)
        for place, before in zip(places, lengths[::2], strict=True)
        if not (place.inside or isinstance(place.layer, Head))
    }
    generator = torch.Generator().manual_seed(SEED)
    drawn = {place.name: _random_ratio(place, sound, generator) for place in places} if random else {}
    return GradientFlow(
        margin=_all_statistics(ratios, source, "margin"),
        random=_all_statistics(drawn, source, "random"),
        cumulative=_all_statistics(cumulative, source, "margin, cumulative"),
        slopes=slopes,
        predicted=top.indices[:, 0],
        runner_up=top.indices[:, -1],
        images=source,
    )


def tightness(flow: GradientFlow, constants: Tensor, lipschitz: float) -> Tightness | None:
    """||grad_x (f_l - f_i)|| / (||w_l - w_i|| L) of every image whose slope and bound are finite and not 0.

    Args:
        flow: the measured slopes.
        constants: (N,) the proved constants of f_l - f_i as functions of the features, for each image's l and i.
        lipschitz: the proved constant from pixels to features.

    Returns:
        None when there is no such image.
    """
    bounds = constants.to(torch.float64) * lipschitz
    values = flow.slopes / bounds
    values = values[bounds.isfinite() & (bounds > 0) & values.isfinite()]
    if not len(values):
        return None
    mean, low, high, p05, p95 = _summary(values)
    return Tightness(tuple(values.tolist()), mean, low, high, p05, p95, lipschitz, flow.images)


def _forward(stack: Sequence[Named], x: Tensor, places: list[_Place], *, inside: bool) -> Tensor:
    """Evaluate layers one after another, keeping what enters and leaves each, also inside blocks."""

    def visit(name: str, layer: LipschitzLayer, value: Tensor) -> Tensor:
        # Each layer of a block has an input of its own, whose gradient is what comes back through that layer.
        return _forward([(name, layer)], value.clone(), places, inside=True)

    for name, layer in stack:
        result = layer.visited(x, visit) if isinstance(layer, Block) else layer(x)
        places.append(_Place(name, layer, x, result, inside))
        x = result
    return x


def _random_ratio(place: _Place, sound: Tensor, generator: torch.Generator) -> Tensor:
    """||J^T g|| / ||g|| with one Gaussian direction g for each image, J at the image's own activations."""
    before = place.before.detach().requires_grad_()
    with torch.enable_grad():
        after = place.layer(before)
    directions = torch.randn(after.shape, generator=generator).to(after)
    (pulled,) = torch.autograd.grad(after, before, directions)
    return _ratio(_norms(pulled), _norms(directions), sound)


def _norms(gradient: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(gradient.flatten(1).double(), dim=1)
    return lengths


def _ratio(before: Tensor, after: Tensor, sound: Tensor) -> Tensor:
    """The quotients of the images for which they say something."""
    alive = (after > 0) & after.isfinite() & before.isfinite() & sound
    return before[alive] / after[alive]


def _all_statistics(ratios: Mapping[str, Tensor], source: str, gradients: str) -> dict[str, GradientNorms]:
    return {
        name: GradientNorms(*_summary(values), images=source, gradients=gradients)
        for name, values in ratios.items()
        if len(values)
    }


def _summary(values: Tensor) -> tuple[float, float, float, float, float]:
    """Mean, minimum, maximum, 5 and 95 percentile."""
    low, high = torch.quantile(values, torch.tensor([0.05, 0.95], dtype=values.dtype)).tolist()
    return float(values.mean()), float(values.min()), float(values.max()), low, high
