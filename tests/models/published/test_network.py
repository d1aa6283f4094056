from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.models.published import import_published, published_config
from tests.models.published import soc_reference


def test_a_row_of_zeros_is_refused_instead_of_stored_as_nan(state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state["last_layer.weight"][3] = 0
    with pytest.raises(CheckpointError, match=r"head\.weight cannot be computed"):
        import_published(state, config, "x")


def test_other_families_are_refused() -> None:
    state = {"layer1.0.conv.weight": torch.ones(1), "layer1.0.conv.bias": torch.ones(4)}
    state["last_layer.bias"] = torch.ones(10)
    with pytest.raises(CheckpointError, match=r"unknown convolutions.*known are SOC, BCOP, Cayley"):
        published_config(state, "x")


@pytest.mark.parametrize("state", [{"fc.weight": torch.ones(2)}, {"layer1.0.conv1.weight": torch.ones(2)}])
def test_state_dicts_of_other_codes_are_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="not a state dict of the paper's published code"):
        published_config(state, "x")


def test_an_unusual_number_of_classes_needs_a_data_set() -> None:
    state = soc_reference.random_state(1, 2, "maxmin", True, 7)
    with pytest.raises(CheckpointError, match="7 classes"):
        published_config(state, "x")
    assert published_config(state, "x", "cifar10").classes == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("layer5.900.conv.bias", torch.ones(2)), ("layer1.0.conv.bias", torch.ones(3)),
     ("layer1.0.conv.bias", torch.tensor(1.0)), ("layer1.0.conv.bias", torch.ones(10**5))],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused_as_damage_of_the_file(
    name: str, value: Tensor, state: dict[str, Tensor]
) -> None:
    state[name] = value
    with pytest.raises(CheckpointError):
        import_published(state, published_config(state, "x"), "x")


def test_a_size_that_is_only_claimed_is_not_allocated(state: dict[str, Tensor]) -> None:
    """A bias of 8192 numbers claims 4096 channels: terabytes of kernels, of which the file holds none."""
    state["layer1.0.conv.bias"] = torch.zeros(8192)
    config = published_config(state, "x")
    assert config.channels == 4096
    with pytest.raises(CheckpointError):
        import_published(state, config, "x")


def test_angles_of_order_two_are_held_to_their_range_in_storage() -> None:
    state = soc_reference.random_state(1, 2, "hh2", True, 10)
    assert any(float(value.max()) > 7 for name, value in state.items() if "theta" in name)
    net = import_published(state, published_config(state, "x"), "x")
    angles = torch.cat([value.flatten() for name, value in net.state_dict().items() if "theta" in name])
    assert 0 <= float(angles.min()) <= float(angles.max()) <= 2 * math.pi + 1e-6
