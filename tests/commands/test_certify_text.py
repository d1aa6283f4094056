from __future__ import annotations

import math
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lipscope.certification.summary import summary
from lipscope.commands.certify_text import text
from lipscope.records.certificates import Certificates
from lipscope.units import DEFAULT_EPS
from tests.files.test_results import some_certificates

EPS = (Fraction(36, 255), Fraction(1, 2))


def certificates(n: int = 400, classes: int = 10, seed: int = 1) -> Certificates:
    """Classes of different difficulty and a skew distribution of radii."""
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, n)
    right = random.random(n) < 0.3 + 0.6 * label / classes
    predicted = np.where(right, label, (label + 1) % classes)
    return replace(
        some_certificates((random.random(n) ** 2).tolist(), [True] * n), label=label, predicted=predicted,
        runner_up=(predicted + 1 + random.integers(0, 2, n)) % classes,
        classes=tuple(f"class {number}" for number in range(classes)),
    )  # fmt: skip


def shown(of: Certificates) -> tuple[str, dict[str, Any]]:
    facts = summary(of, "m.safetensors", EPS)
    return text(facts, of), facts


def test_it_fits_a_terminal() -> None:
    of = certificates()
    lines = text(summary(of, "m.safetensors", DEFAULT_EPS), of).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line != line.rstrip() for line in lines)


def test_names_of_classes_are_whole_where_stdout_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "a class whose name is longer than its column"
    of = replace(certificates(), classes=(long, *(f"class {number}" for number in range(1, 10))))
    assert shown(of)[0].count(long) >= 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    printed, _ = shown(of)
    assert long not in printed
    assert "a clas…" in printed


@pytest.mark.parametrize(
    ("standing", "said", "called"),
    [
        ("proved", "radii      sound radii, proved here: float64, rounding errors subtracted", "certified"),
        ("own", "radii      sound radii, proved by an earlier run of your own", "certified"),
        ("claimed", "radii      radii claimed by somebody else, not proved here", "claimed"),
        ("estimate", "radii      estimates: float32, rounding errors not subtracted", "estimated"),
    ],
)
def test_whose_word_the_radii_are(standing: Any, said: str, called: str) -> None:
    printed, _ = shown(replace(certificates(), standing=standing))
    assert said in printed.splitlines()
    assert f"{called} @ 36/255" in printed
    assert f"average {called} radius" in printed


def test_a_line_a_class() -> None:
    printed, facts = shown(certificates())
    rows = re.findall(r"^(class \d) +(\d+) +([\d.]+)% +([\d.]+)% +([\d.]+)% +([\d.]+)$", printed, re.MULTILINE)
    assert rows == [
        (row["name"], str(row["n"]), *(f"{share['rate'] * 100:.2f}" for share in (row["clean"], *row["certified"])),
         f"{np.floor(row['mean_radius_of_correct'] * 1e4) / 1e4:.4f}")
        for row in facts["classes"]
    ]  # fmt: skip


def test_of_many_classes_the_lowest_ten() -> None:
    printed, facts = shown(certificates(4000, 100))
    rows = re.findall(r"^class (\d+) +\d+ +[\d.]+% +([\d.]+)%", printed, re.MULTILINE)
    lowest = sorted(facts["classes"], key=lambda row: (row["certified"][0]["rate"], row["clean"]["rate"]))[:10]
    assert [int(number) for number, _ in rows] == [row["class"] for row in lowest]
    assert "the 10 lowest of 100 classes; --json has all" in printed


def test_the_nearest_classes() -> None:
    printed, facts = shown(certificates())
    rows = re.findall(r"^class (\d) +class (\d) +(\d+)$", printed, re.MULTILINE)
    assert [[int(part) for part in row] for row in rows] == facts["runner_up"]["pairs"][:6]


def test_quantiles_are_never_more_than_the_radii() -> None:
    printed, facts = shown(certificates())
    (values,) = re.findall(r"^radius at 5/25/50/75/95% +((?:\d\.\d{4} ?)+)", printed, re.MULTILINE)
    for value, row in zip(values.split(), facts["radius_quantiles"]["values"], strict=True):
        assert 0 <= row["radius"] - float(value) < 1e-4


def test_the_curve_falls_from_clean_accuracy_to_the_largest_radius() -> None:
    printed, facts = shown(certificates())
    lines = printed.splitlines()
    start = lines.index("certified accuracy by radius") + 1
    rows = [line[5:71] for line in lines[start + 1 : start + 11]]
    assert lines[start + 1].startswith("100%┤")
    assert lines[start + 10].startswith("  0%┤")
    # Ten rows from 100% down to 0%: the topmost that is filled holds the accuracy.
    tops = [next((row for row in range(10) if rows[row][column] != " "), 10) for column in range(66)]
    assert tops == sorted(tops)
    clean = 100 * facts["curve"]["rate"][0]
    assert abs((9.5 - tops[0]) / 10 * 100 - clean) <= 10
    assert f"{math.floor(100 * facts['curve']['radius'][-1]) / 100:.2f}" in lines[start + 12]
    assert "\x1b" not in printed


def test_nobody_right_and_one_image() -> None:
    wrong = some_certificates([0.5], [False])
    printed, _ = shown(wrong)
    assert "misclassified      1" in printed
    assert "radius at" not in printed
    assert "clean                   0.00%       0  [  0.00%,  97.50%]" in printed


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "a" * 70])
def test_names_of_classes_are_harmless(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    printed, _ = shown(replace(certificates(), classes=(name,) * 10))
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert len(printed.splitlines()) == len(shown(certificates())[0].splitlines())
