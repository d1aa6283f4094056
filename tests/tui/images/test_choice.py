from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import strategies as st

from lipscope.files.kept_images import Adversarial
from lipscope.records.certificates import Certificates
from lipscope.tui.images.choice import (
    KEEPS,
    SORTS,
    Choice,
    arranged,
    distance_text,
    image_facts,
    images_sheet,
    logit_rows,
    offered,
)
from tests.always import always

EPS = Fraction(1, 2)


def results(label, predicted, radius, distance=None, **changes) -> Certificates:
    n = len(label)
    made = Certificates(
        index=np.arange(n) * 10, label=np.array(label), predicted=np.array(predicted),
        runner_up=(np.array(predicted) + 1) % 5, radius=np.array(radius, float), margin=np.array(radius, float),
        standing="own", model_sha256="a" * 64, architecture="lipconvnet", data_name="synthetic",
        data_split="test", data_fingerprint="f" * 64, lipschitz=1.0,
        attack_distance=None if distance is None else np.array(distance, float), classes=("cat", "d[red]og"),
    )  # fmt: skip
    return replace(made, **changes)


ROW = st.tuples(
    st.integers(0, 3), st.integers(0, 3), st.integers(0, 4), st.one_of(st.just(float("inf")), st.integers(0, 4))
)


@always(
    rows=st.lists(ROW, min_size=1, max_size=15),
    keep=st.sampled_from(list(KEEPS)),
    label=st.one_of(st.none(), st.integers(0, 3)),
    sort=st.sampled_from(list(SORTS)),
    reverse=st.booleans(),
)
def test_filters_and_orders_are_those_of_a_loop(rows, keep, label, sort, reverse):
    certificates = results(
        *(list(column) for column in zip(*((a, b, r / 4, d / 4) for a, b, r, d in rows), strict=True))
    )
    chosen = arranged(certificates, Choice(keep, label, sort, reverse, EPS)).tolist()

    def passes(row) -> bool:
        truth, said, radius, distance = rows[row]
        right, beyond = truth == said, radius / 4 > EPS
        answers = {
            "all": True, "wrong": not right, "correct": right, "certified": right and beyond,
            "uncertified": right and not beyond, "attacked": distance != float("inf"), "broken": distance / 4 <= EPS,
        }  # fmt: skip
        return answers[keep] and (label is None or truth == label)

    def key(row) -> float:
        truth, said, radius, distance = rows[row]
        gap = float("inf") if radius == 0 or truth != said else distance / radius
        return {"radius": radius if truth == said else -1, "distance": distance, "gap": gap, "index": row}[sort]

    assert sorted(chosen) == [row for row in range(len(rows)) if passes(row)]
    keys = [key(row) for row in chosen]
    known = [one for one in keys if one != float("inf")]
    assert keys[: len(known)] == sorted(known, reverse=reverse)  # what has no number comes last, also in reverse
    for (x, row), (y, after) in zip(
        zip(keys, chosen, strict=True), list(zip(keys, chosen, strict=True))[1:], strict=False
    ):
        assert x != y or row < after


def test_which_images_were_attacked_is_what_the_results_say():
    inf = float("inf")
    plain = results([0] * 4, [0] * 4, [1] * 4, [0.5, inf, inf, inf])
    assert plain.attacked.tolist() == [True, False, False, False]
    told = replace(plain, attack={"attacked": [[0, 11], [30, 31]]})
    assert told.attacked.tolist() == [True, True, False, True]
    for damaged in ("no", [["a", 3], [1], None, {}], [[1, 2, 3]]):
        assert replace(plain, attack={"attacked": damaged}).attacked.sum() == 1
    assert results([0], [0], [1]).attacked.tolist() == [False]


def test_filters_and_orders_of_an_attack_are_offered_after_one():
    assert "attacked" not in offered(KEEPS, results([0], [0], [1]))
    assert "gap" not in offered(SORTS, results([0], [0], [1]))
    assert offered(KEEPS, results([0], [0], [1], [2])) == list(KEEPS)


@always(distance=st.floats(0, 10))
def test_a_distance_is_never_rounded_down(distance):
    assert Decimal(distance_text(distance)) >= Decimal(distance)


def facts(certificates, row=0, found=None) -> dict[str, str]:
    return dict(image_facts(certificates, row, EPS, certificates.classes, found))


def test_what_is_said_of_an_image_names_bounds_and_upper_bounds():
    told = facts(results([0], [1], [0.25679], [0.25671]))
    assert told["predicted"] == "d[red]og (WRONG)"
    assert told["radius"] == "none; stays wrong within 0.2567 proved by your own run"
    claimed = facts(results([0], [1], [0.25679], [0.25671], standing="claimed"))
    assert claimed["radius"] == "none; stays wrong within 0.2567 claimed by somebody else"
    assert claimed["attack"].startswith("claimed: class changes at 0.2568, INSIDE THE CLAIMED DISTANCE")
    assert told["at 1/2"] == "WRONG"
    assert "class changes at 0.2568, INSIDE THE CERTIFIED DISTANCE; its pixels are not kept" in told["attack"]
    right = facts(results([0], [0], [0.25679], [0.25671]))
    assert right["radius"] == "≥ 0.2567 proved by your own run"
    assert "INSIDE THE CERTIFIED RADIUS" in right["attack"]
    kept = facts(results([0], [0], [0.2], [0.3]), found=Adversarial(np.zeros((3, 2, 2), np.float32), 1, 0.3))
    assert kept["attack"] == "becomes d[red]og at 0.3000; pixels kept"
    other = Adversarial(np.zeros((3, 2, 2), np.float32), 1, 0.4, nearest=False)
    kept = facts(results([0], [0], [0.2], [0.3]), found=other)
    assert kept["attack"] == "class changes at 0.3000; pixels kept of one at 0.4001: becomes d[red]og"
    claimed = facts(
        results([0], [0], [0.2], [0.3]), found=Adversarial(np.zeros((3, 2, 2), np.float32), 1, 0.3, claimed="unsigned")
    )
    assert claimed["pixels"] == "claimed by somebody else: unsigned"
    assert facts(results([0], [0], [0.9]))["at 1/2"] == "certified"
    assert facts(results([0], [0], [0.9], standing="claimed"))["at 1/2"] == "claimed"
    nothing = results([0, 0], [0, 0], [0.2, 0.2], [float("inf")] * 2, attack={"attacked": [[0, 1]]})
    assert facts(nothing)["attack"] == "attacked: no other class was found"
    assert facts(nothing, 1)["attack"] == "not attacked"


@always(
    logits=st.lists(st.integers(-5, 5), min_size=3, max_size=12),
    most=st.integers(1, 12),
    marks=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
)
def test_the_three_classes_that_matter_are_among_the_bars(logits, most, marks):
    certificates = replace(results([marks[2]], [marks[0]], [1]), runner_up=np.array([marks[1]]))
    rows = logit_rows(np.array(logits, float), certificates, 0, most)
    assert len(rows) == min(most, len(logits))
    values = [value for _, value, _ in rows]
    assert values == sorted(values, reverse=True)
    assert all(value == logits[number] for number, value, _ in rows)
    letters = {letter: number for number, _, text in rows for letter in text}
    if most >= 3:
        assert letters == {"P": marks[0], "R": marks[1], "L": marks[2]}


def test_the_sheet_has_the_list_as_shown():
    certificates = results([0, 1, 0], [0, 0, 0], [0.9, 0.1, 0.2], [1.0, float("inf"), 0.3])
    choice = Choice(sort="radius", eps=EPS)
    sheet = images_sheet(certificates, arranged(certificates, choice), choice, certificates.classes)
    assert [row["image"] for row in sheet.rows] == [10, 20, 0]
    assert [row["radius (proved lower bound)"] for row in sheet.rows] == [0.1, 0.2, 0.9]
    assert [row["at_eps"] for row in sheet.rows] == ["WRONG", "uncertified", "certified"]
    assert [row["attack distance (upper bound)"] for row in sheet.rows] == [None, 0.3, 1.0]
    assert sheet.facts["order"] == "smallest radius first"
    claimed = images_sheet(replace(certificates, standing="claimed"), np.arange(3), choice, certificates.classes)
    assert [name for name in sheet.columns if name not in claimed.columns] == ["radius (proved lower bound)"]
    assert claimed.columns[5] == "radius (claimed)"


@pytest.mark.parametrize("n", [10_000])
def test_ten_thousand_images_are_sorted_within_a_key_press(n):
    import time

    rng = np.random.default_rng(0)
    certificates = results(rng.integers(0, 5, n), rng.integers(0, 5, n), rng.random(n), rng.random(n))
    started = time.process_time()
    for sort in SORTS:
        arranged(certificates, Choice(sort=sort))
    assert (time.process_time() - started) / len(SORTS) < 0.05
