"""What holds for every family of the published code: the logits of its description, and a file of ours."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lipscope.models.published import import_published, load_published, published_config
from lipscope.models.stored import load_model, save_model
from tests.models.published import bcop_reference, cayley_reference, soc_reference
from tests.models.published.files import saved

Configuration = tuple[int, int, str, bool, int]

FAMILIES: dict[str, tuple[ModuleType, float, float]] = {
    "soc": (soc_reference, 1e-4, 1e-4),
    "bcop": (bcop_reference, 3e-5, 1e-5),
    "cayley": (cayley_reference, 3e-5, 1e-4),
}
"""The description of each, and by how much logits may differ from it in float32 and in float64."""

CONFIGURATIONS: dict[str, list[Configuration]] = {
    "soc": [
        (1, 2, "maxmin", True, 10),
        (1, 4, "maxmin", False, 10),
        (1, 2, "hh1", True, 100),
        (1, 2, "hh1", False, 10),
        (1, 2, "hh2", True, 10),
        (1, 2, "hh2", False, 100),
        (2, 2, "maxmin", False, 100),
        (2, 2, "hh1", True, 10),
        (2, 4, "hh2", True, 100),
    ],
    "bcop": [
        (1, 2, "maxmin", True, 10),
        (1, 4, "maxmin", False, 10),
        (1, 2, "hh1", False, 100),
        (1, 6, "maxmin", True, 100),
        (2, 2, "hh2", True, 100),
        (2, 2, "maxmin", False, 100),
        (3, 2, "hh1", True, 10),
    ],
    "cayley": [
        (1, 2, "maxmin", True, 10),
        (1, 4, "maxmin", False, 10),
        (1, 2, "hh1", False, 100),
        (2, 2, "hh2", True, 100),
        (2, 2, "maxmin", False, 100),
        (3, 2, "hh1", True, 10),
        (4, 2, "maxmin", False, 10),
    ],
}
CASES = [(conv, configuration) for conv, all_of_it in CONFIGURATIONS.items() for configuration in all_of_it]


@pytest.mark.parametrize(
    ("conv", "configuration"), CASES, ids=lambda c: c if isinstance(c, str) else "-".join(map(str, c))
)
def test_imported_logits_are_those_of_the_description(conv: str, configuration: Configuration, tmp_path: Path) -> None:
    reference, single, double = FAMILIES[conv]
    state = reference.random_state(*configuration)
    blocks, channels, activation, lln, classes = configuration
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tensors = load_published(saved(state, tmp_path)).tensors
    config = published_config(tensors, "best.pth")
    assert (config.conv, config.blocks, config.channels, config.activation) == (conv, blocks, channels, activation)
    assert (config.head, config.classes) == ("lln" if lln else "orthogonal", classes)
    assert config.dataset == {10: "cifar10", 100: "cifar100"}[classes]
    net = import_published(tensors, config, "best.pth")
    expected = reference.forward(state, images, blocks)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(net(images), expected, rtol=0, atol=single)
    exact = reference.forward({name: value.double() for name, value in state.items()}, images.double(), blocks)
    torch.testing.assert_close(net(images.double()), exact, rtol=0, atol=double)
    assert net.lipschitz_bound().value < (1 + 1e-9) / reference.STD
    if not lln:
        assert float(net.head.pair_bounds().max()) < math.sqrt(2) * (1 + 1e-9)


@pytest.mark.parametrize("conv", FAMILIES)
def test_the_import_survives_a_file(conv: str, tmp_path: Path) -> None:
    state = FAMILIES[conv][0].random_state(2, 2, "hh1", False, 10)
    config = published_config(state, "x")
    net = import_published(state, config, "x")
    path = tmp_path / "model.safetensors"
    save_model(net, path, config.to_json(), {})
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(load_model(path).net(images), net(images))
