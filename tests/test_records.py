from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields
from decimal import Decimal

import pytest
from hypothesis import strategies as st

from lipscope.records import (
    VERDICT_TOLERANCE,
    AnalysisEvent,
    Bound,
    Estimate,
    GradientNorms,
    InspectReport,
    LayerReport,
    RunEvent,
    Spectrum,
    Verdict,
    round_down,
    round_up,
)
from tests.always import always


@always(value=st.one_of(st.floats(0, allow_nan=False, allow_infinity=False), st.floats(0.9, 1.1)))
def test_a_printed_bound_is_never_below_the_bound(value: float) -> None:
    printed = Decimal(round_up(value))
    assert printed >= Decimal(value)
    assert printed <= Decimal(value) * (1 + Decimal("1e-8")) + Decimal("1e-10")


@always(value=st.one_of(st.floats(0, allow_nan=False, allow_infinity=False), st.floats(0.9, 1.1)))
def test_a_printed_lower_bound_is_never_above_the_bound(value: float) -> None:
    printed = Decimal(round_down(value))
    assert printed <= Decimal(value)
    assert printed >= Decimal(value) * (1 - Decimal("1e-8")) - Decimal("1e-10")


def test_printed_bounds_by_hand() -> None:
    assert round_up(1.0) == "1"
    assert round_up(3.9888312724) == "3.9888312725"
    assert round_up(1e-300) == "0.0000000001"
    assert round_up(123456789.0) == "123456789"
    assert round_up(math.inf) == "Infinity"


@pytest.mark.parametrize("value", [1.0, 1 + 1e-9, 1 + VERDICT_TOLERANCE])
def test_rounding_of_the_bounds_is_still_1_lipschitz(value: float) -> None:
    assert Verdict("proved", value, "why").headline.startswith("PROVED 1-Lipschitz (L <= 1")


def report(bound: Bound) -> LayerReport:
    return LayerReport(
        "stage1.conv", "SOC 3x3", (3, 4, 4), (6, 2, 2), bound,
        sigma_max=Estimate(1.0, "Lanczos", 20, 1e-9), sigma_min=Estimate(0.5, "Lanczos"),
        spectrum=Spectrum((1.0, 0.9995, 0.5), (2.0, 1.0, 1.0), 4, "by hand", True),
        gradient_norm=GradientNorms(0.99, 0.9, 1.0, 0.95, 1.0, "64 images"), notes=("a note",),
    )  # fmt: skip


@pytest.mark.parametrize(
    "bound",
    [Bound(1.5, "by hand"), Bound.unproved("no rule"), Bound(math.inf, "it overflowed")],
    ids=lambda b: b.method,
)
def test_reports_are_valid_json_whatever_the_bound(bound: Bound) -> None:
    verdict = Verdict("not-proved", None, "why")
    whole = InspectReport("m", "s", None, {"format": "pt"}, verdict, (report(bound),), {"torch": "2"})
    found = json.loads(json.dumps(whole.to_json(), allow_nan=False))
    assert found["schema"] == "lipscope.inspect/1"
    assert found["verdict"]["status"] == "not-proved"
    (layer,) = found["layers"]
    assert layer["bound"]["value"] == (1.5 if bound.method == "by hand" else None)
    assert layer["bound"]["proved"] == bound.proved
    assert layer["bound"]["method"]
    assert layer["input_shape"] == [3, 4, 4]
    assert layer["bound"]["label"] == ("proved upper bound" if bound.method == "by hand" else "not proved")
    assert layer["bound"]["rounded_outward"] is bound.proved
    assert layer["sigma_max"] == {
        "value": 1.0, "method": "Lanczos", "iterations": 20, "residual": 1e-9, "label": "estimate"
    }  # fmt: skip
    assert {"mean", "min", "max"} <= set(layer["gradient_norm"])
    spectrum = layer["spectrum"]
    assert (spectrum["share_near_one"], spectrum["share_tolerance"], spectrum["label"]) == (0.75, 1e-3, "estimate")
    assert spectrum["stable_rank"] == pytest.approx(2 + 0.9995**2 + 0.25)
    assert (spectrum["condition_number"], spectrum["proved_range"]) == (2.0, None)


def test_an_empty_report_is_valid_json() -> None:
    bare = LayerReport("a", "matrix", None, None, Bound.unproved("not yet"))
    assert json.loads(json.dumps(bare.to_json()))["spectrum"] is None


def test_unproved_bounds_are_infinite_and_say_why() -> None:
    bound = Bound.unproved("no rule")
    assert bound.value == math.inf
    assert (bound.proved, bound.reason) == (False, "no rule")


def test_the_share_at_one_uses_the_weights() -> None:
    spectrum = Spectrum((1.01, 1.0, 0.99), (1.0, 1.0, 2.0), 4, "by hand", False)
    assert spectrum.at_one == 0.25


def test_a_spectrum_that_loses_directions() -> None:
    spectrum = Spectrum((2.0, 0.0), (1.0, 1.0), 2, "by hand", True, proved_range=(0.0, 2.0))
    assert (spectrum.stable_rank, spectrum.condition_number, spectrum.orthogonal) == (1.0, math.inf, False)
    found = json.loads(json.dumps(spectrum.to_json(), allow_nan=False))
    assert found["condition_number"] is None
    assert (found["proved_range"]["lower"], found["proved_range"]["upper"]) == (0.0, 2.0)
    assert "proved" in found["proved_range"]["label"]
    assert Spectrum((0.0,), (3.0,), 3, "by hand", False).stable_rank == 0.0
    assert Spectrum((1e200,) * 2, (1.0,) * 2, 2, "by hand", True).stable_rank == 2.0
    assert Spectrum((1.0, 0.9995), (1.0, 1.0), 2, "by hand", True).orthogonal


def test_arithmetic_in_words() -> None:
    assert Bound(1.5, "m").arithmetic == "float64, rounded outward"
    assert Bound.exactly(1.0, "m").arithmetic == "exact"
    assert not Bound.exactly(1.0, "m").rounded_outward
    assert Bound(0.5, "m", direction="lower").label == "proved lower bound"


def test_a_line_of_metrics() -> None:
    event = RunEvent(1, 2, 3, 0.5, 0.6, 0.4, None, None, 0.1, 900.0, 12.0)
    line = json.loads(json.dumps(event.to_json()))
    assert line["schema"] == "lipscope.run/1"
    assert set(line) == {"schema", *(field.name for field in fields(RunEvent))}
    assert line["validation_accuracy"] is None


@pytest.mark.parametrize("record", [Bound(1.0, "m"), Verdict("proved", 1.0, "r"), AnalysisEvent(0, 1, "x")])
def test_records_are_frozen(record: object) -> None:
    with pytest.raises(FrozenInstanceError):
        record.value = 2.0  # type: ignore[attr-defined]
