from fractions import Fraction

import numpy as np
import pytest

from lipscope.tui.images.choice import verdict_style
from lipscope.tui.images.logit_bars import logit_bars
from tests.tui.images.test_choice import results

CLASSES = ("cat", "dog", "bird")


@pytest.mark.parametrize(
    ("label", "radius", "standing", "colour"),
    [
        (0, 0.6, "own", "$success"),
        (0, 0.6, "claimed", "$warning"),
        (0, 0.5, "own", "$warning"),
        (1, 0.6, "own", "$error"),
    ],
)
def test_the_bar_of_the_prediction_says_the_verdict_and_no_other_is_coloured(label, radius, standing, colour):
    found = results([label], [0], [radius], standing=standing)
    look = verdict_style(found, 0, Fraction(1, 2))
    drawn = logit_bars(np.array([3.0, 2.0, 1.0]), found, 0, look, CLASSES, 60, 9)
    looks = {}
    for span in drawn.spans:
        line = drawn.plain[: span.start].count("\n")
        if set(drawn.plain[span.start : span.end]) & set("█▏▎▍▌▋▊▉"):
            looks[line] = str(span.style)
    assert looks[1] == colour
    assert {look for line, look in looks.items() if line != 1} == {"$foreground 50%"}
    marked = next(line for line in drawn.plain.split("\n") if CLASSES[label] in line)
    assert "L" in marked[:3]
