from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from lipscope.attacks.driver import Outcome, Settings
from lipscope.attacks.report import (
    adversarials_of,
    earlier_run,
    merged,
    numbers,
    ranges,
    report,
    robust_count,
    rows_of,
    run_record,
)
from tests.files.test_results import some_certificates

EPS = (Fraction(1, 4), Fraction(1, 2))


def made(n=10):
    """n images: the even ones right, radius 0.05 a record."""
    label = np.arange(n) % 3
    wrong = np.arange(n) % 2 == 1
    return replace(
        some_certificates((np.arange(n) * 0.05).tolist(), [True] * n),
        index=np.arange(n),
        label=label,
        predicted=np.where(wrong, (label + 1) % 3, label),
        runner_up=(label + 2) % 3,
    )


def outcome(distance, by=0):
    n = len(distance)
    points = np.arange(12 * n, dtype=np.float32).reshape(n, 3, 2, 2) / (12 * n)
    return Outcome(np.array(distance), np.full(n, by), np.ones(n, bool), np.full(n, 2), points, {"device": "cpu"})


def test_robust_is_strictly_beyond_eps():
    claimed = made(4)
    assert robust_count(claimed, np.array([0.25, 9, np.nextafter(0.25, 1), 9]), Fraction(1, 4)) == 1
    assert robust_count(claimed, np.array([np.inf, 9, np.inf, 9]), Fraction(1, 4)) == 2
    tenth = Fraction(1, 10)
    assert tenth < 0.1
    assert robust_count(claimed, np.array([0.1, 0, np.nextafter(0.1, 0), 0]), tenth) == 1


def test_the_figures_are_counts_of_images():
    claimed = made()
    distance = claimed.radius * 1.5 + 0.01
    distance[8] = np.inf
    run = run_record(Settings(eps=EPS), claimed.index, outcome(distance, by=1))
    facts = report(claimed, distance, run, "model", EPS, [], 0)
    assert (facts["schema"], facts["standing"], facts["violations"]) == ("lipscope.attack/2", "proved", 0)
    right = range(0, 10, 2)
    assert facts["clean"] == {"count": 5, "rate": 0.5}
    for number, eps in enumerate(EPS):
        certified = sum(i * 0.05 > eps for i in right)
        robust = sum(distance[i] > eps for i in right)
        assert facts["certified"][number] == {"eps": str(eps), "count": certified, "rate": certified / 10}
        assert facts["robust"][number]["count"] == robust
        assert facts["gap"][number]["count"] == robust - certified
        assert robust >= certified
    assert facts["distance"]["found"] == 9
    assert facts["nearest"] == {"minimum": 0, "pgd": 10, "boundary": 0}
    least = min(distance[i] / claimed.radius[i] for i in range(1, 10))
    assert facts["distance"]["least_over_radius"] == pytest.approx(least)
    told = report(replace(claimed, standing="claimed"), distance, run, "model", EPS, [], 0)
    assert (facts["lipschitz"]["proved"], told["lipschitz"]["proved"]) == (True, False)


def test_rows_are_taken_by_record_number():
    claimed = replace(made(), index=np.arange(10)[::-1].copy())
    chosen = rows_of(claimed, np.array([7, 2]))
    assert chosen.index.tolist() == [7, 2]
    assert chosen.radius.tolist() == [claimed.radius[2], claimed.radius[7]]


def test_runs_add_up():
    claimed, settings = made(), Settings(eps=EPS)
    first, second = np.array([0, 1, 2]), np.array([2, 3, 7])
    runs = [run_record(settings, index, outcome([0.5] * 3)) for index in (first, second)]
    once = merged(claimed, first, np.array([0.5, np.inf, 0.7]), runs[0])
    assert once.attack_distance.tolist() == [0.5, np.inf, 0.7] + [np.inf] * 7
    twice = merged(once, second, np.array([0.6, 0.8, 0.9]), runs[1])
    assert twice.attack_distance[[0, 2, 3, 7]].tolist() == [0.5, 0.6, 0.8, 0.9]
    assert twice.attack["attacked"] == [[0, 4], [7, 8]]
    assert twice.attack["runs"] == runs
    # The smallest stays; with force the attacked images begin anew.
    assert merged(twice, second, np.array([9.0, 9, 9]), runs[1]).attack_distance[2] == 0.6
    forced = merged(twice, second, np.array([9.0, 9, 9]), runs[1], force=True)
    assert forced.attack_distance[[0, 2, 3, 7]].tolist() == [0.5, 9, 9, 9]
    assert forced.attack["attacked"] == [[0, 4], [7, 8]]
    assert forced.attack["runs"] == runs


def test_a_run_is_known_again_by_settings_and_images():
    claimed, settings, index = made(), Settings(eps=EPS), np.array([0, 1])
    kept = merged(claimed, index, np.array([1.0, 1.0]), run_record(settings, index, outcome([1.0, 1.0])))
    assert earlier_run(claimed, settings, index) is None
    assert earlier_run(kept, settings, index) == kept.attack["runs"][0]
    assert earlier_run(kept, settings, np.array([0, 1, 2])) is None
    assert earlier_run(kept, replace(settings, seed=1), index) is None


@pytest.mark.parametrize("index", [[], [3], [0, 1, 2], [9, 0, 1, 5, 6, 3]])
def test_ranges_and_back(index):
    assert numbers(ranges(np.array(index, np.int64))).tolist() == sorted(index)


def test_the_adversarial_images_that_are_kept_are_those_that_were_found_in_order():
    claimed = made(6)
    found = outcome([0.4, np.inf, 0.2])
    kept = adversarials_of(claimed, np.array([5, 2, 1]), found)
    assert kept.index.tolist() == [1, 5]
    assert kept.original.tolist() == claimed.predicted[[1, 5]].tolist()
    assert kept.distance.tolist() == [0.2, 0.4]
    assert np.array_equal(kept.adversarial, found.point[[2, 0]])
    assert (kept.model_sha256, kept.data_fingerprint) == (claimed.model_sha256, claimed.data_fingerprint)
