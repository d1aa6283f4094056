"""The constants from end to end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from lipscope.analysis.chain import chain_of_reports
from lipscope.analysis.verdict import verdict
from lipscope.layers.heads import LastLayerNormalized, Outputs
from lipscope.records import Bound, LayerReport


def layer(name, value, role="body", reason=None):
    bound = Bound(value, "by hand") if reason is None else Bound.unproved(reason)
    return LayerReport(name, "kind", (3, 4, 4), (3, 4, 4), bound, role)


NORMALIZE, HEAD = layer("normalize", 3.99, "normalisation"), layer("head", 1.4, "head")
BODY = [layer("a", 1.1), layer("part", 9.0, "part"), layer("b", 0.7)]


def facts(chain):
    return [(arrow.scope.start, arrow.scope.end, arrow.layers, arrow.bound.value) for arrow in chain.arrows]


def test_every_arrow_and_the_whole():
    chain = chain_of_reports([NORMALIZE, *BODY, HEAD])
    assert [arrow[:3] for arrow in facts(chain)] == [
        ("pixels", "normalised", 1), ("normalised", "features", 2), ("features", "logits", 1),
    ]  # fmt: skip
    assert (chain.arrows[0].bound.value, chain.arrows[2].bound.value) == (3.99, 1.4)
    exact = math.prod(map(Fraction, (3.99, 1.1, 0.7, 1.4)), start=Fraction(1))
    assert exact <= Fraction(chain.whole.bound.value) <= exact * (1 + Fraction(1, 10**15))
    assert (chain.whole.scope.start, chain.whole.scope.end, chain.whole.layers) == ("pixels", "logits", 4)
    assert chain.body == chain.arrows[1]


@pytest.mark.parametrize(
    ("layers", "places"),
    [
        ([*BODY, HEAD], ["input", "features", "logits"]),
        ([NORMALIZE, *BODY], ["pixels", "normalised", "output"]),
        (BODY, ["input", "output"]),
    ],
)
def test_what_is_not_there_has_no_arrow(layers, places):
    chain = chain_of_reports(layers)
    assert [chain.arrows[0].scope.start, *(arrow.scope.end for arrow in chain.arrows)] == places
    assert (chain.whole.scope.start, chain.whole.scope.end) == (places[0], places[-1])


@pytest.mark.parametrize("before", [[], [replace(layer("flat", 1.0), kind="flatten")]])
def test_a_linear_layer_alone_is_the_body(before):
    """Or a head of norm 100 behind nothing would be called 1-Lipschitz up to its features."""
    chain = chain_of_reports([NORMALIZE, *before, HEAD])
    assert facts(chain)[1] == ("normalised", "logits", 1 + len(before), 1.4)
    assert verdict([NORMALIZE, *before, HEAD]).status == "bounded"
    assert "the largest is head" in verdict([NORMALIZE, *before, HEAD]).reason


def test_a_head_that_only_names_the_outputs_is_none():
    outputs = replace(HEAD, kind=Outputs.kind, bound=Bound.exactly(1.0, "identity"))
    chain = chain_of_reports([NORMALIZE, *BODY, outputs])
    assert [arrow.scope.end for arrow in chain.arrows] == ["normalised", "output"]


def test_no_body_is_no_chain():
    assert chain_of_reports([NORMALIZE]) is None
    assert chain_of_reports([layer("w", 1.0, "tensor")]) is None


def test_one_layer_without_a_bound_leaves_its_arrow_and_the_whole_without_one():
    chain = chain_of_reports([NORMALIZE, layer("a", 0, reason="no rule"), HEAD])
    assert [arrow.bound.proved for arrow in chain.arrows] == [True, False, True]
    assert chain.whole.bound.reason == "layer a: no rule"
    huge = chain_of_reports([NORMALIZE, layer("a", 1e200), layer("b", 1e201), HEAD])
    assert huge.whole.bound.reason == "layer b: its bound overflows float64"
    assert json.loads(json.dumps(huge.to_json(), allow_nan=False))["whole"]["bound"]["value"] is None


def test_the_pairs_of_a_head():
    head = LastLayerNormalized(2, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-0.6, -0.8]]))
    chain = chain_of_reports([*BODY, HEAD], head)
    assert chain.arrows[-1].pairs.value == pytest.approx(math.hypot(0.6, 1.8))
    assert chain.arrows[0].pairs is None
