"""Kept results answer only while everything about them holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipscope.certify.evaluate import certify
from lipscope.certify.freshness import objection
from lipscope.data.synthetic import synthetic
from lipscope.models.stored import load_model


@pytest.fixture
def kept(tiny_model):
    model, data = load_model(tiny_model), synthetic("synthetic", "test").subset(range(100))
    return certify(model, data, np.arange(100)).certificates, model, data


def test_untouched_results_hold(kept):
    assert objection(*kept) == ""


def test_results_of_other_images_do_not(kept):
    certificates, model, data = kept
    for others in (data.subset(range(99, -1, -1)), data.subset(range(50)), replace(data, split="train")):
        assert objection(certificates, model, others) == "they are of other images"


def test_images_of_one_class_that_changed_places_are_noticed(kept):
    """The fingerprint does not see an order, the rows of the results are about one."""
    certificates, model, data = kept
    first, second = np.flatnonzero(data.labels == data.labels[1])[:2]
    order = np.arange(len(data))
    order[[first, second]] = second, first
    swapped = data.subset(order)
    assert swapped.fingerprint() == data.fingerprint()
    assert "in another order" in objection(certificates, model, swapped)


def test_float32_radii_that_were_not_compared_with_float64_do_not_answer(kept):
    certificates, model, data = kept
    compared = dict(certificates.environment)
    assert compared.pop("float32_radius_error")["largest"] < 1e-4
    assert "not compared with float64" in objection(replace(certificates, environment=compared), model, data)


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        (lambda kept: {"radius": kept.radius * 50}, "do not follow from their margins"),
        (lambda kept: {"radius": kept.radius * 2, "margin": kept.margin * 2}, "evaluated again, are others"),
        (lambda kept: {"sound_radius": kept.radius + 0.01}, "sound radii exceed the real-arithmetic ones"),
        (lambda kept: {"lipschitz": kept.lipschitz / 2}, "contradict the model"),
        (lambda kept: {"lipschitz": True}, "contradict the model"),
        (lambda kept: {"predicted": kept.label}, ""),
        (lambda kept: {"runner_up": kept.predicted}, "contradict the model"),
        (lambda kept: {"runner_up": kept.runner_up + 99}, "contradict the model"),
        (lambda kept: {"index": kept.index[::-1].copy()}, "of other images"),
        (lambda kept: {"label": kept.label[::-1].copy()}, "of other images"),
        (lambda kept: {"kind": "sound"}, "of another kind"),
        (lambda kept: {"model_sha256": "0" * 64}, "of another model"),
        (lambda kept: {"data_name": "cifar10"}, "of other images"),
        (lambda kept: {"data_fingerprint": "0" * 64}, "of other images"),
        (lambda kept: {"environment": {**kept.environment, "lipscope": "0.0.1"}}, "another version"),
    ],
)
def test_altered_results_do_not(kept, forged, reason):
    certificates, model, data = kept
    found = objection(replace(certificates, **forged(certificates)), model, data)
    assert found
    assert reason in found
