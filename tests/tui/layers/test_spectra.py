import numpy as np

from lipscope.records import Spectrum
from lipscope.tui.layers.spectra import by_rank


def spectrum(values, weights=None, size=None):
    weights = [1.0] * len(values) if weights is None else weights
    return Spectrum(tuple(values), tuple(weights), size or len(values), "by hand", True)


def test_the_curve_falls_from_the_largest_to_the_smallest_over_all_ranks():
    values = np.random.default_rng(0).normal(1, 0.1, 500)
    ranks, curve = by_rank(spectrum(values.tolist()), 200)
    assert (ranks[0], ranks[-1]) == (0, 500)
    assert (np.diff(curve) <= 0).all()
    assert (curve[0], curve[-1]) == (values.max(), values.min())
    listed = np.sort(values)[::-1]
    for rank, value in zip(ranks[1:], curve[1:], strict=True):
        assert value == listed[int(np.ceil(rank - 1e-9)) - 1]


def test_a_density_stands_for_as_many_values_as_there_are():
    ranks, curve = by_rank(spectrum([0.5, 1.0], [1.0, 3.0], 400), 5)
    assert ranks.tolist() == [0, 100, 200, 300, 400]
    assert curve.tolist() == [1, 1, 1, 1, 0.5]


def test_nothing_finite_is_nothing_to_draw():
    assert not len(by_rank(spectrum([float("nan")]), 10)[0])
    assert not len(by_rank(spectrum([]), 10)[0])
    ranks, curve = by_rank(spectrum([float("nan"), 0.5]), 3)
    assert curve.tolist() == [0.5, 0.5, 0.5]
    assert ranks[-1] == 2
