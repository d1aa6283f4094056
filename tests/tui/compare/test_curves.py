from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from lipscope.tui.compare.curves import drawings
from tests.tui.conftest import write_checkpoint
from tests.tui.pictured import write_synthetic


def test_every_share_is_of_the_models_own_images(tmp_path) -> None:
    """Counted anew at every place; of two certifications one may be of fewer images."""
    first = write_synthetic(write_checkpoint(tmp_path / "a.safetensors"))
    arrays = {name: one for name, one in vars(first).items() if isinstance(one, np.ndarray) and len(one) == len(first)}
    second = replace(first, **{name: one[: len(first) // 3] for name, one in arrays.items()})
    curves, gap = drawings(first, second, Fraction(36, 255))
    shares = [
        [(one.correct & (one.radius > x)).mean() for x in curve.x.tolist()]
        for one, curve in zip((first, second), curves.series, strict=True)
    ]
    for curve, counted in zip(curves.series, shares, strict=True):
        np.testing.assert_allclose(curve.y, counted, atol=1e-12)
    np.testing.assert_allclose(gap.series[0].y, 100 * (np.array(shares[1]) - np.array(shares[0])), atol=1e-9)
    assert gap.series[0].y.any()
