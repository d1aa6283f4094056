from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.models.published import import_published, published_config
from lipscope.models.published.bcop import bjorck
from tests.models.published import bcop_reference as reference
from tests.models.published.references import check_against_the_json_beside, references_of


@pytest.fixture
def state() -> dict[str, Tensor]:
    return reference.random_state(2, 2, "hh1", False, 10)


@pytest.mark.parametrize(
    "name",
    ["layer2.0.conv.conv_matrices", "layer5.1.conv.mask", "layer3.0.conv.bias", "last_layer.conv_matrices",
     "layer2.0.activation.theta"],
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
        ("layer1.0.conv.conv_matrices", torch.ones(5, 3, 3, 1)),
        ("layer1.0.conv.conv_matrices", torch.ones(1, 3, 3)),
        ("layer1.1.conv.conv_matrices", torch.ones(5, 7, 7)),
        ("layer5.1.conv.conv_matrices", torch.ones(5, 128, 128)),
        ("layer2.0.conv.mask", torch.ones(4, 1, 3)),
        ("layer2.0.conv.mask", torch.full((4, 1, 4), 0.5)),
        ("layer3.0.conv.bias", torch.ones(3)),
        ("last_layer.conv_matrices", torch.ones(1, 10, 10)),
    ],
)
def test_tensors_that_do_not_fit(name: str, replacement: Tensor, state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state[name] = replacement
    with pytest.raises(CheckpointError, match="fit"):
        import_published(state, config, "x")


def test_matrices_of_zeros_are_refused_instead_of_stored_as_nan(state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state["layer2.0.conv.conv_matrices"].zero_()
    with pytest.raises(CheckpointError, match=r"stage2\.block1\.conv\.kernel cannot be computed"):
        import_published(state, config, "x")


def test_directions_that_the_iteration_leaves_short_stay_short(state: dict[str, Tensor]) -> None:
    """A singular value of 1e-6 grows by 3/2 twenty times and no further; projectors then are none, and still proved."""
    matrices = state["layer2.0.conv.conv_matrices"]
    u, s, vh = torch.linalg.svd(matrices)
    s[:, -1] = 1e-6 * s[:, 0]
    state["layer2.0.conv.conv_matrices"] = u * s.unsqueeze(1) @ vh
    short = torch.linalg.svdvals(bjorck(state["layer2.0.conv.conv_matrices"].double()))[:, -1]
    assert short.tolist() == pytest.approx([1e-6 * 1.5**20] * len(short), rel=0.05)
    images = torch.rand(2, 3, 32, 32)
    net = import_published(state, published_config(state, "x"), "x")
    torch.testing.assert_close(net(images), reference.forward(state, images, 2), rtol=0, atol=1e-4)
    assert net.lipschitz_bound().value < (1 + 1e-9) / reference.STD


@pytest.mark.parametrize("path", references_of("bcop"), ids=lambda path: path.stem)
def test_reference_checkpoints_give_the_logits_and_radii_beside_them(path: Path) -> None:
    check_against_the_json_beside(path)
