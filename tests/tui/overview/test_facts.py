import json
from dataclasses import replace
from pathlib import Path

import pytest

from lipscope.files.checkpoint import Header, read_header
from lipscope.records import Scope, Verdict
from lipscope.tui.overview.answers import answer, warnings
from lipscope.tui.overview.facts import claims, file_facts, recomputed, unknowable
from lipscope.tui.work.state import Phase, State
from tests.tui.conftest import VERDICT, bounds, measured, write_checkpoint


@pytest.fixture
def state(model) -> State:
    reports = {report.name: measured(report, i) for i, report in enumerate(bounds())}
    return State(read_header(model), phase=Phase.DONE, layers=reports, verdict=VERDICT)


def test_claims_of_a_checkpoint(state):
    facts = dict(claims(state.header))
    assert facts["architecture"] == "lipconvnet"
    assert facts["data set"] == "cifar10"
    assert facts["input std"] == "0.2507, 0.2507, 0.2507"
    assert facts["wall time"] == "10 min"
    assert "gamma 0.1" in facts["recipe"]
    assert facts["written by"].startswith("lipscope ")


def test_claims_are_harmless_few_and_short():
    metadata = {f"key\x1b{i}": "[bold]\x1b]0;title\x07" * 10_000 for i in range(1000)}
    facts = claims(Header(Path("a"), 10, (), metadata))
    assert len(facts) == 41
    assert facts[-1] == ("and more", "960 further")
    assert all(label.isprintable() and value.isprintable() and len(value) <= 400 for label, value in facts)


def test_a_file_without_metadata_claims_nothing():
    assert claims(Header(Path("a"), 10, ())) == [("metadata", "none: the file claims nothing")]


@pytest.mark.parametrize("training", ["not JSON", "[1]"])
def test_unreadable_training_is_said_not_raised(tmp_path, training):
    header = read_header(write_checkpoint(tmp_path / "a.safetensors"))
    damaged = replace(header, metadata={**header.metadata, "lipscope.training": training})
    assert "JSON" in dict(claims(damaged))["training"]


def test_what_a_recipe_leaves_open_is_not_listed():
    recipe = {"gamma": 0.1, "end_gamma": None, "extra": "", "seed": 0}
    header = Header(Path("a"), 1, (), {"lipscope.training": json.dumps({"recipe": recipe})}, {"architecture": "a"})
    assert dict(claims(header))["recipe"] == "gamma 0.1, seed 0"


def test_odd_values_in_the_training_are_shown():
    header = Header(
        Path("a"), 1, (),
        {"lipscope.training": json.dumps({"wall_seconds": "long", "recipe": [1], "x": None, "nan": float("nan")})},
        {"architecture": {"deep": [[1]]}},
    )  # fmt: skip
    facts = dict(claims(header))
    assert facts["wall_seconds"] == "long"
    assert facts["recipe"] == "1"
    assert facts["x"] == "null"
    assert facts["nan"] == "nan"
    assert facts["architecture"] == '{"deep": [[1]]}'


def test_file_facts(state):
    facts = dict(file_facts(state))
    assert facts["parameters"] == f"{state.header.parameters:,} in 17 tensors"
    assert facts["stored as"] == "F32"
    assert facts["SHA-256"] == "being computed"
    assert dict(file_facts(replace(state, sha256="ab" * 32)))["SHA-256"].startswith("abab")


def test_recomputed_says_proved_or_estimate(state):
    facts = dict(recomputed(state))
    assert facts["bounds"] == "proved for 11 of 12 layers"
    assert facts["normalisation"] == "≤ 3.98884 (proved)"
    for label in ("σ max", "σ min", "gradient norm"):
        assert facts[label].endswith("(estimate)")
    # the head is not meant to preserve gradients, so it is not the layer that loses most
    assert "stage5.block1.activation" in facts["gradient norm"]


def test_recomputed_before_anything_is_known(state):
    early = replace(state, layers={}, verdict=None, phase=Phase.STARTING)
    assert "has begun" in recomputed(early)[0][1]
    assert "nothing" in recomputed(replace(early, phase=Phase.FAILED))[0][1]


def test_headline_of_a_proof(state):
    line = answer(state)
    assert line.status == "proved"
    assert line.text == "PROVED 1-Lipschitz (L ≤ 1.0000000004)"
    assert line.reason == VERDICT.reason


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_proof_without_a_finite_number_is_none(state, value):
    line = answer(replace(state, verdict=Verdict("proved", value, "of NaN")))
    assert (line.status, line.text) == ("not-proved", "NOT PROVED")
    assert "not a finite number" in line.reason


@pytest.mark.parametrize(
    ("verdict", "status", "text"),
    [
        (Verdict("bounded", 1.375, "r"), "bounded", "BOUNDED: L ≤ 1.375 is proved, 1-Lipschitz is not"),
        (Verdict("bounded", 2.0**100, "r"), "bounded", "BOUNDED: L ≤ 1.26766e30 is proved, 1-Lipschitz is not"),
        # Whoever says so: a constant above 1 is never shown as a success.
        (Verdict("proved", 1.375, "r"), "bounded", "BOUNDED: L ≤ 1.375 is proved, 1-Lipschitz is not"),
        (
            Verdict("proved", 1.0, "r", scope=Scope("normalised", "features")),
            "proved",
            "PROVED 1-Lipschitz (L ≤ 1) from normalised pixels to features",
        ),
        (
            Verdict("violated", 1.61, "r", "stage1.conv"),
            "violated",
            "VIOLATED: stage1.conv is not 1-Lipschitz (a ratio of 1.61 was found)",
        ),
        (Verdict("violated", 1.61, "r"), "violated", "VIOLATED: not 1-Lipschitz (a ratio of 1.61 was found)"),
        (Verdict("violated", None, "r"), "violated", "VIOLATED: not 1-Lipschitz"),
        (Verdict("not-proved", None, "r"), "not-proved", "NOT PROVED"),
    ],
)
def test_headlines(state, verdict, status, text):
    line = answer(replace(state, verdict=verdict))
    assert line.status == status
    assert line.text == text


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        (Phase.RUNNING, "PROVED 1-Lipschitz (L ≤ 1)"),
        (Phase.CANCELLED, "PROVED 1-Lipschitz (L ≤ 1)"),
        (Phase.FAILED, "NO VERDICT"),
        (Phase.DONE, "NO VERDICT"),
    ],
)
def test_what_is_proved_stays_where_the_user_cancels_but_not_where_the_analysis_fails(state, phase, text):
    line = answer(replace(state, verdict=Verdict("proved", 1.0, "r", searching=True), phase=phase))
    assert line.text == text
    if phase is Phase.CANCELLED:
        assert line.reason == "r"  # what is proved cannot be violated
    if phase is Phase.RUNNING:
        assert line.reason == "r; a violation is still searched for"


def test_what_was_cancelled_is_named(state):
    bounded = replace(state, verdict=Verdict("bounded", 3.0, "r", searching=True), phase=Phase.CANCELLED)
    assert answer(bounded).text == "BOUNDED: L ≤ 3 is proved, 1-Lipschitz is not"
    assert answer(bounded).reason == "r; cancelled before a violation was searched for"
    for doing, said in (
        ("gradient norms", "the analysis was cancelled before gradients and singular values were measured; r starts"),
        ("singular values of head", "cancelled before the singular values from head on were measured; r starts"),
        ("bound of head", "the analysis was cancelled; r starts"),
    ):
        assert said in warnings(replace(bounded, doing=doing))[-1][0]


@pytest.mark.parametrize(
    ("phase", "word"),
    [
        (Phase.STARTING, "CHECKING"),
        (Phase.RUNNING, "CHECKING"),
        (Phase.CANCELLED, "NO VERDICT"),
        (Phase.FAILED, "NO VERDICT"),
        (Phase.DONE, "NO VERDICT"),
    ],
)
def test_without_a_verdict_none_is_shown(state, phase, word):
    line = answer(replace(state, verdict=None, phase=phase))
    assert line.status == "pending"
    assert line.text.startswith(word)


def test_only_unknown_files_leave_something_open(state):
    assert unknowable(state) == ""
    other = replace(state, header=replace(state.header, config=None))
    assert "cannot be known" in unknowable(replace(other, layers={}))
    assert unknowable(other) == ""  # somebody described it: its layers are known
    assert ("model", f"{len(state.layers)} layers; the stored tensors fit the description") in recomputed(other)
