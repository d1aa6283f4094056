"""The verdict of `lipscope inspect`, and `--check`, which stands in for it in scripts."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.commands.inspecting import as_json, as_text, inspect
from tests.models_on_disk import alter, one_weight, scaled

pytestmark = pytest.mark.usefixtures("no_data", "sooner_lanczos")


BODY = "from normalised pixels to features"
VIOLATED = (
    r"VIOLATED: layer {0}\.block1\.conv is not 1-Lipschitz \(a vector gives {1}; "
    r"L <= [\d.E+]+ is proved from normalised pixels to features\)"
)


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        (
            {"tensors": scaled(1.5)},
            rf"PROVED 1-Lipschitz \(L <= 1\) {BODY} \(product of 11 layers\)",
        ),
        ({"tensors": scaled(3.0)}, VIOLATED.format("stage2", r"1\.0\d+")),
        ({"tensors": one_weight(1.5)}, VIOLATED.format("stage2", r"1\.0\d+")),
        ({"config": {"terms": 5}}, VIOLATED.format("stage1", r"1\.00\d+")),
        (
            {"tensors": scaled(1e30)},
            rf"NOT PROVED {BODY} \(layer stage2\.block1\.conv: its bound overflows float64\)",
        ),
        ({"tensors": scaled(100.0)}, VIOLATED.format("stage2", r"[\d.E+]+")),
    ],
)
def test_verdicts(tiny_model, capsys, change, headline):
    alter(tiny_model, **change)
    facts = as_json(capsys, tiny_model)
    assert re.fullmatch(headline, facts["verdict"]["headline"])
    text = as_text(capsys, tiny_model)
    assert f"verdict  {facts['verdict']['headline']}\n" in text
    # No column runs into the next one.
    assert max(map(len, text.splitlines())) < 200


@pytest.mark.parametrize(
    ("change", "options", "code"),
    [
        ({}, (), 0),
        ({"config": {"terms": 5}}, (), 5),
        ({"tensors": one_weight(1.01)}, (), 5),
        ({"tensors": one_weight(1.01)}, ("--max-lipschitz", "1e6"), 0),
        ({"tensors": one_weight(1.5)}, ("--max-lipschitz", "1e6"), 0),  # the verdict speaks of 1: VIOLATED
    ],
)
def test_the_check_that_stands_in_for_ci(tiny_model, capsys, change, options, code):
    alter(tiny_model, **change)
    assert inspect(tiny_model, "--check", *options) == code
    text = capsys.readouterr().out
    assert "verdict  " in text
    said = re.fullmatch(
        r"check    (passed|FAILED): L <= ([\d.e+]+) is proved from normalised pixels to features, the limit is "
        r"(1(?= \(up to 1\.000000001, for rounding\))|1000000)( \(.*\))?",
        text.splitlines()[-1],
    )
    assert said is not None
    assert said[1] == ("FAILED" if code else "passed")
    assert inspect(tiny_model, "--check", *options, "--json") == code
    facts = json.loads(capsys.readouterr().out)
    limit = float(said[3])
    assert facts["check"] == {
        "limit": limit, "allowed": limit if options else 1 + 1e-9, "proved": pytest.approx(float(said[2])),
        "within": code == 0, "scope": {"from": "normalised", "to": "features"},
    }  # fmt: skip
    layers = facts["layers"]
    product = math.prod(layer["bound"]["value"] for layer in layers if layer["role"] == "body")
    assert (product <= (float(options[1]) if options else 1.0) + 1e-6) is (code == 0)


def test_the_whole_is_more_than_the_body(tiny_model, capsys):
    """The pixels' normalisation and the head count, from numbers of the file's own tensors."""
    head = np.linalg.norm(load_file(tiny_model)["head.weight"].astype(np.float64), 2)
    assert inspect(tiny_model, "--check", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    arrows = [(arrow["from"], arrow["to"], arrow["layers"]) for arrow in facts["chain"]["arrows"]]
    assert arrows == [("pixels", "normalised", 1), ("normalised", "features", 11), ("features", "logits", 1)]
    constants = [arrow["bound"]["value"] for arrow in facts["chain"]["arrows"]]
    assert constants == pytest.approx([1 / 0.2507, 1.0, head], rel=1e-9)
    assert head <= constants[2]
    assert facts["chain"]["whole"]["bound"]["value"] == pytest.approx(head / 0.2507, rel=1e-9)
    assert facts["verdict"]["scope"] == {"from": "normalised", "to": "features"}
    assert inspect(tiny_model, "--check", "--whole", "--json") == 5
    answer = json.loads(capsys.readouterr().out)["check"]
    assert (answer["scope"], answer["within"]) == ({"from": "pixels", "to": "logits"}, False)
    assert answer["proved"] == facts["chain"]["whole"]["bound"]["value"]
    assert inspect(tiny_model, "--check", "--whole", "--max-lipschitz", repr(answer["proved"])) == 0
    text = capsys.readouterr().out
    assert re.search(r"^chain    pixels -> normalised +L <= 3\.98\d+$", text, re.M)
    assert re.search(r"^         features -> logits +L <= [\d.]+; a difference of two logits: <= [\d.]+$", text, re.M)
    assert re.search(r"^check    passed: L <= [\d.]+ is proved from pixels to logits, the limit is", text, re.M)


def test_a_check_of_a_net_without_a_proof(tiny_model, capsys):
    alter(tiny_model, tensors=scaled(1e30))
    assert inspect(tiny_model, "--check", "--max-lipschitz", "1.37") == 5
    assert capsys.readouterr().out.splitlines()[-1] == (
        "check    FAILED: no bound is proved from normalised pixels to features, the limit is 1.37"
    )


@pytest.mark.parametrize("limit", ["inf", "nan"])
def test_a_check_against_no_number_is_refused(tiny_model, capsys, limit):
    assert inspect(tiny_model, "--check", "--max-lipschitz", limit) == 2
    assert "needs a finite number" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--max-lipschitz", "2"), ("--whole",)])
def test_what_needs_a_check(tiny_model, capsys, option):
    assert inspect(tiny_model, *option) == 2
    assert f"{option[0]} needs --check" in capsys.readouterr().err
