from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from lipscope.analysis.spectra import density as room
from lipscope.analysis.spectra import singular_values
from lipscope.analysis.spectra.density import singular_value_density
from lipscope.analysis.spectra.singular_values import measure
from lipscope.layers.conv2d import Conv2d
from tests.analysis.matrices import SHAPES, families, operator, with_singular_values

COUNT = 150


def distance(found, values: np.ndarray) -> float:
    return scipy.stats.wasserstein_distance(np.asarray(found), values)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", families(COUNT))
def test_the_distribution_within_a_thousandth_of_the_dense_answer(family: str, shape: str) -> None:
    matrix = with_singular_values(families(COUNT)[family], *SHAPES[shape])
    values = np.linalg.svd(matrix, compute_uv=False)
    found = singular_value_density(operator(matrix), 1024)
    # A list of 1,024 quantiles of 150 values is itself off by half a quantile at every jump.
    jumps = (values[0] - values[-1]) / 1024 / 2
    assert distance(found.values, values) <= 1e-3 * values[0] + jumps
    assert distance(found.values, values) <= 2 * found.accuracy + 1e-14
    assert found.probes <= COUNT


def test_as_many_vectors_as_rows_and_all_steps_are_exact(monkeypatch) -> None:
    monkeypatch.setattr(room, "AGREED", 0.0)
    values = np.array([2.0, 1.0, 1.0, 0.5, 0.25, 0.1, 0.05, 0.0])
    matrix = with_singular_values(values, 8, 11)
    found = singular_value_density(operator(matrix), 800)
    assert found.probes == 8
    assert distance(found.values, values) <= 1e-6


def test_orthogonal_operators_need_no_more_than_the_first_vectors() -> None:
    matrix = with_singular_values(1 - 3e-7 * np.linspace(0, 1, 400), 400, 500)
    found = singular_value_density(operator(matrix), 100)
    assert (found.probes, found.steps) == (room.FIRST_PROBES, 8)
    assert found.accuracy <= 1e-6
    assert float(found.values[0]) >= 1 - 3.1e-7


def test_few_vectors_say_that_they_are_less_accurate(monkeypatch) -> None:
    matrix = with_singular_values(np.linspace(0.1, 1, 400), 400, 400)
    values = np.linspace(0.1, 1, 400)
    good = singular_value_density(operator(matrix), 1024)
    monkeypatch.setattr(room, "MOST_SAMPLES", 0)
    poor = singular_value_density(operator(matrix), 1024)
    assert poor.probes == room.FIRST_PROBES
    assert poor.accuracy > 2 * good.accuracy
    assert distance(poor.values, values) <= 3 * poor.accuracy


def test_overflow_is_named() -> None:
    with pytest.raises(OverflowError, match="overflow"):
        singular_value_density(operator(np.full((3, 4), 1.7e308)), 4)


def test_the_zero_operator() -> None:
    assert singular_value_density(operator(np.zeros((3, 4))), 5).values.tolist() == [0.0] * 5


def random_conv(outputs: int, inputs: int, taps: int, seed: int, **options) -> Conv2d:
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(
        outputs, inputs // options.get("groups", 1), taps, taps, generator=generator, dtype=torch.float64
    )
    return Conv2d(kernel, **options)


CONVOLUTIONS = {
    "square": (random_conv(4, 4, 3, 0, padding=(1, 1)), (4, 9, 9)),
    "widening": (random_conv(8, 3, 3, 1, padding=(1, 1)), (3, 10, 10)),
    "narrowing": (random_conv(2, 6, 3, 2, padding=(1, 1)), (6, 10, 10)),
    "stride 2": (random_conv(12, 4, 3, 3, stride=(2, 2), padding=(1, 1)), (4, 12, 12)),
    "even": (random_conv(4, 4, 4, 4, stride=(2, 2), padding=(1, 1)), (4, 14, 14)),
    "groups": (random_conv(6, 6, 3, 5, padding=(1, 1), groups=3), (6, 7, 7)),
    "1x1": (random_conv(5, 8, 1, 6), (8, 8, 8)),
    "valid": (random_conv(4, 3, 5, 7), (3, 14, 14)),
    "rectangular": (random_conv(3, 3, 3, 8, stride=(1, 2), padding=(1, 1)), (3, 8, 22)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_layers_within_a_thousandth_of_the_dense_answer(monkeypatch, name: str) -> None:
    """Distribution and extremes, relative to the largest singular value, from products with vectors only."""
    layer, shape = CONVOLUTIONS[name]
    whole = layer.operator(shape)
    values = torch.linalg.svdvals(whole.dense()).numpy()
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", 0)
    measured = measure(whole)
    scale = values[0]
    assert measured.largest.value == pytest.approx(values[0], abs=1e-3 * scale)
    assert measured.smallest.value == pytest.approx(values[-1], abs=1e-3 * scale)
    assert distance(measured.spectrum.values, values) <= 1e-3 * scale
    assert distance(measured.spectrum.values, values) <= 2 * measured.spectrum.accuracy
    assert measured.spectrum.accuracy <= 5e-3 * scale
