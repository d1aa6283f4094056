from __future__ import annotations

import math
from fractions import Fraction

import pytest

from lipscope.analysis.verdict import verdict
from lipscope.records import Bound, LayerReport, Scope, Verdict


def layer(name, value, role="body", reason=None):
    bound = Bound(value, "by hand") if reason is None else Bound.unproved(reason)
    return LayerReport(name, "kind", (3, 4, 4), (3, 4, 4), bound, role)


NORMALIZE, HEAD = layer("normalize", 3.99, "normalisation"), layer("head", 1.4, "head")
ONES = [layer("a", 1.0), layer("b", 1.0)]

CASES = [
    ("nothing", [], [], "not-proved", None, "how its tensors are connected"),
    ("no body", [NORMALIZE], [], "not-proved", None, "how its tensors are connected"),
    ("tensors", [layer("w", 1.0, "tensor")], [], "not-proved", None, "how its tensors are connected"),
    ("ones", [NORMALIZE, *ONES, HEAD], [], "proved", 1.0, "product of 2 layers"),
    ("one layer", ONES[:1], [("a", 1.0)], "proved", 1.0, "product of 1 layer"),
    ("rounding", [*ONES, layer("c", 1 + 1e-9)], [("a", 1 + 1e-9)], "proved", 1 + 1e-9, "product of 3 layers"),
    ("over 1", [layer("a", 1.1), layer("b", 1.2)], [], "bounded", 1.32, "the largest is b with 1.2"),
    ("less than 1", [layer("a", 0.5), layer("b", 0.5)], [], "proved", 0.25, "product of 2 layers"),
    ("no bound", [layer("a", 1.0), layer("b", 0, reason="no rule")], [], "not-proved", None, "layer b: no rule"),
    ("first without", [layer("a", 0, reason="x"), layer("b", 0, reason="y")], [], "not-proved", None, "layer a: x"),
    ("infinite", [layer("a", 1.0), layer("b", math.inf)], [], "not-proved", None, "layer b: its bound overflows"),
    ("product too large", [layer("a", 1e200), layer("b", 1e201)], [], "not-proved", None, "layer b: its bound"),
    (
        "witness",
        [layer("a", 1.5), layer("b", 1.0)],
        [("a", 1.25)],
        "violated",
        1.25,
        "gives 1.25; L <= 1.5 is",
    ),
    (
        "first witness",
        ONES,
        [("a", 1.0), ("b", 1.5), ("a", 2.0)],
        "violated",
        1.5,
        "1.5; L <= 1 is proved from",
    ),
    ("witness against no bound", [layer("a", 0, reason="x")], [("a", 2.0)], "violated", 2.0, "a vector gives 2"),
    ("below the tolerance", ONES, [("a", 1 + 9e-10)], "proved", 1.0, "product of 2 layers"),
    ("above the tolerance", ONES, [("a", 1 + 1.1e-9)], "violated", 1 + 1.1e-9, "gives 1.0000000011"),
    ("head without bound", [*ONES, layer("head", 0, "head", "x")], [], "proved", 1.0, "product of 2 layers"),
]


@pytest.mark.parametrize(("layers", "gains", "status", "lipschitz", "said"), [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])  # fmt: skip
def test_verdict(layers, gains, status, lipschitz, said):
    judged = verdict(layers, gains)
    assert judged.status == status
    assert judged.lipschitz == (None if lipschitz is None else pytest.approx(lipschitz, rel=1e-12))
    assert said in judged.reason
    words = {"proved": "PROVED", "bounded": "BOUNDED", "violated": "VIOLATED", "not-proved": "NOT PROVED"}
    assert judged.headline.startswith(words[status])


def test_the_product_is_rounded_up():
    values = [1 + 1e-16 * k for k in range(50)] + [1.1, 1.3, 1.7]
    judged = verdict([layer(str(k), value) for k, value in enumerate(values)])
    assert judged.lipschitz >= math.prod(values) * (1 - 1e-15)
    assert Fraction(judged.lipschitz) >= math.prod(map(Fraction, values), start=Fraction(1))


BODY = Scope("normalised", "features")


@pytest.mark.parametrize(
    ("judged", "headline"),
    [
        (Verdict("proved", 1.0, "why", scope=BODY), f"PROVED 1-Lipschitz (L <= 1) {BODY} (why)"),
        (Verdict("proved", 1 + 2**-30, "why"), "PROVED 1-Lipschitz (L <= 1.000000001) (why)"),
        (
            Verdict("proved", 1.0, "why", searching=True),
            "PROVED 1-Lipschitz (L <= 1) (why; a violation is still searched for)",
        ),
        (Verdict("bounded", 1 + 2**-20, "why"), "BOUNDED: L <= 1.0000009537 is proved, 1-Lipschitz is not (why)"),
        (
            Verdict("bounded", 332.0, "why", scope=Scope("input", "output")),
            "BOUNDED: L <= 332 is proved from input to output, 1-Lipschitz is not (why)",
        ),
        (Verdict("violated", 1.2, "why", scope=BODY), f"VIOLATED: not 1-Lipschitz {BODY} (why)"),
        (Verdict("violated", 1.2, "why", "a", BODY), "VIOLATED: layer a is not 1-Lipschitz (why)"),
        (Verdict("not-proved", None, "why"), "NOT PROVED (why)"),
    ],
)  # fmt: skip
def test_headlines(judged, headline):
    assert judged.headline == headline
    assert judged.to_json()["headline"] == headline


@pytest.mark.parametrize(
    ("layers", "gain", "status", "said"),
    [
        ([layer("a", 3.0), layer("b", 2.0)], 1.5, "violated", "a pair of inputs gives 1.5; L <= 6.0000000001"),
        ([layer("a", 3.0), layer("b", 0.25)], 0.7, "proved", "product of 2 layers"),
        ([layer("a", 3.0)], 1 + 9e-10, "bounded", "the largest is a with 3"),
        ([layer("a", 3.0)], 1 + 2e-9, "violated", "a pair of inputs gives 1.00000000"),
        ([layer("a", 0, reason="no rule"), layer("b", 0.1)], 3.5, "violated", "a pair of inputs gives 3.5"),
        ([layer("a", 3.0)], None, "bounded", "the largest is a with 3"),
        ([layer("a", 0, reason="no rule")], 0.9, "not-proved", "layer a: no rule"),
        ([layer("a", 1.0), layer("inside", 9.0, "part")], 0.9, "proved", "product of 1 layer"),
    ],
)
def test_a_pair_of_inputs_of_the_whole_network(layers, gain, status, said):
    found = verdict(layers, network_gain=gain)
    assert found.status == status
    assert said in found.reason
    assert found.layer is None or found.status == "not-proved"
    if status == "violated":
        assert found.lipschitz == gain


def test_a_search_that_still_runs_is_said_only_where_it_may_change_the_answer():
    assert verdict(ONES, searching=True).searching
    assert not verdict(ONES).searching
    assert not verdict(ONES, [("a", 2.0)], searching=True).searching


@pytest.mark.parametrize(
    ("layers", "scope"),
    [
        ([NORMALIZE, *ONES, HEAD], Scope("normalised", "features")),
        ([*ONES, HEAD], Scope("input", "features")),
        ([NORMALIZE, *ONES], Scope("normalised", "output")),
        (ONES, Scope("input", "output")),
        ([NORMALIZE, HEAD], Scope("normalised", "logits")),
        ([NORMALIZE], None),
    ],
)
def test_the_part_that_it_speaks_of(layers, scope):
    assert verdict(layers).scope == scope
    assert verdict(layers).to_json()["scope"] == (scope and {"from": scope.start, "to": scope.end})


def test_the_layer_that_decides_is_named_for_programs():
    assert verdict(ONES, [("b", 1.5)]).layer == "b"
    assert verdict([layer("a", 0, reason="x")]).layer == "a"
    assert verdict(ONES).layer is None
