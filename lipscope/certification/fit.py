"""What is refused before anything is certified: images that do not fit, and networks that nothing is proved about."""

from __future__ import annotations

import math

import torch

from lipscope.bounds.rounding import FLOAT64
from lipscope.certification.budget import Budget, error_budget
from lipscope.certification.radii import Pairs
from lipscope.data import ImageSet
from lipscope.errors import CheckFailedError, DataError
from lipscope.models.stored import StoredModel


def check_fit(model: StoredModel, data: ImageSet) -> None:
    """Refuse images that the model cannot take.

    Raises:
        DataError: none, of another size, or of other classes.
        CheckFailedError: a single output, which tells no classes apart.
    """
    if model.net.head.classes < 2:
        raise CheckFailedError(
            "refused: the network has a single output", where=str(model.header.path),
            why="a certificate is about the difference of two logits",
            next_step="give it one output per class",
        )  # fmt: skip
    if not len(data):
        raise DataError("no images were selected", where=data.name)
    if data.images.shape[1:] != model.net.input_shape:
        raise DataError(
            "images of another size", where=data.name, why=f"{data.images.shape[1:]}, not {model.net.input_shape}"
        )
    if len(data.classes) != model.net.head.classes:
        raise DataError(
            "another number of classes", where=data.name,
            why=f"{len(data.classes)}, but the model has {model.net.head.classes}",
            next_step="choose the data set that it was trained on with --dataset",
        )  # fmt: skip


def proved_lipschitz(model: StoredModel) -> float:
    """The proved Lipschitz constant from pixels to features.

    Raises:
        CheckFailedError: there is none.
    """
    bound = model.net.lipschitz_bound()
    if not bound.proved:
        raise CheckFailedError(
            "refused: no proved Lipschitz constant", where=str(model.header.path), why=bound.reason,
            next_step="`lipscope inspect` names the layer",
        )  # fmt: skip
    return bound.value


def proved_pairs(model: StoredModel) -> tuple[Pairs, Budget]:
    """The constants and float64's rounding errors of every pair of logits, with the budget that the errors come from.

    Raises:
        CheckFailedError: one of them is not proved.
    """
    lipschitz, net = proved_lipschitz(model), model.net
    budget, errors = error_budget(net, FLOAT64)
    if not math.isfinite(budget.margin):
        unproved = next((part for part in budget.layers if not math.isfinite(part.total)), None)
        what = f"{unproved.name} ({unproved.kind})" if unproved else f"head ({net.head.kind})"
        raise CheckFailedError(
            "refused: no proved bound on the rounding errors", where=str(model.header.path),
            why=f"{what}: the layer has none, or its numbers may leave the range of float64",
            next_step="--fast estimates it",
        )  # fmt: skip
    diameter = math.sqrt(math.prod(net.input_shape))
    return Pairs(net.head.pair_bounds(), errors, net.head.settled_pairs(), lipschitz, diameter), budget


def estimated_pairs(model: StoredModel) -> Pairs:
    """The same with no rounding error subtracted.

    Raises:
        CheckFailedError: the model's Lipschitz constant is not proved.
    """
    lipschitz, net = proved_lipschitz(model), model.net
    constants = net.head.pair_bounds()
    diameter = math.sqrt(math.prod(net.input_shape))
    return Pairs(constants, torch.zeros_like(constants), net.head.settled_pairs(), lipschitz, diameter)
