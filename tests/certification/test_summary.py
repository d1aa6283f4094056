from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lipscope.certification.intervals import clopper_pearson
from lipscope.certification.summary import summary
from lipscope.records.certificates import Certificates
from lipscope.units import parse_eps
from tests.files.test_results import some_certificates

EPS = [parse_eps(text) for text in ("36/255", "0.5", "1/3")]


def shares(rows: list[dict]) -> list[dict]:
    """The shares without their intervals, which have a test of their own."""
    return [{name: value for name, value in row.items() if name != "interval"} for row in rows]


def test_every_number_by_hand() -> None:
    """Five images; the third is misclassified with a large radius, which counts nowhere."""
    certificates = some_certificates([0.1, 0.5, 2.0, 0.2, 0.0], correct=[True, True, False, True, True])
    found = summary(certificates, "runs/a/model.safetensors", EPS)
    assert found["schema"] == "lipscope.certify/2"
    assert found["model"] == {"path": "runs/a/model.safetensors", "sha256": "m" * 64, "architecture": "lipconvnet"}
    assert found["data"] == {"name": "synthetic", "split": "test", "n": 5, "fingerprint": "f", "labelled": True}
    assert found["lipschitz"] == {"value": 4.0, "proved": True}
    assert (found["standing"], found["proved"], found["reason"]) == ("proved", True, None)
    assert shares([found["clean"]]) == [{"count": 4, "rate": 0.8}]
    assert shares(found["certified"]) == [
        {"eps": "36/255", "count": 2, "rate": 0.4},
        {"eps": "1/2", "count": 0, "rate": 0.0},
        {"eps": "85/255", "count": 1, "rate": 0.2},
    ]
    assert shares(found["unchanging"]) == [
        {"eps": "36/255", "count": 3, "rate": 0.6},
        {"eps": "1/2", "count": 1, "rate": 0.2},
        {"eps": "85/255", "count": 2, "rate": 0.4},
    ]
    assert found["average_certified_radius"] == pytest.approx(0.8 / 5)
    assert found["mean_radius_of_correct"] == pytest.approx(0.8 / 4)
    assert found["mean_radius"] == pytest.approx(2.8 / 5)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_intervals_are_those_of_the_counts() -> None:
    found = summary(some_certificates([0.1, 0.5, 2.0], correct=[True, True, False]), "m", EPS)
    assert found["interval"] == {"method": "Clopper-Pearson", "level": 0.95, "kind": "estimate"}
    for row in (found["clean"], *found["certified"]):
        assert tuple(row["interval"]) == clopper_pearson(row["count"], 3)


def test_quantiles_are_radii_of_correct_images() -> None:
    radii = [k / 100 for k in range(1, 101)]
    found = summary(some_certificates([*radii[::-1], 9.0], [True] * 100 + [False]), "m", [])["radius_quantiles"]
    assert found["of"] == "correctly classified images"
    assert [(row["quantile"], row["radius"]) for row in found["values"]] == [
        (0.05, 0.05), (0.25, 0.25), (0.5, 0.5), (0.75, 0.75), (0.95, 0.95),
    ]  # fmt: skip
    assert summary(some_certificates([0.1], [False]), "m", [])["radius_quantiles"]["values"] == []


def classified(label: list[int], predicted: list[int], runner_up: list[int], radius: list[float]) -> Certificates:
    return replace(
        some_certificates(radius, [True] * len(radius)), label=np.array(label), predicted=np.array(predicted),
        runner_up=np.array(runner_up), classes=("cat", "dog", "frog", "eel"),
    )  # fmt: skip


def test_classes_by_hand() -> None:
    certificates = classified([0, 0, 0, 1, 2], [0, 0, 1, 1, 0], [1, 1, 0, 2, 1], [0.2, 0.1, 5.0, 0.6, 7.0])
    found = summary(certificates, "m", [Fraction(0), Fraction(15, 100)])["classes"]
    assert [(row["class"], row["name"], row["n"]) for row in found] == [
        (0, "cat", 3), (1, "dog", 1), (2, "frog", 1), (3, "eel", 0),
    ]  # fmt: skip
    assert [row["clean"]["count"] for row in found] == [2, 1, 0, 0]
    assert [[share["count"] for share in row["certified"]] for row in found] == [[2, 1], [1, 1], [0, 0], [0, 0]]
    assert [row["certified"][1]["rate"] for row in found] == [1 / 3, 1.0, 0.0, None]
    assert [row["mean_radius_of_correct"] for row in found] == [pytest.approx(0.15), 0.6, None, None]
    assert [row["average_certified_radius"] for row in found] == [pytest.approx(0.1), 0.6, 0.0, None]
    unnamed = summary(replace(certificates, classes=()), "m", [])["classes"]
    assert [row["name"] for row in unnamed] == ["0", "1", "2"]


def test_classes_sum_to_the_whole() -> None:
    random = np.random.default_rng(5)
    label, predicted, runner_up = random.integers(0, 4, (3, 200)).tolist()
    found = summary(classified(label, predicted, runner_up, random.random(200).tolist()), "m", EPS)
    assert sum(row["n"] for row in found["classes"]) == 200
    assert sum(row["clean"]["count"] for row in found["classes"]) == found["clean"]["count"]
    for k, whole in enumerate(found["certified"]):
        assert sum(row["certified"][k]["count"] for row in found["classes"]) == whole["count"]


def test_which_class_is_the_nearest() -> None:
    certificates = classified([0, 0, 0, 1, 2], [0, 0, 1, 1, 0], [1, 1, 0, 2, 3], [0.1] * 5)
    found = summary(certificates, "m", [])["runner_up"]
    assert found["columns"] == ["predicted", "runner_up", "count"]
    assert found["pairs"] == [[0, 1, 2], [0, 3, 1], [1, 0, 1], [1, 2, 1]]


def test_the_curve_counts_larger_radii_at_200_places() -> None:
    radii = np.random.default_rng(2).random(60).tolist()
    correct = [k % 3 > 0 for k in range(60)]
    found = summary(some_certificates(radii, correct), "m", [])["curve"]
    assert len(found["radius"]) == len(found["count"]) == len(found["rate"]) == 200
    assert (found["radius"][0], found["count"][0], found["count"][-1]) == (0.0, 40, 0)
    for radius, count, rate in zip(found["radius"], found["count"], found["rate"], strict=True):
        assert count == sum(r > radius for r, good in zip(radii, correct, strict=True) if good)
        assert rate == count / 60


def test_nobody_right() -> None:
    certificates = some_certificates([0.1, 0.5], correct=[False, False])
    found = summary(certificates, "m", [Fraction(0)])
    assert shares([found["clean"]]) == [{"count": 0, "rate": 0.0}]
    assert shares(found["certified"]) == [{"eps": "0/255", "count": 0, "rate": 0.0}]
    assert found["average_certified_radius"] == found["mean_radius_of_correct"] == 0.0
    json.dumps(found, allow_nan=False)


def test_without_labels_what_needs_them_is_null() -> None:
    certificates = replace(some_certificates([0.1, 0.5], correct=[True, True]), label=np.array([-1, -1]))
    found = summary(certificates, "m", EPS)
    null = {name for name, value in found.items() if value is None}
    needing = {"clean", "certified", "average_certified_radius", "mean_radius_of_correct", "classes", "curve"}
    assert null == {*needing, "reason", "budget", "evaluation"}
    assert [row["count"] for row in found["unchanging"]] == [1, 0, 1]
    assert found["radius_quantiles"]["of"] == "all images"
    assert found["radius_quantiles"]["values"][-1]["radius"] == 0.5


def test_no_eps() -> None:
    assert summary(some_certificates([0.1], correct=[True]), "m", [])["certified"] == []


@pytest.mark.parametrize("standing", ["own", "claimed", "estimate"])
def test_nothing_that_was_not_proved_here_is_called_proved(standing: Any) -> None:
    certificates = replace(some_certificates([0.1], correct=[True]), standing=standing, reason="why")
    found = summary(certificates, "m", EPS)
    assert (found["standing"], found["proved"], found["reason"]) == (standing, False, "why")
    # The constant of an estimate was proved just now, that of a file was read.
    assert found["lipschitz"]["proved"] == (standing == "estimate")
    assert "true" not in json.dumps({**found, "lipschitz": None, "data": None})
