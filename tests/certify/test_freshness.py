"""Kept results answer only while everything about them holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lipscope.certify.evaluate import certify
from lipscope.certify.freshness import still_holds
from lipscope.data.synthetic import synthetic
from lipscope.models.stored import load_model


@pytest.fixture
def kept(tiny_model):
    model, data = load_model(tiny_model), synthetic("synthetic", "test").subset(range(100))
    return certify(model, data, np.arange(100)).certificates, model, data


def test_untouched_results_hold(kept):
    assert still_holds(*kept)


def test_results_of_other_images_do_not(kept):
    certificates, model, data = kept
    assert not still_holds(certificates, model, data.subset(range(99, -1, -1)))
    assert not still_holds(certificates, model, data.subset(range(50)))
    assert not still_holds(certificates, model, replace(data, split="train"))


@pytest.mark.parametrize(
    "forged",
    [
        lambda kept: {"radius": kept.radius * 50},
        lambda kept: {"radius": kept.radius * 2, "margin": kept.margin * 2},
        lambda kept: {"lipschitz": kept.lipschitz / 2},
        lambda kept: {"lipschitz": True},
        lambda kept: {"predicted": kept.label},
        lambda kept: {"runner_up": kept.predicted},
        lambda kept: {"index": kept.index[::-1].copy()},
        lambda kept: {"kind": "sound"},
        lambda kept: {"model_sha256": "0" * 64},
        lambda kept: {"data_name": "cifar10"},
        lambda kept: {"environment": {**kept.environment, "lipscope": "0.0.1"}},
    ],
)
def test_altered_results_do_not(kept, forged):
    certificates, model, data = kept
    assert not still_holds(replace(certificates, **forged(certificates)), model, data)
