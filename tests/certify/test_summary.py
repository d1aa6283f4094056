from __future__ import annotations

import json
from fractions import Fraction

import pytest
import torch

from lipscope.certify.summary import per_image, summary
from lipscope.units import parse_eps
from tests.test_results import some_certificates

EPS = [parse_eps(text) for text in ("36/255", "0.5", "1/3")]


def test_every_number_by_hand() -> None:
    """Five images; the third is misclassified with a large radius, which counts nowhere."""
    certificates = some_certificates([0.1, 0.5, 2.0, 0.2, 0.0], correct=[True, True, False, True, True])
    found = summary(certificates, "runs/a/model.safetensors", EPS)
    assert found["schema"] == "lipscope.certify/1"
    assert found["model"] == {"path": "runs/a/model.safetensors", "sha256": "m" * 64, "architecture": "lipconvnet"}
    assert found["data"] == {"name": "synthetic", "split": "test", "n": 5, "fingerprint": "f"}
    assert found["lipschitz"] == {"value": 4.0, "proved": True}
    assert found["kind"] == "real-arithmetic"
    assert found["clean"] == {"count": 4, "rate": 0.8}
    assert found["certified"] == [
        {"eps": "36/255", "count": 2, "rate": 0.4},
        {"eps": "1/2", "count": 0, "rate": 0.0},
        {"eps": "85/255", "count": 1, "rate": 0.2},
    ]
    assert found["average_certified_radius"] == pytest.approx(0.8 / 5)
    assert found["mean_radius_of_correct"] == pytest.approx(0.8 / 4)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_nobody_right() -> None:
    certificates = some_certificates([0.1, 0.5], correct=[False, False])
    found = summary(certificates, "m", [Fraction(0)])
    assert found["clean"] == {"count": 0, "rate": 0.0}
    assert found["certified"] == [{"eps": "0/255", "count": 0, "rate": 0.0}]
    assert found["average_certified_radius"] == found["mean_radius_of_correct"] == 0.0
    json.dumps(found, allow_nan=False)


def test_no_eps() -> None:
    assert summary(some_certificates([0.1], correct=[True]), "m", [])["certified"] == []


def test_per_image_rows() -> None:
    certificates = some_certificates([0.1, 0.5], correct=[True, False])
    rows = per_image(certificates, None)
    assert rows == [
        {"index": 10, "label": 0, "predicted": 0, "runner_up": 2, "radius": 0.1},
        {"index": 11, "label": 0, "predicted": 1, "runner_up": 2, "radius": 0.5},
    ]
    logits = torch.tensor([[1.0, 0.5, 0.25], [0.0, 1.0, 0.5]])
    assert [row["logits"] for row in per_image(certificates, logits)] == logits.tolist()
    json.dumps(per_image(certificates, logits))
    assert per_image(certificates, None) == rows


def test_per_image_refuses_logits_of_other_images() -> None:
    with pytest.raises(ValueError, match="zip"):
        per_image(some_certificates([0.1, 0.5], correct=[True, True]), torch.zeros(3, 3))
