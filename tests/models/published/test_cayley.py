from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.models.published import import_published, published_config
from lipscope.models.published.cayley import nearest_orthogonal, published_symbols
from tests.models.published import cayley_reference as reference
from tests.models.published.references import check_against_the_json_beside, references_of


@pytest.fixture
def state() -> dict[str, Tensor]:
    return reference.random_state(2, 2, "hh1", False, 10)


@pytest.mark.parametrize(
    "name", ["layer2.0.conv.weight", "layer5.1.conv.alpha", "layer3.0.conv.bias", "last_layer.weight"]
)
def test_missing_tensors_are_refused_by_name(name: str, state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    del state[name]
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        import_published(state, config, "x")


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("layer1.0.conv.weight", torch.ones(2, 3, 1, 1)),
        ("layer1.0.conv.weight", torch.ones(2, 3, 3)),
        ("layer1.1.conv.weight", torch.ones(4, 8, 3, 3)),
        ("layer2.0.conv.weight", torch.ones(5, 4, 3, 3)),
        ("layer2.0.conv.alpha", torch.ones(2)),
        ("layer3.0.conv.bias", torch.ones(3)),
        ("last_layer.weight", torch.ones(10, 3)),
        ("last_layer.alpha", torch.ones(0)),
    ],
)
def test_tensors_that_do_not_fit(name: str, replacement: Tensor, state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state[name] = replacement
    with pytest.raises(CheckpointError, match="fit"):
        import_published(state, config, "x")


@pytest.mark.parametrize("name", ["layer2.0.conv.weight", "layer2.1.conv.weight", "last_layer.weight"])
def test_a_length_of_zero_is_refused_instead_of_stored_as_nan(name: str, state: dict[str, Tensor]) -> None:
    config = published_config(state, "x")
    state[name].zero_()
    with pytest.raises(CheckpointError, match=r"kernel cannot be computed"):
        import_published(state, config, "x")


@pytest.mark.parametrize("alpha", [1e3, 1e10, 1e30])
def test_a_map_that_float32_computes_badly_does_not_expand(alpha: float, state: dict[str, Tensor]) -> None:
    state["layer3.0.conv.alpha"] = torch.tensor(alpha)
    net = import_published(state, published_config(state, "x"), "x")
    assert net.lipschitz_bound().value < (1 + 1e-9) / reference.STD


@pytest.mark.parametrize(
    ("outputs", "inputs", "taps", "grid"), [(4, 3, 3, 8), (3, 4, 3, 4), (4, 4, 1, 4), (3, 3, 3, 2)]
)
def test_symbols_are_those_of_the_formula(outputs: int, inputs: int, taps: int, grid: int) -> None:
    weight = torch.randn(outputs, inputs, taps, taps, generator=torch.Generator().manual_seed(0))
    alpha = torch.tensor(5.0)
    found = published_symbols(weight, alpha, grid)
    torch.testing.assert_close(found, reference.symbols(weight, alpha, grid), rtol=0, atol=1e-6)
    polar = nearest_orthogonal(found.to(torch.complex128))
    u, _, vh = torch.linalg.svd(found.to(torch.complex128), full_matrices=False)
    torch.testing.assert_close(polar, u @ vh, rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", references_of("cayley"), ids=lambda path: path.stem)
def test_reference_checkpoints_give_the_logits_and_radii_beside_them(path: Path) -> None:
    check_against_the_json_beside(path)
