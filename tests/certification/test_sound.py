"""Theorem 4 of docs/soundness.md: what a sound radius says of real networks, the last quotient aside."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st

from lipscope.bounds.rounding import FLOAT64
from lipscope.certification.budget import error_budget
from lipscope.certification.evaluate import certify
from lipscope.certification.radii import Pairs, certified_radii
from lipscope.data import ImageSet
from lipscope.models.stored import StoredModel, load_model
from tests.always import always
from tests.certification import fifty_digits
from tests.certification.hard_nets import RECIPES, Recipe, make


@always(recipe=RECIPES, direction=st.integers(0, 2**31))
def test_exact_and_float64_evaluation_agree_inside_the_radius(recipe: Recipe, direction: int) -> None:
    """The image is moved as far as the radius allows, and both still find the predicted class."""
    if recipe.hardship in ("tiny std", "huge mean"):
        return
    net, image = make(recipe)
    x = torch.from_numpy(image).double() / 255
    bound, (_, errors) = net.lipschitz_bound().value, error_budget(net, FLOAT64)
    pairs = Pairs(net.head.pair_bounds(), errors, net.head.settled_pairs(), bound, math.sqrt(32))
    with torch.inference_mode():
        logits = net(x)
    if not logits.isfinite().all():
        return
    found = certified_radii(logits, pairs)
    (radius,), predicted = found.radius.tolist(), found.predicted
    if not radius:
        return
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(direction), dtype=torch.float64)
    moved = (x + step * (0.999999 * radius / float(step.norm()))).clamp(0, 1)
    with torch.inference_mode():
        assert net(moved).argmax() == predicted
    if recipe.seed % 4 == 0:
        exact = fifty_digits.logits(net, fifty_digits.exactly(moved[0]))
        assert int(np.argmax(exact)) == int(predicted)


def with_biased_logits(model: StoredModel, size: float) -> StoredModel:
    """The same number added to every logit: nothing changes but what rounding leaves of the margins."""
    with torch.no_grad():
        model.net.head.bias.add_(size)
    return model


def test_a_model_that_float32_is_too_coarse_for_gets_an_honest_answer(tiny_file: Path, few_images: ImageSet) -> None:
    data = few_images.subset(range(10))
    model = with_biased_logits(load_model(tiny_file), 2.0**20)
    assert (certify(model, data).certificates.radius > 0).any()
    for size in (2.0**50, 2.0**54, 2.0**80):
        hopeless = with_biased_logits(load_model(tiny_file), size)
        assert not certify(hopeless, data).certificates.radius.any()
