"""The reference checkpoints: what the published code computed with them lies beside each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lipscope.certification.radii import Pairs, certified_radii
from lipscope.data import load
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.published import import_published, load_published, published_config

REFERENCE = os.environ.get("LIPSCOPE_REFERENCE", "")


def references_of(family: str) -> list[Any]:
    """The checkpoints of a family, or one test that is skipped, which says why."""
    found = sorted(Path(REFERENCE).glob(f"{family}_*.pth")) if REFERENCE else []
    skip = pytest.mark.skip(reason=f"LIPSCOPE_REFERENCE names no folder of {family} checkpoints")
    return found or [pytest.param(Path("none"), marks=skip)]


def check_against_the_json_beside(path: Path) -> None:
    """Configuration, logits to 1e-4, predictions and radii of 200 test images."""
    expected = json.loads(path.with_suffix(".json").read_text())
    tensors = load_published(path).tensors
    config = published_config(tensors, str(path))
    assert config == LipConvnetConfig(
        blocks=expected["block_size"], channels=expected["init_channels"], activation=expected["activation"],
        head="lln" if expected["lln"] else "orthogonal", classes=expected["num_classes"], dataset=expected["dataset"],
        conv=expected["conv"],
    )  # fmt: skip
    net = import_published(tensors, config, str(path))
    data = load(config.dataset, "test").subset(expected["test_records"])
    assert data.labels.tolist() == expected["label"]
    with torch.inference_mode():
        logits = net(torch.from_numpy(data.images).float() / 255)
    torch.testing.assert_close(logits, torch.tensor(expected["logits"]), rtol=0, atol=1e-4)
    constants = net.head.pair_bounds()
    # The published radii are in float32, and subtract no rounding errors.
    pairs = Pairs(constants, torch.zeros_like(constants), net.head.settled_pairs(), net.lipschitz_bound().value, 56.0)
    radii = certified_radii(logits, pairs)
    assert radii.predicted.tolist() == expected["predicted"]
    assert radii.radius.tolist() == pytest.approx(expected["radius"], abs=2e-5)
