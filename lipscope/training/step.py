"""One step of the optimiser."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from lipscope.layers.pointwise import PointwiseConv2d
from lipscope.models.composition import LipschitzNet
from lipscope.processes.world import World
from lipscope.training.losses import (
    certificate_regularisation,
    correct_and_certified,
    nominal_pair_constants,
)
from lipscope.training.manifold import ManifoldDescent
from lipscope.training.recipe import LOSSES, Recipe
from lipscope.training.recompute import recomputed_features


def make_optimizer(net: LipschitzNet, recipe: Recipe) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum, or steps along the manifold of orthogonal matrices.

    The angles of activations are free of weight decay.
    """
    if recipe.optimizer == "manifold":
        matrices = {id(layer.kernel) for _, layer in net.body() if isinstance(layer, PointwiseConv2d)}
        parameters = list(net.parameters())
        return ManifoldDescent(
            [parameter for parameter in parameters if id(parameter) in matrices],
            [parameter for parameter in parameters if id(parameter) not in matrices],
            lr=recipe.learning_rate,
        )
    decayed = [parameter for name, parameter in net.named_parameters() if "activation" not in name]
    free = [parameter for name, parameter in net.named_parameters() if "activation" in name]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.SGD([g for g in groups if g["params"]], lr=recipe.learning_rate, momentum=recipe.momentum)


def features_of(net: LipschitzNet, recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """``net.features``, or the same with less memory."""
    return partial(recomputed_features, net) if recipe.recompute else net.features


def take_step(
    net: LipschitzNet,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    recipe: Recipe,
    world: World,
    features: Callable[[Tensor], Tensor] | None = None,
    soft: Tensor | None = None,
) -> Tensor:
    """One step of the optimiser on augmented images, in as many parts as the recipe accumulates gradients over.

    Args:
        batch: images (N, C, H, W) uint8 and labels (N,), of this process.
        features: :func:`features_of` the net, compiled; None for just these.
        soft: (N, classes), what a teacher makes of these images; None for the labels alone.

    Returns:
        (3,) float64: the sums of loss, correct and certified over this process's images.
    """
    images, labels = batch
    parts = min(recipe.accumulate, len(labels))
    optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros(3, dtype=torch.float64, device=world.device)
    softened = [None] * parts if soft is None else soft.tensor_split(parts)
    cut = zip(images.tensor_split(parts), labels.tensor_split(parts), softened, strict=True)
    for number, part in enumerate(cut, start=1):
        with world.averaging(net.parameters()) if number == parts else nullcontext():
            share = len(part[1]) / len(labels)
            sums += add_gradients(net, features or features_of(net, recipe), part, recipe, world, share)
    optimizer.step()
    return sums


def add_gradients(
    net: LipschitzNet,
    features: Callable[[Tensor], Tensor],
    batch: tuple[Tensor, Tensor, Tensor | None],
    recipe: Recipe,
    world: World,
    share: float,
) -> Tensor:
    """Add the gradients of ``share`` times the mean loss over these images, and sum up as :func:`take_step` does."""
    images, labels, soft = batch
    x = images.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)
    # Features that an earlier graph wrote are not needed any more.
    torch.compiler.cudagraph_mark_step_begin()
    with torch.autocast(world.device.type, torch.bfloat16, enabled=recipe.bfloat16):
        found = features(x)
    logits = net.head(found.float())
    constants = nominal_pair_constants(net).to(world.device)
    loss = LOSSES[recipe.loss](logits, labels, recipe.offset, recipe.temperature, constants, soft)
    if recipe.gamma:
        loss = loss - recipe.gamma * certificate_regularisation(logits, labels, constants)
    (loss * share).backward()
    with torch.no_grad():
        counted = correct_and_certified(logits, labels, constants)
        return torch.cat([(loss * len(labels)).reshape(1).to(torch.float64), counted.to(torch.float64)])
