from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import strategies as st

from lipscope.analysis.comparison import QUANTITIES, aligned, images_json, layers_json, objection, shared
from lipscope.records import Bound, Estimate, GradientNorms, LayerReport
from lipscope.records.certificates import Certificates
from tests.always import always


def layer(name: str, bound: float = 1.0, **changes) -> LayerReport:
    return replace(LayerReport(name, "SOC", (3, 4, 4), (3, 4, 4), Bound(bound, "by hand")), **changes)


def results(radius, *, correct=None, index=None, **changes) -> Certificates:
    n = len(radius)
    label = np.arange(n) % 3
    right = np.ones(n, bool) if correct is None else np.asarray(correct)
    predicted = np.where(right, label, (label + 1) % 3)
    made = Certificates(
        index=np.arange(n) if index is None else np.asarray(index), label=label, predicted=predicted,
        runner_up=(predicted + 1) % 3, radius=np.asarray(radius, float), margin=np.asarray(radius, float),
        standing="own", model_sha256="a" * 64, architecture="lipconvnet", data_name="cifar10",
        data_split="test", data_fingerprint="f" * 64, lipschitz=1.0,
    )  # fmt: skip
    return replace(made, **changes)


def names(pairs) -> list[str]:
    return [f"{'a' if pair.first else ''}{'b' if pair.second else ''}:{pair.name}" for pair in pairs]


def test_layers_meet_by_their_names_in_the_first_models_order():
    first = [layer("in"), layer("stage1"), layer("stage2"), layer("head")]
    second = [layer("before"), layer("in"), layer("stage1"), layer("extra1"), layer("extra2"), layer("head")]
    assert names(aligned(first, second)) == [
        "b:before", "ab:in", "ab:stage1", "b:extra1", "b:extra2", "a:stage2", "ab:head",
    ]  # fmt: skip
    assert names(aligned([], second)) == [f"b:{report.name}" for report in second]
    assert names(aligned(first, [])) == [f"a:{report.name}" for report in first]


@always(
    first=st.lists(st.sampled_from("abcdefgh"), unique=True), second=st.lists(st.sampled_from("abcdefgh"), unique=True)
)
def test_every_layer_stands_there_once(first, second):
    pairs = aligned([layer(name) for name in first], [layer(name) for name in second])
    assert sorted(pair.name for pair in pairs) == sorted(set(first) | set(second))
    assert [pair.name for pair in pairs if pair.first] == first
    places = [pair.name for pair in pairs]
    for before, name in itertools.pairwise(second):
        if name not in first:
            assert places.index(name) == places.index(before) + 1


def test_differences_are_second_minus_first_and_none_where_a_side_has_no_number():
    norms = GradientNorms(0.9, 0.8, 1.0, 0.85, 0.95, "by hand")
    a = layer("x", 1.0, sigma_max=Estimate(0.5, ""), gradient_norm=norms)
    b = layer("x", 1.5, sigma_max=Estimate(0.25, ""), sigma_min=Estimate(0.1, ""))
    (pair,) = aligned([a], [b])
    assert [quantity.difference(pair) for quantity in QUANTITIES] == [0.5, -0.25, None, None]
    unproved = replace(b, bound=Bound.unproved("no rule"))
    (pair,) = aligned([a], [unproved])
    assert QUANTITIES[0].difference(pair) is None
    (alone,) = layers_json(aligned([a], []))
    assert alone["b"] is None
    assert alone["b_minus_a"] == dict.fromkeys(("bound", "sigma_max", "sigma_min", "gradient_norm"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data_name": "cifar100"}, "different data sets: A 'cifar10', B 'cifar100'"),
        ({"data_split": "train"}, "different splits"),
        ({"data_fingerprint": "e" * 64}, "fingerprints differ"),
        ({"index": np.array([0, 1, 5])}, "of other numbers"),
        ({"label": np.array([0, 0, 0])}, "different labels"),
    ],
)
def test_what_cannot_be_compared_is_said_and_refused(changes, said):
    plain = results([0.1, 0.2, 0.3])
    other = replace(plain, **changes)
    assert said in objection(plain, other)
    with pytest.raises(ValueError, match=r"."):
        shared(plain, other)


def test_images_meet_by_their_numbers_whatever_their_order():
    a = results([0.1, 0.2, 0.3])
    order = np.array([2, 0, 1])
    b = replace(
        a, index=a.index[order], label=a.label[order], predicted=a.predicted[order],
        radius=np.array([0.9, 0.05, 0.5]),
    )  # fmt: skip
    assert objection(a, b) == ""
    common = shared(a, b)
    assert common.first.tolist() == [0.1, 0.2, 0.3]
    assert common.second.tolist() == [0.05, 0.5, 0.9]


@always(
    data=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=20
    ),
    eps=st.integers(0, 6),
)
def test_counts_are_those_of_a_loop(data, eps):
    a = results([r / 8 for r, _, _, _ in data], correct=[c for _, _, c, _ in data])
    b = results([r / 8 for _, r, _, _ in data], correct=[c for _, _, _, c in data])
    radius, common = Fraction(eps, 8), shared(a, b)
    sure_a = [c and r > eps for r, _, c, _ in data]
    sure_b = [c and r > eps for _, r, _, c in data]
    counts = common.counts(radius)
    assert counts.both == sum(x and y for x, y in zip(sure_a, sure_b, strict=True))
    assert counts.only_first == sum(x and not y for x, y in zip(sure_a, sure_b, strict=True))
    assert counts.only_second == sum(y and not x for x, y in zip(sure_a, sure_b, strict=True))
    assert counts.both + counts.only_first + counts.only_second + counts.neither == len(data)
    assert counts.both + counts.only_first == a.certified_count(radius)
    (row,) = images_json(common, [radius])
    assert row["images_only_a"] == [i for i, (x, y) in enumerate(zip(sure_a, sure_b, strict=True)) if x and not y]
    assert row["images_only_b"] == [i for i, (x, y) in enumerate(zip(sure_a, sure_b, strict=True)) if y and not x]
    either = common.only(radius, "either")
    assert sorted(either.tolist()) == sorted(row["images_only_a"] + row["images_only_b"])
    apart = np.abs(common.first - common.second)[either]
    assert (np.diff(apart) <= 0).all()
