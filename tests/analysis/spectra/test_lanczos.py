from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lipscope.analysis.spectra.lanczos import gram_lanczos, sigma_of, sigma_residual
from tests.analysis.matrices import SHAPES, families, operator, with_singular_values

COUNT = 150


def distribution(values, weights, at):
    """The share of singular values up to each point."""
    values, weights = np.asarray(values), np.asarray(weights)
    return np.array([weights[values <= point].sum() for point in at]) / weights.sum()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", families(COUNT))
def test_the_quadrature_is_the_distribution_of_singular_values(family, shape):
    values = families(COUNT)[family]
    matrix = with_singular_values(values, *SHAPES[shape])
    runs = gram_lanczos(operator(matrix), 40, probes=50)
    nodes = [sigma_of(float(node)) for run in runs for node in run.nodes]
    weights = [float(weight) for run in runs for weight in run.weights]
    true = np.linalg.svd(matrix, compute_uv=False)
    # Between clusters, where rounding cannot move a value across.
    edges = np.sort(true)
    gaps = np.flatnonzero(np.diff(edges) > 1e-4)
    points = (edges[gaps] + edges[gaps + 1]) / 2
    found = distribution(nodes, weights, points)
    expected = distribution(true, np.ones(len(true)), points)
    # Each probe is one sample of a share with a standard deviation of at most sqrt(2 / 150) / 2; 50 probes, 4 sigma,
    # and half a node of 40 for a distribution without gaps.
    tolerance = 4 * math.sqrt(2 / COUNT / 50) / 2 + (0.5 / 40 if family == "spread" else 0)
    np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", families(COUNT))
def test_every_ritz_pair_is_as_close_to_an_eigenvalue_as_its_residual_says(family, shape):
    matrix = with_singular_values(families(COUNT)[family], *SHAPES[shape])
    eigenvalues = np.linalg.svd(matrix, compute_uv=False) ** 2
    for run in gram_lanczos(operator(matrix), 25, probes=3, seed=1):
        assert run.weights.sum().item() == pytest.approx(1, abs=1e-12)
        assert run.steps == len(run.nodes) <= 25
        for node, residual in zip(run.nodes.tolist(), run.residuals.tolist(), strict=True):
            assert np.abs(eigenvalues - node).min() <= residual + 1e-12


def test_residuals_are_those_of_the_ritz_vectors():
    matrix = with_singular_values(np.linspace(0.1, 1, 60), 60, 90)
    gram = matrix @ matrix.T
    for run in gram_lanczos(operator(matrix), 12, probes=3):
        top = run.top.numpy()
        assert np.linalg.norm(top) == pytest.approx(1, abs=1e-12)
        exact = np.linalg.norm(gram @ top - float(run.nodes[-1]) * top)
        assert exact == pytest.approx(float(run.residuals[-1]), rel=1e-6, abs=1e-13)
        assert top @ gram @ top == pytest.approx(float(run.nodes[-1]), abs=1e-12)


def test_all_steps_give_all_eigenvalues():
    matrix = with_singular_values(np.linspace(0.1, 2, 30), 45, 30)
    expected = np.sort(np.linalg.svd(matrix, compute_uv=False) ** 2)
    for run in gram_lanczos(operator(matrix), 1000, probes=2):
        np.testing.assert_allclose(run.nodes.numpy(), expected, atol=1e-10)


def test_an_invariant_space_ends_the_recurrence():
    values = np.repeat([0.5, 1.0, 2.0], 20)
    runs = gram_lanczos(operator(with_singular_values(values, 60, 60)), 40, probes=4)
    assert [run.steps for run in runs] == [3] * 4
    for run in runs:
        np.testing.assert_allclose(run.nodes.numpy(), [0.25, 1.0, 4.0], rtol=1e-12)


def test_zero_and_one_by_one():
    (run,) = gram_lanczos(operator(np.zeros((5, 7))), 40, probes=1)
    assert run.nodes.tolist() == [0.0]
    (run,) = gram_lanczos(operator(np.array([[-3.0]])), 40, probes=1)
    assert run.nodes.tolist() == pytest.approx([9.0])


def test_the_seed_decides():
    matrix = operator(with_singular_values(np.linspace(0.1, 1, 60), 60, 60))
    first, again, other = (gram_lanczos(matrix, 5, 2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first[0].nodes, again[0].nodes)
    assert not torch.equal(first[0].nodes, other[0].nodes)
    assert not torch.equal(first[0].nodes, first[1].nodes)


@pytest.mark.parametrize("factor", [1e200, math.inf, math.nan])
def test_products_that_overflow_are_refused(factor):
    with np.errstate(invalid="ignore"):
        matrix = np.eye(4) * factor
    with pytest.raises(OverflowError, match="overflow"):
        gram_lanczos(operator(matrix), 4, probes=1)


@pytest.mark.parametrize("true", [0.0, 1e-3, 0.3, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("error", [-0.5, -1e-3, 0.0, 1e-3, 0.5])
def test_the_residual_covers_the_singular_value(true, error):
    """An eigenvalue true^2 within the residual of the node is a singular value within sigma_residual of sigma_of."""
    node = true**2 + error
    assert abs(sigma_of(node) - true) <= sigma_residual(node, abs(error)) + 1e-12
