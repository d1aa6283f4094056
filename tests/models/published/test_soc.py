from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.models.published import import_published, published_config
from tests.models.published import soc_reference as reference
from tests.models.published.references import check_against_the_json_beside, references_of


@pytest.mark.parametrize(
    "name",
    ["layer2.0.conv.random_conv_filter", "layer1.0.conv.u3", "layer5.0.conv.v1", "layer4.0.conv.correction",
     "layer3.0.conv.bias", "last_layer.bias", "layer2.0.activation.theta"],
)  # fmt: skip
def test_missing_tensors_are_refused_by_name(name: str, state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    del state[name]
    stage = name.replace("layer2.0.activation", "stage2.block1.activation")
    with pytest.raises(CheckpointError, match="missing") as caught:
        import_published(state, config, "x")
    assert name in str(caught.value) or stage in str(caught.value)


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("layer2.0.conv.random_conv_filter", torch.zeros(3, 5, 3, 3)),
        ("layer2.0.conv.random_conv_filter", torch.zeros(4)),
        ("layer2.0.conv.random_conv_filter", torch.ones(6, 6, 3, 3)),
        ("layer2.0.conv.random_conv_filter", torch.randn(16, 16, 5, 5)),
        ("layer1.0.conv.u1", torch.ones(7)),
        ("layer1.0.conv.v4", torch.ones(2, 3, 4, 5, 6)),
        ("layer1.0.conv.correction", torch.ones(2)),
        ("layer3.0.conv.bias", torch.ones(5)),
        ("layer3.0.conv.bias", torch.tensor(1.0)),
        ("last_layer.weight", torch.ones(10, 3)),
        ("last_layer.weight", torch.ones(10)),
        ("layer1.0.activation.theta", torch.ones(9)),
        ("layer1.0.activation.surprise", torch.ones(2)),
    ],
)
def test_tensors_that_do_not_fit(name: str, replacement: Tensor, state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state[name] = replacement
    with pytest.raises(CheckpointError, match="fit") as caught:
        import_published(state, config, "x")
    assert caught.value.where == "x"


def test_a_norm_of_zero_is_refused_instead_of_stored_as_nan(state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state["layer2.0.conv.u1"].zero_()
    kernel = reference.skew(state["layer2.0.conv.random_conv_filter"])
    for i in (2, 3, 4):  # the smallest product decides
        u, v = state[f"layer2.0.conv.u{i}"], state[f"layer2.0.conv.v{i}"]
        assert float((kernel * u * v).sum()) > 0
    with pytest.raises(CheckpointError, match=r"stage2\.block1\.conv\.kernel cannot be computed"):
        import_published(state, config, "x")


@pytest.mark.parametrize("path", references_of("soc"), ids=lambda path: path.stem)
def test_reference_checkpoints_give_the_logits_and_radii_beside_them(path: Path) -> None:
    check_against_the_json_beside(path)
