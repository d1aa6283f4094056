from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.models.published import import_published, load_published, published_config
from lipscope.models.stored import load_model, save_model
from tests.models.published import soc_reference as reference
from tests.models.published.files import saved
from tests.models.published.references import check_against_the_json_beside, references_of

Configuration = tuple[int, int, str, bool, int]

CONFIGURATIONS: list[Configuration] = [
    (1, 2, "maxmin", True, 10),
    (1, 4, "maxmin", False, 10),
    (1, 2, "hh1", True, 100),
    (1, 2, "hh1", False, 10),
    (1, 2, "hh2", True, 10),
    (1, 2, "hh2", False, 100),
    (2, 2, "maxmin", False, 100),
    (2, 2, "hh1", True, 10),
    (2, 4, "hh2", True, 100),
]


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda c: "-".join(map(str, c)))
def test_imported_logits_are_those_of_the_description(configuration: Configuration, tmp_path: Path) -> None:
    state = reference.random_state(*configuration)
    blocks, channels, activation, lln, classes = configuration
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tensors = load_published(saved(state, tmp_path))
    config = published_config(tensors, "best.pth")
    assert (config.blocks, config.channels, config.activation) == (blocks, channels, activation)
    assert (config.head, config.classes) == ("lln" if lln else "orthogonal", classes)
    assert config.dataset == {10: "cifar10", 100: "cifar100"}[classes]
    net = import_published(tensors, config, "best.pth")
    expected = reference.forward(state, images, blocks)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(net(images), expected, rtol=0, atol=1e-4)
    exact = reference.forward({name: value.double() for name, value in state.items()}, images.double(), blocks)
    torch.testing.assert_close(net(images.double()), exact, rtol=0, atol=1e-4)
    assert net.lipschitz_bound().value < (1 + 1e-9) / reference.STD


def test_the_import_survives_a_file(state: dict[str, Tensor], tmp_path: Path) -> None:
    config = published_config(state, "x")
    net = import_published(state, config, "x")
    path = tmp_path / "model.safetensors"
    save_model(net, path, config.to_json(), {})
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(load_model(path).net(images), net(images))


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
