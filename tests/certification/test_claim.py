"""Claims of somebody else, checked: lies that are cheap to find are found, and the words promise no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipscope.certification import claim
from lipscope.certification.claim import SAMPLED, check_at_hand, check_claim
from lipscope.certification.evaluate import certify
from lipscope.data import ImageSet
from lipscope.data.synthetic import synthetic
from lipscope.models.stored import StoredModel, load_model
from lipscope.records.certificates import Certificates

Case = tuple[Certificates, StoredModel, ImageSet]
Forge = Callable[[Certificates], dict[str, Any]]


@pytest.fixture(scope="module")
def case(tiny_file: Path) -> Case:
    model, data = load_model(tiny_file), synthetic("synthetic", "test").subset(range(200))
    return replace(certify(model, data).certificates, standing="claimed"), model, data


def test_an_honest_claim_is_confirmed_where_it_was_looked_at(case: Case) -> None:
    found = check_claim(*case)
    assert str(found) == "claimed; 64 of 64 random images agree"
    assert found.holds


def test_distances_of_attacks_are_said_not_to_be_checked(case: Case) -> None:
    claimed, model, data = case
    found = check_claim(replace(claimed, attack_distance=claimed.radius * 9), model, data)
    assert (found.holds, str(found)) == (
        True,
        "claimed; 64 of 64 random images agree; attack distances were not checked",
    )


def test_another_order_of_the_records_is_the_same_claim(case: Case) -> None:
    claimed, model, data = case
    back = np.arange(len(data))[::-1]
    names = ("index", "label", "predicted", "runner_up", "radius", "margin")
    reversed_rows = replace(claimed, data_order="", **{name: getattr(claimed, name)[back] for name in names})
    assert check_claim(reversed_rows, model, data).holds


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        (lambda kept: {"radius": kept.radius * 50}, "do not follow from their margins"),
        (lambda kept: {"lipschitz": kept.lipschitz / 2}, "L is 3.98"),
        (lambda kept: {"lipschitz": float("nan")}, "L is 3.98"),
        (lambda kept: {"runner_up": kept.predicted}, "classes that the model does not have"),
        (lambda kept: {"runner_up": kept.runner_up + 99}, "classes that the model does not have"),
        (lambda kept: {"predicted": kept.predicted - 99}, "classes that the model does not have"),
        (lambda kept: {"index": kept.index + 1}, "of other images"),
        (lambda kept: {"label": kept.label[::-1].copy()}, "of other images"),
        (lambda kept: {"data_split": "train, augmented"}, "of other images"),
        (lambda kept: {"model_sha256": "0" * 64}, "of another model"),
        (lambda kept: {"data_fingerprint": "0" * 64}, "of other images"),
        (lambda kept: {"data_order": "0" * 64}, "another order"),
        (lambda kept: {"attack_distance": kept.radius / 2}, "their own attacks came inside their radii"),
    ],
)
def test_contradictions_are_named(case: Case, forged: Forge, reason: str) -> None:
    claimed, model, data = case
    found = check_claim(replace(claimed, **forged(claimed)), model, data)
    assert reason in str(found)
    assert not found.holds


def test_margins_and_radii_that_only_agree_with_each_other_are_found_in_the_sample(case: Case) -> None:
    """Every margin doubled, and the radii that follow from them."""
    claimed, model, data = case
    import torch

    from lipscope.certification.fit import proved_pairs
    from lipscope.certification.radii import radius_of

    margins = torch.from_numpy(claimed.margin * 2)
    predicted, runner_up = torch.from_numpy(claimed.predicted), torch.from_numpy(claimed.runner_up)
    radius = radius_of(margins, predicted, runner_up, proved_pairs(model)[0]).numpy()
    found = check_claim(replace(claimed, margin=margins.numpy(), radius=radius), model, data)
    assert str(found).startswith("claimed; 0 of 64") or found.agreed < 5


def test_no_position_is_always_left_out(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forger cannot be honest at the sampled positions alone: over enough checks every image is looked at."""
    claimed, model, data = case
    seen: set[int] = set()

    def watched(model: StoredModel, some: ImageSet, **_: Any) -> Any:
        seen.update(int(np.flatnonzero((data.images == image).all(axis=(1, 2, 3)))[0]) for image in some.images)
        raise InterruptedError

    monkeypatch.setattr(claim, "certify", watched)
    for _ in range(60):
        with pytest.raises(InterruptedError):
            check_claim(claimed, model, data)
    assert len(seen) == len(data) > SAMPLED


@pytest.mark.parametrize("name", ["cifar10", "../../etc", "\x1b[2J"])
def test_nothing_is_checked_where_the_images_are_not_at_hand(
    case: Case, tiny_file: Path, tmp_path: Path, no_data: Path, name: str
) -> None:
    assert check_at_hand(replace(case[0], data_name=name), tiny_file, None) is None
    assert check_at_hand(case[0], tmp_path / "no model", None) is None
    found = check_at_hand(case[0], tiny_file, None)
    assert found is not None
    assert found.objection == "they are of other images"  # 200 of them
