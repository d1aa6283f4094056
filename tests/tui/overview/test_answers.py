from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lipscope.analysis.tensors import analyse_tensor
from lipscope.files.checkpoint import read_header
from lipscope.records import Arrow, Bound, Chain, GradientNorms, LayerReport, Scope, Verdict, allowed
from lipscope.tui.overview.answers import answer, bound_strip, chain, gradient_strip, places_line, short, warnings
from lipscope.tui.panes import Goto
from lipscope.tui.work.state import Phase, Results, State
from tests.always import always
from tests.tui.conftest import write_radii


@pytest.fixture
def state(model):
    layers = {
        "norm": LayerReport("norm", "n", None, None, Bound(3.98884, "by hand"), role="normalisation"),
        "good": LayerReport("good", "conv", None, None, Bound(1.0, "by hand")),
        "bad": LayerReport("bad", "conv", None, None, Bound(332.0, "by hand")),
    }
    body = Arrow(Scope("normalised", "features"), Bound(332.0, "product"), 2)
    before = Arrow(Scope("pixels", "normalised"), Bound(3.98884, "by hand"), 1)
    whole = Arrow(Scope("pixels", "features"), Bound(1324.3, "product"), 3)
    verdict = Verdict("bounded", 332.0, "bad", layer="bad", scope=body.scope)
    return State(read_header(model), Phase.DONE, layers, verdict, Chain((before, body), body, whole))


def test_a_large_constant_is_no_yes_and_the_row_is_named(state):
    said = answer(state)
    assert said.status == "bounded"
    assert "YES" not in said.words
    assert "332" in said.words
    assert "moves the features by at most 332" in said.sentence
    assert ("bad", "layers") in [
        (goto.to, goto.screen) for _, goto in warnings(state) if isinstance(goto, Goto)
    ]  # fmt: skip
    bars, words = bound_strip(state, 10)
    assert words == "1 of 2 above 1 or not proved"
    assert bars[0][1] != bars[1][1]


def test_one_bad_layer_of_many_is_in_the_strip_of_fewer_cells(state):
    good = LayerReport(
        "", "conv", None, None, Bound(1.0, "by hand"), gradient_norm=GradientNorms(*[1.0] * 5, "4 images", "margin")
    )
    bad = replace(good, bound=Bound(2.0, "by hand"), gradient_norm=GradientNorms(*[0.5] * 5, "4 images", "margin"))
    state = replace(state, layers={str(k): bad if k == 17 else good for k in range(40)})
    for strip in (bound_strip, gradient_strip):
        bars, _ = strip(state, 10)
        assert [style for _, style in bars] == ["$text-success"] * 4 + ["$text-warning"] + ["$text-success"] * 5


def test_what_is_kept_of_a_gradient_is_told_against_the_bound(state):
    """A layer of bound 332 that passes back 1 loses nearly everything, however good 1 is elsewhere."""
    norms = GradientNorms(1.0, 1.0, 1.0, 1.0, 1.0, "16 images")
    layers = {name: replace(report, gradient_norm=norms) for name, report in state.layers.items()}
    bars, said = gradient_strip(replace(state, layers=layers), 10)
    assert bars == [("█", "$text-success"), ("▁", "$text-warning")]
    assert said == "~0.00 in bad"


def test_the_chain_names_every_place_once(state):
    assert chain(state) == [("pixels", "● 3.99"), ("normalised", "● 332.00 (2 layers)"), ("features", "")]
    for width in range(30, 120, 7):
        assert len(places_line(chain(state), width)) <= width


def test_nan_is_a_warning(state):
    broken = LayerReport("nan", "conv", None, None, Bound(float("nan"), "by hand"))
    found = warnings(replace(state, layers={**state.layers, "nan": broken}))
    assert any("nan holds numbers that are not finite" in text for text, _ in found)


def test_what_keeps_a_network_from_being_proved_is_a_warning(state):
    unknown = Verdict("not-proved", None, "the file does not say how its tensors are connected")
    assert unknown.reason in [text for text, _ in warnings(replace(state, verdict=unknown))]


@pytest.mark.parametrize("name", ["fc.weight", "fc.bias"])
def test_a_file_from_elsewhere_with_nan_is_a_warning(tmp_path, name):
    tensors = {"fc.weight": np.ones((4, 4), np.float32), "fc.bias": np.ones(4, np.float32)}
    tensors[name].flat[2] = np.nan
    save_file(tensors, tmp_path / "m.safetensors")
    header = read_header(tmp_path / "m.safetensors")
    layers = {info.name: analyse_tensor(header, info) for info in header.tensors}
    state = State(header, Phase.DONE, layers)
    assert [text for text, _ in warnings(state)] == [f"{name} holds numbers that are not finite"]


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        ("proved", ["an attack came INSIDE 3 certified radii"]),
        (
            "claimed",
            [
                "the radii are claimed by somebody else, not proved here",
                "a claimed attack came INSIDE 3 claimed radii",
            ],
        ),
    ],
)
def test_attacks_inside_radii_are_told_as_what_they_are(model, state, standing, said):
    certificates = write_radii(model, n=20)
    distance = certificates.radius + 1e-9
    distance[:3] = certificates.radius[:3] / 2
    certificates = replace(certificates, standing=standing, attack_distance=distance)
    state = replace(state, layers={}, verdict=None, results=Results(reading=False, certificates=certificates))
    assert warnings(state) == [(text, Goto("radii")) for text in said]


def test_one_is_a_yes(state):
    verdict = Verdict("proved", 1.0, "why", scope=Scope("normalised", "features"))
    said = answer(replace(state, verdict=verdict))
    assert said.words == "YES, PROVED   L ≤ 1"
    assert said.sentence == "a change of 1 in the normalised pixels moves the features by at most 1"


def test_a_file_that_is_gone_has_no_verdict(state):
    assert answer(State(state.header, Phase.FAILED)).status == "pending"


@always(value=st.floats(1e-300, 1e300))
def test_a_bound_is_never_printed_smaller_than_it_is_but_for_1(value):
    if not 0.995 <= value <= allowed(1):
        assert Decimal(short(value)) >= Decimal(value)
