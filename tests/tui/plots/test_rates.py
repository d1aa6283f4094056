import numpy as np

from lipscope.tui.plots.rates import resample


def test_resampled_steps_are_points_of_the_curve():
    x = np.sort(np.random.default_rng(0).random(1000))
    y = np.linspace(1, 0, 1000)
    grid, rates = resample(x, y, 30)
    assert len(grid) == 30
    for at, rate in zip(grid, rates, strict=True):
        assert rate == y[np.flatnonzero(x <= at)[-1]]
