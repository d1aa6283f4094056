"""What the layers are like at the end of an epoch: proved bounds, and gradient norms on a few images."""

from __future__ import annotations

import math
import time

from torch import Tensor

from lipscope.analysis.gradients import gradient_norms
from lipscope.environment import full_precision
from lipscope.files.run_log import LayerState, RunLayers
from lipscope.models.composition import LipschitzNet
from lipscope.training.holdout import TrainingSet
from lipscope.visible import counted

IMAGES = 16

SHARE = 0.03
"""Of the training's time: no more is spent on measuring layers."""

FREE_SECONDS = 5.0
"""Spent without asking, so that short trainings have their layers measured after every epoch."""


class Allowance:
    """Decides by the clock whether the layers are measured again: the bounds of a deep net can take long."""

    def __init__(self) -> None:
        self.spent = self.last = 0.0

    def allows(self, seconds: float) -> bool:
        """Whether another measurement is within its share of a training of ``seconds`` so far.

        >>> allowance = Allowance()
        >>> allowance.spent = allowance.last = 6.0
        >>> allowance.allows(300.0), allowance.allows(400.0)
        (False, True)
        """
        return self.spent + self.last <= max(SHARE * seconds, FREE_SECONDS)

    def measure(self, net: LipschitzNet, images: tuple[Tensor, str], epoch: int, step: int) -> RunLayers:
        """Measure, and remember how long that took."""
        started = time.perf_counter()
        measured = measure_layers(net, images, epoch, step)
        self.last = time.perf_counter() - started
        self.spent += self.last
        return measured


def few_images(split: TrainingSet) -> tuple[Tensor, str]:
    """The first held-out images, else the first of those that are learnt from; in [0, 1], and in words."""
    held = len(split.held_labels) > 0
    images = (split.held_images if held else split.images)[:IMAGES]
    return images.float() / 255, counted(len(images), f"{'held-out' if held else 'training'} image")


def measure_layers(net: LipschitzNet, images: tuple[Tensor, str], epoch: int, step: int) -> RunLayers:
    """Bounds and gradient norms of every layer.

    Args:
        net: frozen, in eval mode: what is proved is proved of it. It is moved to the CPU, where bounds are computed.
        images: (N, C, H, W) in [0, 1] and what they are.
        epoch, step: finished.
    """
    pixels, source = images
    with full_precision():
        gradients = gradient_norms(net.to("cpu"), pixels.cpu(), source)
    layers = []
    for name, layer, shape in net.layers():
        bound = layer.bound(shape)
        proved = bound.proved and math.isfinite(bound.value)
        flow = gradients.get(name)
        gradient = flow.mean if flow is not None and math.isfinite(flow.mean) else None
        layers.append(
            LayerState(
                name, layer.kind, bound.value if proved else None, bound.method if proved else bound.reason, gradient
            )
        )
    return RunLayers(epoch, step, source, tuple(layers))
