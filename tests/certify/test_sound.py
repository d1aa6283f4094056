"""Theorem 4 of docs/soundness.md: the last quotient in exact arithmetic, and what it says of a real model."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from lipscope.certify import sound
from lipscope.certify.budget import TIMES_PAID, error_budget
from lipscope.certify.evaluate import TooCoarseError, certify
from lipscope.certify.sound import certify_soundly, float64_logits, sound_objection, sound_progress_of, sound_radii
from lipscope.data import ImageSet
from lipscope.errors import CheckFailedError, DataError, UsageError
from lipscope.models.stored import StoredModel, load_model
from tests.always import always
from tests.certify import fifty_digits
from tests.certify.hard_nets import RECIPES, Recipe, make

ORDINARY = st.floats(-1e6, 1e6)
WILD = st.floats(allow_nan=False, allow_infinity=False, width=64, min_value=-1e150, max_value=1e150)


def matrix(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(3, 3)


@always(
    logits=st.one_of(st.lists(ORDINARY, min_size=3, max_size=3), st.lists(WILD, min_size=3, max_size=3)),
    errors=st.lists(st.one_of(st.just(0.0), st.floats(0, 1e-3), st.floats(0, 1e150)), min_size=9, max_size=9),
    bounds=st.lists(st.one_of(st.just(0.0), st.floats(0, 2), st.floats(5e-324, 1e100)), min_size=9, max_size=9),
    lipschitz=st.floats(1e-3, 1e3),
    predicted=st.integers(0, 2),
)
def test_no_rounding_of_the_quotient_helps(
    logits: list[float], errors: list[float], bounds: list[float], lipschitz: float, predicted: int
) -> None:
    largest = 55.0
    (radius,) = sound_radii(
        torch.tensor([logits], dtype=torch.float64), torch.tensor([predicted]), matrix(errors), matrix(bounds),
        lipschitz, largest,
    ).tolist()  # fmt: skip
    assert 0 <= radius <= largest
    for i in set(range(3)) - {predicted}:
        margin = Fraction(logits[predicted]) - Fraction(logits[i]) - TIMES_PAID * Fraction(errors[3 * predicted + i])
        constant = Fraction(bounds[3 * predicted + i]) * Fraction(lipschitz)
        if margin <= 0:
            assert radius == 0
        elif constant:
            assert Fraction(radius) <= margin / constant


@pytest.mark.parametrize("spoilt", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_certify_nothing(spoilt: float) -> None:
    errors, bounds = torch.full((3, 3), 1e-9).double(), torch.ones(3, 3).double()
    for place in range(3):
        logits = torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64)
        logits[0, place] = spoilt
        certain = (spoilt == -math.inf and place > 0) or (spoilt == math.inf and place == 0)
        assert (sound_radii(logits, torch.tensor([0]), errors, bounds, 1.0, 9.0) > 0).item() == certain
        # A budget of a net whose numbers may overflow is infinite.
        assert sound_radii(logits, torch.tensor([0]), errors + math.inf, bounds, 1.0, 9.0) == 0


def test_a_tie_and_an_overtaken_prediction_have_radius_zero() -> None:
    zero, ones = torch.zeros(3, 3).double(), torch.ones(3, 3).double()
    logits = torch.tensor([[2.0, 2.0, 1.0], [2.0, 2.5, 1.0]], dtype=torch.float64)
    assert sound_radii(logits, torch.tensor([0, 0]), zero, ones, 1.0, 9.0).tolist() == [0, 0]


def test_the_radius_is_that_of_every_pair_not_of_the_runner_up() -> None:
    zero, bounds = torch.zeros(3, 3).double(), matrix([0, 1, 8, 1, 0, 1, 8, 1, 0])
    logits = torch.tensor([[3.0, 2.0, 1.9]], dtype=torch.float64)
    assert sound_radii(logits, torch.tensor([0]), zero, bounds, 1.0, 9.0).item() == pytest.approx(1.1 / 8)


@always(recipe=RECIPES, direction=st.integers(0, 2**31))
def test_exact_and_float64_evaluation_agree_inside_the_radius(recipe: Recipe, direction: int) -> None:
    """The image is moved as far as the radius allows, and both still find the predicted class."""
    if recipe.hardship in ("tiny std", "huge mean"):
        return
    net, image = make(recipe)
    x = torch.from_numpy(image).double() / 255
    bound, (_, errors) = net.lipschitz_bound().value, error_budget(net, sound.FLOAT64)
    with torch.inference_mode():
        logits = net(x)
    if not logits.isfinite().all():
        return
    predicted = logits.argmax(dim=1)
    (radius,) = sound_radii(logits, predicted, errors, net.head.pair_bounds(), bound, math.sqrt(32)).tolist()
    if not radius:
        return
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(direction), dtype=torch.float64)
    moved = (x + step * (0.999999 * radius / float(step.norm()))).clamp(0, 1)
    with torch.inference_mode():
        assert net(moved).argmax() == predicted
    if recipe.seed % 4 == 0:
        exact = fifty_digits.logits(net, fifty_digits.exactly(moved[0]))
        assert int(np.argmax(exact)) == int(predicted)


@pytest.fixture(scope="module")
def tiny(tiny_file: Path) -> StoredModel:
    return load_model(tiny_file)


def test_it_confirms_the_real_arithmetic_radii(tiny: StoredModel, few_images: ImageSet) -> None:
    data = few_images.subset(range(40))
    real = certify(tiny, data, np.arange(40)).certificates
    told: list[tuple[int, int]] = []
    found = certify_soundly(tiny, data, real.predicted, batch_size=16, on_progress=lambda *done: told.append(done))
    assert told == [(16, 40), (32, 40), (40, 40)]
    assert found.radius.dtype == np.float64
    assert np.abs(found.radius - real.radius).max() < 1e-4
    assert (found.radius > 0).any()
    assert found.environment["dtype"] == "float64"
    assert found.environment["convolution_libraries"] == {"cudnn": False, "mkldnn": False}
    assert set(found.environment["fp32_precision"].values()) == {"ieee"}


def test_a_prediction_that_float64_does_not_share_has_radius_zero(tiny: StoredModel, few_images: ImageSet) -> None:
    data = few_images.subset(range(10))
    own = certify_soundly(tiny, data)
    assert np.array_equal(own.radius, certify_soundly(tiny, data, own.logits.argmax(1).numpy()).radius)
    other = (own.logits.argmax(1).numpy() + 1) % 10
    assert not certify_soundly(tiny, data, other).radius.any()


def with_biased_logits(model: StoredModel, size: float) -> StoredModel:
    """The same number added to every logit: nothing changes but what rounding leaves of the margins."""
    with torch.no_grad():
        model.net.head.bias.add_(size)
    return model


def test_a_model_that_float32_is_too_coarse_for_gets_an_honest_answer(tiny_file: Path, few_images: ImageSet) -> None:
    data = few_images.subset(range(10))
    model = with_biased_logits(load_model(tiny_file), 2.0**20)
    with pytest.raises(TooCoarseError, match="--sound"):
        certify(model, data, np.arange(10))
    assert (certify_soundly(model, data).radius > 0).any()
    for size in (2.0**50, 2.0**54, 2.0**80):
        hopeless = with_biased_logits(load_model(tiny_file), size)
        assert not certify_soundly(hopeless, data).radius.any()


def test_what_is_not_proved_or_does_not_fit_is_refused(
    tiny_file: Path, few_images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny_file)
    with pytest.raises(DataError):
        certify_soundly(model, few_images.subset([]))
    with pytest.raises(UsageError, match="float64"):
        float64_logits(model, few_images, "mps", 8)
    monkeypatch.setattr(type(model.net.head), "logit_rounding", lambda *_: torch.full((10,), math.inf).double())
    assert not certify_soundly(model, few_images.subset(range(3))).radius.any()
    with torch.no_grad():
        next(layer for name, layer in model.net.body() if name.endswith("conv")).kernel.fill_(1e38)
    with pytest.raises(CheckFailedError, match="no proved Lipschitz constant"):
        certify_soundly(model, few_images.subset(range(3)))


def test_an_interrupted_evaluation_continues(tiny: StoredModel, few_images: ImageSet, tmp_path: Path) -> None:
    data, notes = few_images.subset(range(30)), []
    whole = certify_soundly(tiny, data, batch_size=10)

    def progress() -> sound.Progress:
        return sound_progress_of(
            tmp_path / "part.safetensors", tiny, data, np.arange(30), device="cpu", note=notes.append
        )

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress() as first:
        certify_soundly(tiny, data, batch_size=10, on_progress=stop, progress=first)
    told: list[int] = []
    with progress() as second:
        again = certify_soundly(
            tiny, data, batch_size=10, on_progress=lambda done, _: told.append(done), progress=second
        )
    assert told == [30]
    assert np.array_equal(again.radius, whole.radius)
    assert notes == ["continued after 20 of 30 images"]


def test_kept_radii_answer_only_when_a_sample_agrees(tiny: StoredModel, few_images: ImageSet) -> None:
    from dataclasses import replace

    data = few_images.subset(range(40))
    real = certify(tiny, data, np.arange(40)).certificates
    assert sound_objection(real, tiny, data) == "they hold no sound radii"
    found = certify_soundly(tiny, data, real.predicted)
    kept = replace(real, sound_radius=found.radius, environment={**real.environment, "sound": found.environment})
    assert sound_objection(kept, tiny, data) == ""
    assert "are others" in sound_objection(replace(kept, sound_radius=found.radius + 1e-3), tiny, data)
