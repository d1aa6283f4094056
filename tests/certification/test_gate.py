from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from lipscope.certification.gate import Requirement, held, parse_requirement
from lipscope.errors import UsageError
from tests.always import always
from tests.files.test_results import some_certificates


@pytest.mark.parametrize(
    ("text", "rate"),
    [("0.6@36/255", "3/5"), ("60%@36/255", "3/5"), ("3/5@36/255", "3/5"), (" 62.96 % @36/255", ".6296")],
)
def test_a_rate_at_a_radius(text: str, rate: str) -> None:
    assert parse_requirement(text) == Requirement(Fraction(rate), Fraction(36, 255))


@pytest.mark.parametrize(
    "text",
    ["", "@", "0.6", "0.6@", "@0", "x@0", "2@0", "-1@0", "101%@0", "nan@0", "inf@0", "1e-999999999@0", "1/0@0",
     "0.5@abc", "0.5@-1", "0.5@1/0", "0.5@0@0", "0." + "1" * 5000 + "@0"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_requirement(text)


@always(
    right=st.lists(st.booleans(), min_size=1, max_size=60),
    rate=st.fractions(0, 1, max_denominator=10**6),
)
def test_it_is_met_exactly_when_the_share_reaches_it(right: list[bool], rate: Fraction) -> None:
    n, found = len(right), held(Requirement(rate, Fraction(1, 4)), some_certificates([0.5] * len(right), right))
    assert found.met == (Fraction(sum(right), n) >= rate)
    if not found.met:
        assert Fraction(found.count + found.missing, n) >= rate > Fraction(found.count + found.missing - 1, n)


def test_by_how_much_it_was_missed() -> None:
    found = held(parse_requirement("0.9@36/255"), some_certificates([0.5, 0.1, 0.5, 0.5], [True] * 4))
    assert found.to_json() == {"eps": "36/255", "required": "9/10", "count": 3, "met": False, "missing": 1}
    assert str(found) == (
        "certified accuracy at 36/255 is 3 of 4, 15 points below the 90% asked for: 1 more image needed"
    )


@pytest.mark.parametrize("standing", ["claimed", "estimate"])
def test_claims_and_estimates_pass_no_gate(standing: Any) -> None:
    certificates = replace(some_certificates([0.5], [True]), standing=standing)
    with pytest.raises(UsageError, match="needs proved radii"):
        held(parse_requirement("0@0"), certificates)
    assert held(parse_requirement("1@0"), replace(certificates, standing="own")).met


def test_a_gate_needs_labels() -> None:
    certificates = replace(some_certificates([0.5], [True]), label=np.array([-1]))
    with pytest.raises(UsageError, match="needs labels"):
        held(parse_requirement("0@0"), certificates)
