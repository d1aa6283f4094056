from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lipscope.certification.rows import as_csv, per_image
from tests.files.test_results import some_certificates

PLAIN = [
    {"index": 10, "label": 0, "predicted": 0, "runner_up": 2, "margin": 0.2, "radius": 0.1},
    {"index": 11, "label": 0, "predicted": 1, "runner_up": 2, "margin": 1.0, "radius": 0.5},
]


def test_per_image_rows() -> None:
    certificates = some_certificates([0.1, 0.5], correct=[True, False])
    assert per_image(certificates) == PLAIN
    logits = torch.tensor([[1.0, 0.5, 0.25], [0.0, 1.0, 0.5]])
    assert [row["logits"] for row in per_image(certificates, logits)] == logits.tolist()
    json.dumps(per_image(certificates, logits))
    files = [f"{number}.png" for number in range(12)]
    assert [row["file"] for row in per_image(certificates, files=files)] == ["10.png", "11.png"]


def test_per_image_refuses_logits_of_other_images() -> None:
    with pytest.raises(ValueError, match="zip"):
        per_image(some_certificates([0.1, 0.5], correct=[True, True]), torch.zeros(3, 3))


def test_what_else_was_computed_and_no_infinity() -> None:
    certificates = replace(
        some_certificates([0.1, 0.5], correct=[True, False]), attack_distance=np.array([math.inf, 0.75])
    )
    rows = per_image(certificates)
    assert [row["attack_distance"] for row in rows] == [None, 0.75]
    json.dumps(rows, allow_nan=False)


def test_csv_reads_back_as_the_same_numbers() -> None:
    radii = [0.1 + 2**-54, 1e-300, math.nextafter(0.5, 1)]
    certificates = replace(
        some_certificates(radii, correct=[True, True, False]), attack_distance=np.array([1.0, math.inf, 2.0])
    )
    header, *lines = as_csv(certificates).splitlines()
    assert header == "index,label,predicted,runner_up,margin,radius,attack_distance"
    rows = list(csv.DictReader([header, *lines]))
    assert [float(row["radius"]) for row in rows] == radii
    assert [row["attack_distance"] for row in rows] == ["1.0", "", "2.0"]


def test_csv_with_names_that_need_quotes_and_images_without_labels() -> None:
    certificates = replace(
        some_certificates([0.1, 0.5], correct=[True, False]), classes=("a,b", 'c"d', "e"), label=np.array([-1, -1])
    )
    files = ["x"] * 10 + ["p,q.png", "line\nbreak.png"]
    rows = list(csv.DictReader(as_csv(certificates, files).splitlines(keepends=True)))
    assert [row["file"] for row in rows] == files[10:]
    assert [(row["label"], row["label_name"], row["predicted_name"], row["runner_up_name"]) for row in rows] == [
        ("", "", "a,b", "e"), ("", "", 'c"d', "e"),
    ]  # fmt: skip


def test_estimated_radii_are_called_so() -> None:
    certificates = replace(some_certificates([0.1], correct=[True]), standing="estimate")
    assert "radius" not in per_image(certificates)[0]
    assert per_image(certificates)[0]["estimated_radius"] == 0.1
    assert as_csv(certificates).splitlines()[0].endswith(",estimated_radius")
