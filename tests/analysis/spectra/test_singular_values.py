from __future__ import annotations

import numpy as np
import pytest
import torch

from lipscope.analysis.spectra import singular_values
from lipscope.analysis.spectra.singular_values import gram_matrix, measure, measure_layer
from lipscope.layers.bcop import BCOPConv2d
from lipscope.layers.cayley import CayleyConv2d
from lipscope.layers.conv2d import Conv2d
from lipscope.layers.heads import LastLayerNormalized
from lipscope.layers.reshape import Normalize
from lipscope.layers.soc import SOCConv2d
from tests.analysis.matrices import SHAPES, families, operator, with_singular_values
from tests.dense import series, unshuffle_matrix, zero_padded_matrix

COUNT = 150
TINY = 1e-13
"""What rounding leaves of a residual that is zero."""


@pytest.fixture
def large(monkeypatch):
    """Treat everything as too large for a dense decomposition."""
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", 0)


def exact(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", families(COUNT))
def test_extremes_by_lanczos_against_a_dense_svd(family, shape):
    matrix = with_singular_values(families(COUNT)[family], *SHAPES[shape])
    values, measured = exact(matrix), measure(operator(matrix))
    assert measured.largest.value == pytest.approx(values[0], rel=1e-3)
    assert measured.smallest.value == pytest.approx(values[-1], abs=1e-3)
    # From inside, as squares: an estimate never lies beyond the extreme that it estimates.
    assert measured.largest.value**2 <= values[0] ** 2 + TINY
    assert measured.smallest.value**2 >= values[-1] ** 2 - TINY
    for estimate, true in ((measured.largest, values[0]), (measured.smallest, values[-1])):
        assert abs(estimate.value - true) <= estimate.residual + TINY
        assert np.abs(values - estimate.value).min() <= estimate.residual + TINY
        assert "Lanczos" in estimate.method
        assert 1 <= estimate.iterations <= singular_values.STEPS
    spectrum = measured.spectrum
    assert not spectrum.complete
    assert spectrum.size == COUNT
    assert sum(spectrum.weights) == pytest.approx(COUNT)
    assert list(spectrum.values) == sorted(spectrum.values, reverse=True)
    assert "quadrature" in spectrum.method


@pytest.mark.usefixtures("large")
def test_the_share_near_one_by_quadrature():
    values = np.concatenate([np.ones(100), np.full(50, 0.5)])
    measured = measure(operator(with_singular_values(values, 150, 220)))
    # Four probes: a standard deviation of at most sqrt(2 / 150 / 4) / 2 = 0.03.
    assert measured.spectrum.at_one == pytest.approx(2 / 3, abs=0.12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", families(COUNT))
def test_dense(family, shape):
    matrix = with_singular_values(families(COUNT)[family], *SHAPES[shape])
    values, measured = exact(matrix), measure(operator(matrix))
    np.testing.assert_allclose(measured.spectrum.values, values, atol=1e-12)
    assert measured.spectrum.weights == (1.0,) * COUNT
    assert measured.spectrum.complete
    assert "dense SVD" in measured.spectrum.method
    for estimate, true in ((measured.largest, values[0]), (measured.smallest, values[-1])):
        assert estimate.value == pytest.approx(true, abs=1e-12)
        assert estimate.residual < 1e-12


@pytest.mark.parametrize("limit", [0, 1024])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", families(COUNT))
def test_the_witness_exhibits_its_gain(monkeypatch, family, shape, limit):
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", limit)
    matrix = with_singular_values(families(COUNT)[family], *SHAPES[shape])
    measured = measure(operator(matrix))
    witness = measured.witness.numpy()
    assert witness.shape == (matrix.shape[1],)
    assert np.linalg.norm(witness) == pytest.approx(1, abs=1e-12)
    assert measured.gain == pytest.approx(np.linalg.norm(matrix @ witness), rel=1e-12)
    assert measured.gain == pytest.approx(exact(matrix)[0], rel=1e-3)


def random_soc(*arguments, terms=12, seed=0):
    layer = SOCConv2d(*arguments, terms=terms).eval()
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    layer.make_trainable(generator)
    layer.freeze()
    return layer.requires_grad_(False)


def soc_matrix(layer, shape):
    """p_n(A) between the changes of shape, from the entries of the kernel."""
    channels, height, width = shape
    kernel = layer.kernel.double().numpy()
    inside = zero_padded_matrix(kernel, height // layer.stride, width // layer.stride)
    area = (height // layer.stride) * (width // layer.stride)
    padded = np.eye(len(inside), channels * height * width)
    moved = padded @ unshuffle_matrix(channels, height, width, layer.stride)
    return (series(inside, layer.terms) @ moved)[: layer.out_channels * area]


LAYERS = {
    "stride 2, fewer outputs": ((2, 4, 3, 2), (2, 8, 8)),
    "stride 2, as many outputs": ((2, 8, 3, 2), (2, 6, 4)),
    "more outputs": ((2, 6, 3), (2, 5, 7)),
    "fewer outputs": ((6, 2, 3), (6, 4, 4)),
    "1x1": ((8, 4, 1), (8, 3, 3)),
    "maps that the kernel covers": ((8, 8, 3), (8, 2, 2)),
}


@pytest.mark.parametrize("limit", [0, 1024])
@pytest.mark.parametrize("name", LAYERS)
def test_soc_layers_against_matrices_built_entry_by_entry(monkeypatch, name, limit):
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", limit)
    arguments, shape = LAYERS[name]
    layer = random_soc(*arguments)
    matrix = soc_matrix(layer, shape)
    values, measured = exact(matrix), measure(layer.operator(shape))
    assert measured.largest.value == pytest.approx(values[0], abs=1e-6)
    assert measured.smallest.value == pytest.approx(values[-1], abs=1e-6)
    assert measured.gain == pytest.approx(np.linalg.norm(matrix @ measured.witness.numpy()), rel=1e-12)
    assert measured.gain <= layer.bound(shape).value + TINY
    assert measured.smallest.value >= layer.singular_value_floor(shape).value - TINY
    if limit:
        np.testing.assert_allclose(measured.spectrum.values, values, atol=1e-12)
    assert measured.spectrum.at_one == pytest.approx(1.0)


@pytest.mark.parametrize("terms", [1, 2, 5, 6, 9])
def test_series_that_expand_stay_below_their_bound(terms):
    """1 and 2 mod 4: these lengths expand at once."""
    layer = random_soc(2, 8, 3, 2, terms=terms)
    shape = (2, 8, 8)
    values, measured = exact(soc_matrix(layer, shape)), measure(layer.operator(shape))
    bound = layer.bound(shape)
    assert bound.proved
    assert 1 < measured.gain <= bound.value
    assert measured.gain == pytest.approx(values[0], rel=1e-12)


def test_a_kernel_that_is_not_skew_stays_below_its_bound():
    layer = random_soc(2, 8, 3, 2)
    layer.kernel.view(-1)[layer.kernel.abs().argmax()] *= 1.5
    shape = (2, 8, 8)
    measured = measure(layer.operator(shape))
    assert 1 + 1e-6 < measured.gain <= layer.bound(shape).value
    assert measured.gain == pytest.approx(exact(soc_matrix(layer, shape))[0], rel=1e-12)


def test_a_narrow_proof_replaces_the_decomposition_of_a_series():
    layer, shape = random_soc(8, 8, 3), (8, 8, 8)
    assert singular_values.ALWAYS_DENSE < 8 * 8 * 8
    measured = measure_layer(layer, shape)
    values = exact(soc_matrix(layer, shape))
    lower, upper = measured.spectrum.proved_range
    assert lower <= values[-1] + TINY
    assert values[0] - TINY <= upper
    assert upper - lower <= singular_values.NARROW
    # All are listed, each within the width of the truth, and the extremes much closer.
    assert measured.spectrum.complete
    np.testing.assert_allclose(measured.spectrum.values, values, rtol=0, atol=upper - lower)
    assert "proof that encloses all of them" in measured.spectrum.method
    assert measured.largest.value == pytest.approx(values[0], abs=1e-8)
    assert measured.smallest.value == pytest.approx(values[-1], abs=1e-8)
    assert measured.gain <= layer.bound(shape).value + TINY


def test_the_proved_range_is_a_range_where_the_proof_is_wide():
    """Series that expand, and norms that a cheap bound does not settle."""
    for terms, norm in ((5, 1.0), (12, 1.0), (12, 1.5), (8, 1.2)):
        layer, shape = random_soc(3, 3, 3, terms=terms), (3, 5, 6)
        layer.kernel *= norm
        lower, upper = layer.singular_value_range(shape, 0.0)
        values = exact(soc_matrix(layer, shape))
        assert lower - TINY <= values[-1] <= values[0] <= upper + TINY


def test_a_series_without_a_narrow_proof_is_measured(monkeypatch):
    monkeypatch.setattr(singular_values, "ALWAYS_DENSE", 0)
    layer, shape = random_soc(3, 3, 3, terms=5), (3, 5, 6)
    assert measure_layer(layer, shape).spectrum.method == "dense SVD, float64"
    monkeypatch.setattr(singular_values, "COMPOSITE_LIMIT", 0)
    assert "quadrature" in measure_layer(layer, shape).spectrum.method
    layer.kernel.view(-1)[layer.kernel.abs().argmax()] *= 1.01
    assert layer.singular_value_range(shape, 1.0) is None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", families(COUNT))
def test_by_the_gram_matrix(monkeypatch, family, shape):
    monkeypatch.setattr(singular_values, "DECOMPOSED", 0)
    matrix = with_singular_values(families(COUNT)[family], *SHAPES[shape])
    values, measured = exact(matrix), measure(operator(matrix))
    np.testing.assert_allclose(measured.spectrum.values, values, rtol=0, atol=1e-6)
    assert np.abs(np.array(measured.spectrum.values) - values).max() <= measured.spectrum.accuracy + TINY
    assert measured.spectrum.complete
    assert "Gram" in measured.largest.method
    assert measured.gain == pytest.approx(values[0], rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gram_matrix_is_of_the_smaller_side(shape):
    matrix = with_singular_values(families(COUNT)["spread"], *SHAPES[shape])
    expected = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram_matrix(operator(matrix)).numpy(), expected, rtol=0, atol=1e-13)


def circular_layer(outputs, inputs, taps, stride=(1, 1)):
    kernel = torch.randn(outputs, inputs, *taps, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padding = ((taps[0] - 1) // 2, (taps[1] - 1) // 2)
    return Conv2d(kernel, stride=stride, padding=padding, padding_mode="circular")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (circular_layer(3, 2, (3, 3)), (2, 5, 6)),
        (circular_layer(2, 3, (3, 5), (2, 1)), (3, 6, 5)),
        (circular_layer(8, 2, (3, 3), (2, 3)), (2, 4, 6)),
        (circular_layer(3, 3, (5, 3)), (3, 2, 4)),
    ],
)
def test_circular_layers_are_exact_frequency_by_frequency(layer, shape):
    values = exact(layer.operator(shape).dense().numpy())
    measured = measure_layer(layer, shape)
    assert measured.spectrum.method == "SVD at every frequency, float64"
    np.testing.assert_allclose(measured.spectrum.values, values, rtol=0, atol=1e-12 * values[0])
    assert measured.spectrum.complete
    assert measured.gain == pytest.approx(values[0], rel=1e-3)


def test_large_circular_layers_count_equal_values(monkeypatch):
    layer, shape = circular_layer(3, 2, (3, 3)), (2, 5, 6)
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", 0)
    spectrum = measure_layer(layer, shape).spectrum
    assert len(spectrum.values) < spectrum.size == sum(spectrum.weights) == 60
    repeated = np.repeat(spectrum.values, np.array(spectrum.weights).astype(int))
    np.testing.assert_allclose(repeated, exact(layer.operator(shape).dense().numpy()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (circular_layer(3, 2, (3, 3), (2, 2)), (2, 5, 6)),  # the stride does not divide the image
        (Conv2d(torch.ones(2, 2, 3, 3), padding=(1, 1)), (2, 4, 4)),  # zero padding
        (Conv2d(torch.ones(2, 1, 3, 3), padding=(1, 1), padding_mode="circular", groups=2), (2, 4, 4)),
        (Conv2d(torch.ones(2, 2, 3, 3), padding_mode="circular"), (2, 4, 4)),  # the border is cut
    ],
)
def test_what_is_not_circular_is_not_taken_for_it(layer, shape):
    assert layer.circular_kernel(shape) is None


def test_heads_and_normalisation():
    head = LastLayerNormalized(20, 5)
    torch.manual_seed(0)
    head.make_trainable()
    head.freeze()
    values = exact(head.weight.detach().double().numpy())
    np.testing.assert_allclose(measure(head.operator((20,))).spectrum.values, values, rtol=1e-12)
    measured = measure(Normalize((0.5, 0.4), (0.25, 0.5)).operator((2, 3, 3)))
    assert sorted(measured.spectrum.values) == pytest.approx([2.0] * 9 + [4.0] * 9)


def test_zero_operators():
    measured = measure(operator(np.zeros((3, 4))))
    assert (measured.largest.value, measured.smallest.value, measured.gain) == (0.0, 0.0, 0.0)
    assert measured.spectrum.values == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("limit", [0, 1024])
def test_overflow_is_named(monkeypatch, limit):
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", limit)
    with pytest.raises(OverflowError, match="no singular values are measured"):
        measure(operator(np.full((3, 4), 1.7e308)))


@pytest.mark.parametrize("build", [BCOPConv2d, CayleyConv2d])
@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ((3, 8, 3, 1, 6), (3, 6, 6)),
        ((2, 4, 3, 2, 8), (2, 8, 8)),
        ((6, 4, 3, 1, 3), (6, 3, 3)),
        ((4, 4, 1, 1, 4), (4, 4, 4)),
    ],
)
def test_orthogonal_circular_layers_against_their_matrices(build, arguments, shape):
    layer = build(*arguments).eval()
    torch.manual_seed(0)
    layer.make_trainable(torch.Generator().manual_seed(0))
    layer.freeze()
    layer.requires_grad_(False)
    values, measured = exact(layer.operator(shape).dense().numpy()), measure_layer(layer, shape)
    assert measured.spectrum.method == "SVD at every frequency, float64"
    assert measured.spectrum.size == len(values)
    np.testing.assert_allclose(measured.spectrum.values, values, rtol=0, atol=1e-12)
    assert measured.spectrum.at_one == 1.0
