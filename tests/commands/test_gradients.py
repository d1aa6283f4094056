from __future__ import annotations

from dataclasses import replace

import pytest

from lipscope.commands.gradients import gradient_lines
from lipscope.records import Bound, GradientNorms, InspectReport, LayerReport, Tightness, Verdict


def norms(mean: float, gradients: str = "margin") -> GradientNorms:
    return GradientNorms(mean, mean - 0.1, mean + 0.1, mean - 0.05, mean + 0.05, "64 images of cifar10 test", gradients)


def layer(name: str, mean: float, cumulative: float) -> LayerReport:
    return LayerReport(
        name, "SOC 3x3", (3, 4, 4), (3, 4, 4), Bound(1.0, "by hand"), gradient_norm=norms(mean),
        gradient_norm_random=norms(mean - 0.2, "random"),
        gradient_norm_cumulative=norms(cumulative, "margin, cumulative"),
    )  # fmt: skip


def report(*layers: LayerReport, tight: Tightness | None = None) -> InspectReport:
    return InspectReport("a", "0", "lipconvnet", {}, Verdict("proved", 1.0, ""), layers, tightness=tight)


def test_the_layer_that_loses_most_is_marked_in_words():
    lines = gradient_lines(report(layer("first", 0.9, 0.45), layer("second", 0.5, 0.5), layer("third", 1.0, 1.0)))
    (marked,) = (line for line in lines if "<- loses most" in line)
    assert marked.split()[:6] == ["second", "0.500000", "0.4000", "0.4500", "0.5500", "0.6000"]
    assert marked.split()[6] == "0.300000"
    assert marked.split()[-4] == "0.500000"
    assert "loses most: second, which passes back 0.5000 of the norm (mean)" in lines[-1]
    assert "the whole body passes back 0.4500" in lines[-1]
    assert "estimates on 64 images of cifar10 test" in lines[1]


def test_nothing_is_marked_where_nothing_is_lost():
    head = replace(layer("head", 0.2, 1.0), role="head", gradient_norm_cumulative=None)
    lines = gradient_lines(report(layer("first", 1.0, 1.0), head))
    assert not any("<- loses most" in line for line in lines)
    assert lines[-1].startswith("no layer of the body loses gradient")


def test_the_tightness_says_that_it_is_an_estimate_over_a_proved_bound():
    tight = Tightness((0.5, 0.7), 0.6, 0.5, 0.7, 0.51, 0.69, 3.98883127251, "2 images")
    line = gradient_lines(report(layer("first", 1.0, 1.0), tight=tight))[-1]
    assert "proved L <= 3.9888312726: estimate, mean 0.6000, min 0.5000, 5% 0.5100" in line


def test_names_from_a_file_are_harmless():
    lines = gradient_lines(report(layer("\x1b[31m" + "x" * 500, 0.5, 0.5)))
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 400


def test_absurd_ratios_keep_the_columns():
    lines = gradient_lines(report(layer("first", 1e60, 1e60), layer("second", 0.5, 0.5)))
    assert max(map(len, lines)) < 200
    assert "1.00e+60" in lines[4]


@pytest.mark.parametrize("layers", [(), (replace(layer("a", 1, 1), gradient_norm=None),)])
def test_without_gradients_nothing_is_said(layers):
    assert gradient_lines(report(*layers)) == []
