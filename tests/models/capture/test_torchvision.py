"""Networks of torchvision with random weights: saved with a constant that holds, or refused by their first fault."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import lipscope
from lipscope.errors import UsageError
from tests.models.capture.test_libraries import agree, file_of

SHAPE = (3, 32, 32)


def made(name: str) -> torch.nn.Module:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    sizes = {"image_size": 32} if name.startswith("vit") else {}
    first = {"init_weights": False} if name == "googlenet" else {}
    return torchvision.models.get_model(name, num_classes=10, **sizes, **first).eval()


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1",
        "shufflenet_v2_x0_5",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("mobilenet_v2", "mnasnet0_5", "regnet_x_400mf", "googlenet", "densenet121")
        ),
    ],
)
def test_it_is_saved_and_no_measured_quotient_exceeds_its_constant(name: str, tmp_path: Path) -> None:
    net = made(name)
    file = file_of(net, tmp_path, SHAPE)
    agree(net, file, SHAPE)
    bound = file.lipschitz_bound()
    assert bound.proved
    exact, generator = file.double(), torch.Generator().manual_seed(1)
    points = torch.rand(4, *SHAPE, generator=generator, dtype=torch.float64)
    for size in (1e-3, 1e-1):
        others = points + size * torch.randn(points.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            moved = (exact.features(others) - exact.features(points)).flatten(1).norm(dim=1)
        assert bool((moved <= bound.value * (others - points).flatten(1).norm(dim=1)).all())


@pytest.mark.parametrize(
    ("name", "operation", "line"),
    [
        ("mobilenet_v3_small", "mul", r"misc.py, line \d+: return scale \* input"),
        pytest.param("convnext_tiny", "layer_norm", r"convnext.py, line \d+", marks=pytest.mark.slow),
        pytest.param("vit_b_16", "[a-z_]+", r"vision_transformer.py, line \d+", marks=pytest.mark.slow),
    ],
)
def test_it_is_refused_by_its_first_fault_and_its_line(name: str, operation: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{line}.*{operation} cannot be described"):
        lipscope.save(made(name), tmp_path / "m.safetensors", input_shape=SHAPE)
    assert not list(tmp_path.iterdir())


class Attends(torch.nn.Module):
    """Attention over pixels, for which torch puts the batch behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.flatten(2).transpose(1, 2)
        return self.attention(pixels, pixels, pixels, need_weights=False)[0].flatten(1)


def test_attention_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"return self.attention.* cannot be described"):
        lipscope.save(Attends().eval(), tmp_path / "m.safetensors", input_shape=(4, 3, 3))
    assert not list(tmp_path.iterdir())
