"""Theorems 1 to 3 of docs/soundness.md against fifty digits."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lipscope.bounds.rounding import FLOAT32, FLOAT64, Arithmetic
from lipscope.certification.budget import Budget, error_budget, pixel_error
from lipscope.environment import full_precision, plain_products
from lipscope.models.composition import LipschitzNet
from lipscope.models.stored import load_model
from tests.always import always
from tests.certification import fifty_digits
from tests.certification.hard_nets import HARDSHIPS, RECIPES, Recipe, make

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "lipconvnet5-soc16-cifar10.safetensors"
TYPES = {FLOAT64: torch.float64, FLOAT32: torch.float32}


def evaluated(net: LipschitzNet, image: NDArray[np.uint8], arithmetic: Arithmetic, batch: int = 1) -> torch.Tensor:
    """Logits as the evaluator computes them, the last of a batch."""
    with full_precision(), plain_products(), torch.inference_mode():
        x = torch.from_numpy(np.repeat(image, batch, axis=0)).to(TYPES[arithmetic]) / 255
        return net(x)[-1].double()


def largest_shares(net: LipschitzNet, image: NDArray[np.uint8], arithmetic: Arithmetic, batch: int = 1) -> float:
    """The largest share of the budget that an error of a logit or of a margin takes up; at most 1 if it holds."""
    budget, pairs = error_budget(net, arithmetic)
    truth = fifty_digits.logits(net, fifty_digits.pixels(image[0]))
    computed = evaluated(net, image, arithmetic, batch)
    if not computed.isfinite().all():
        assert math.isinf(budget.margin)
        return 0.0
    errors = fifty_digits.exactly(computed) - truth
    shares = [abs(error) / budget.logit for error in errors]
    shares += [abs(errors[i] - errors[k]) / float(pairs[i, k]) for i, k in combinations(range(len(errors)), 2)]
    return float(max(shares))


@always(recipe=RECIPES)
def test_the_float64_budget_holds(recipe: Recipe) -> None:
    net, image = make(recipe)
    assert largest_shares(net, image, FLOAT64, batch=1 + recipe.seed % 9) <= 1


@always(recipe=RECIPES)
def test_the_float32_budget_holds_and_covers_the_distance_to_float64(recipe: Recipe) -> None:
    net, image = make(recipe)
    single, double = (evaluated(net, image, arithmetic) for arithmetic in (FLOAT32, FLOAT64))
    budget, pairs = error_budget(net, FLOAT32)
    assert pairs.shape == (3, 3)
    if math.isfinite(budget.logit):
        assert float((single - double).abs().max()) <= budget.logit
    elif recipe.hardship in ("none", "seams", "ties", "not skew"):
        raise AssertionError("nothing is proved about an ordinary net")
    if recipe.seed % 4 == 0:
        assert largest_shares(net, image, FLOAT32) <= 1


@pytest.mark.parametrize("hardship", HARDSHIPS)
def test_every_hardship_leaves_a_proof_in_float64(hardship: str) -> None:
    net, _ = make(Recipe(1, "soc", "hh2", "lln", hardship, 8))
    budget, pairs = error_budget(net, FLOAT64)
    assert math.isfinite(budget.margin)
    assert budget.margin == pytest.approx(float(pairs[~torch.eye(3, dtype=torch.bool)].max()))
    assert torch.equal(pairs, pairs.mT)
    # It grows with what is evaluated: large weights are paid for.
    ordinary = error_budget(make(Recipe(1, "soc", "hh2", "lln", "none", 8))[0], FLOAT64)[0].margin
    if hardship in ("huge kernels", "cancelling biases", "huge biases", "tiny std", "huge mean", "huge head"):
        assert budget.margin > 100 * ordinary
    assert 1e-16 < ordinary < 1e-8


def test_the_budget_is_not_vacuous_on_the_committed_checkpoint() -> None:
    net = load_model(CHECKPOINT).net
    budget, _ = error_budget(net, FLOAT64)
    assert 0 < budget.logit < 1e-6
    assert 0 < budget.margin < 1e-6
    totals = [layer.total for layer in budget.layers]
    assert totals == sorted(totals)
    assert budget.features == totals[-1]
    assert (
        sum(layer.error for layer in budget.layers)
        <= budget.features
        <= 1.01 * sum(layer.error for layer in budget.layers)
    )


def test_the_budget_bites_on_the_committed_checkpoint() -> None:
    """The float64 error is there, and the budget is above it: float32 logits, read as float64, would not pass."""
    net = load_model(CHECKPOINT).net
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    budget, _ = error_budget(net, FLOAT64)
    single, double = (evaluated(net, image, arithmetic) for arithmetic in (FLOAT32, FLOAT64))
    again = evaluated(net, image, FLOAT64, batch=9)  # another order of summation
    assert 0 < float((again - double).abs().max()) <= 2 * budget.logit
    assert float((single - double).abs().max()) > budget.logit


@pytest.mark.parametrize("arithmetic", [FLOAT64, FLOAT32], ids=lambda a: a.name)
def test_pixels_are_covered_however_255_divides_them(arithmetic: Arithmetic) -> None:
    """As CPUs do, and as GPUs do: by a product with the rounded reciprocal. The worst byte fills the image."""
    unit = torch.ones((), dtype=TYPES[arithmetic])
    every = torch.arange(256).to(TYPES[arithmetic])
    for pixels in (every / 255, every * (unit / 255)):
        worst = max(abs(Fraction(pixel) - Fraction(byte, 255)) for byte, pixel in enumerate(pixels.tolist()))
        assert 0 < worst * Fraction(55.0) <= Fraction(pixel_error(55.0, arithmetic))
    budget, _ = error_budget(make(Recipe(1, "soc", "maxmin", "lln", "none", 8))[0], arithmetic)
    assert budget.layers[0].total > budget.layers[0].lipschitz * pixel_error(math.sqrt(32), arithmetic)


def test_the_table_and_the_json_say_the_same() -> None:
    net, _ = make(Recipe(1, "soc", "maxmin", "lln", "none", 8))
    budget, _ = error_budget(net, FLOAT64)
    lines, facts = budget.table(), budget.to_json()
    assert len(lines) == len(facts["layers"]) + 2
    for line, layer in zip(lines[1:], facts["layers"], strict=False):
        assert line.startswith(layer["name"])
        assert float(line.split()[-1]) >= layer["total"]
        assert float(line.split()[-1]) <= layer["total"] * 1.01
    assert facts["proved"]
    assert facts["times_paid"] == 2


def test_what_is_not_proved_is_null_in_json() -> None:
    budget = Budget("float64", 2.0**-53, (), math.inf, math.inf, math.inf)
    assert budget.to_json()["margin"] is None
    assert not budget.to_json()["proved"]
    assert "not proved" in budget.table()[-1]
