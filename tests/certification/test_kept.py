"""Kept results answer only if this user's own key has signed them, and only while what they are about is the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipscope.certification.evaluate import certify
from lipscope.certification.kept import check_place, keep, objection
from lipscope.data import ImageSet
from lipscope.data.synthetic import synthetic
from lipscope.errors import LipscopeError
from lipscope.files.results import read_results
from lipscope.models.stored import StoredModel, load_model
from lipscope.records.certificates import Certificates

Kept = tuple[Certificates, StoredModel, ImageSet]


@pytest.fixture
def kept(tiny_file: Path, tmp_path: Path) -> Kept:
    """Results that were written, and read again."""
    model, data = load_model(tiny_file), synthetic("synthetic", "test").subset(range(20))
    target = tmp_path / "model.certified.safetensors"
    keep(target, "model", certify(model, data).certificates, lambda note: None)
    return read_results(target), model, data


def test_ones_own_results_hold(kept: Kept) -> None:
    assert objection(*kept) == ""


def test_results_of_other_images_do_not(kept: Kept) -> None:
    certificates, model, data = kept
    for others in (data.subset(range(19, -1, -1)), data.subset(range(10)), replace(data, split="train")):
        assert objection(certificates, model, others) == "they are of other images"


def test_images_of_one_class_that_changed_places_are_noticed(kept: Kept) -> None:
    """The fingerprint does not see an order, the rows of the results are about one."""
    certificates, model, data = kept
    first, second = next(pair for label in range(10) if len(pair := np.flatnonzero(data.labels == label)[:2]) == 2)
    order = np.arange(len(data))
    order[[first, second]] = second, first
    swapped = data.subset(order)
    assert swapped.fingerprint() == data.fingerprint()
    assert objection(certificates, model, swapped) == "they are of other images"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"standing": "claimed", "reason": "it carries no signature"}, "claimed by somebody else (it carries no"),
        ({"standing": "proved"}, "claimed by somebody else"),
        ({"model_sha256": "0" * 64}, "of another model"),
        ({"data_name": "cifar10"}, "of other images"),
        ({"data_fingerprint": "0" * 64}, "of other images"),
        ({"data_order": ""}, "of other images"),
        ({"environment": {"lipscope": "0.0.1"}}, "another version"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_anything_else_does_not(kept: Kept, changed: dict[str, Any], reason: str) -> None:
    certificates, model, data = kept
    assert reason in objection(replace(certificates, **changed), model, data)


def test_attack_distances_of_somebody_else_are_not_signed(kept: Kept, tmp_path: Path) -> None:
    """New results take over what an attack found, but only from a file of one's own."""
    certificates, _, _ = kept
    target = tmp_path / "model.certified.safetensors"
    attacked = replace(certificates, attack_distance=certificates.radius + 1, attack={"runs": []})
    for own in (True, False):
        keep(target, "model", attacked, lambda note: None)
        if not own:
            content = bytearray(target.read_bytes())
            content[-1] ^= 1
            target.write_bytes(content)
        again = keep(target, "model", replace(certificates, standing="proved"), lambda note: None)
        assert (again.attack_distance is not None) == own
        assert (read_results(target).attack_distance is not None) == own


def test_a_place_that_cannot_be_written_to_is_found_out_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    target = tmp_path / "file" / "model.certified.safetensors"
    with pytest.raises(LipscopeError, match="cannot be kept there") as caught:
        check_place(target, force=False)
    assert "--keep" in caught.value.next_step
    check_place(tmp_path / "new" / "folder" / "model.certified.safetensors", force=False)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == []
