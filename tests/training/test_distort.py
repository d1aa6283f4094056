"""Against torchvision's own functions, image by image."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as theirs

from lipscope.processes.world import World
from lipscope.training import distort as room
from lipscope.training.distort import FULL, distort


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(count: int = 6) -> Tensor:
    """Images without edges, of which interpolation makes little."""
    coarse = torch.rand(count, 3, 5, 5, generator=seeded(0))
    fine = torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic", align_corners=True)
    return (60 + 120 * fine.clamp(0, 1)).to(torch.uint8)


def only(monkeypatch: pytest.MonkeyPatch, **kept: float) -> None:
    monkeypatch.setattr(room, "FULL", {name: kept.get(name, 0.0) for name in FULL})


def drawn(seed: int, count: int, name: str) -> Tensor:
    """(count,): what every image draws of this, in [-1, 1]."""
    place = list(FULL).index(name)
    return 2 * torch.rand((count, len(FULL) + 2), generator=seeded(seed))[:, place] - 1


def middle(images: Tensor) -> Tensor:
    """What no border reaches."""
    return images[..., 8:24, 8:24].float()


def test_turns_and_scales_are_those_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, angle=FULL["angle"], scale=FULL["scale"])
    images = smooth()
    found = distort(images, seeded(1), 1.0)
    angles, scales = drawn(1, 6, "angle") * 20, drawn(1, 6, "scale") * FULL["scale"]
    for image, result, angle, scale in zip(images, found, angles.tolist(), scales.tolist(), strict=True):
        expected = theirs.affine(
            image, angle=-angle, translate=[0, 0], scale=math.exp(-scale), shear=[0.0, 0.0],
            interpolation=theirs.InterpolationMode.BILINEAR,
        )  # fmt: skip
        assert float((middle(result) - middle(expected)).abs().max()) <= 2
        assert float((middle(result) - middle(image)).abs().max()) > 2 or abs(angle) < 2


@pytest.mark.parametrize(("name", "theirs_of"), [
    ("brightness", lambda image, value: (image.float() + 255 * value).round().clamp(0, 255)),
    ("saturation", lambda image, value: image.float().mean(0) + (image.float() - image.float().mean(0)) * (1 + value)),
    ("contrast", lambda image, value: (image.float() - image.float().mean()) * math.exp(value) + image.float().mean()),
])  # fmt: skip
def test_colours_change_by_what_is_drawn(monkeypatch: pytest.MonkeyPatch, name: str, theirs_of) -> None:
    only(monkeypatch, **{name: FULL[name]})
    images = smooth()
    found = distort(images, seeded(2), 0.5)
    for image, result, value in zip(images, found, 0.5 * drawn(2, 6, name) * FULL[name], strict=True):
        assert float((result.float() - theirs_of(image, float(value)).clamp(0, 255)).abs().max()) <= 1


def test_a_cast_shifts_every_channel_by_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, cast=FULL["cast"])
    images = smooth()
    moved = distort(images, seeded(3), 1.0).float() - images.float()
    values = moved.mean(dim=(2, 3))
    assert float((moved - values[..., None, None]).abs().max()) <= 1
    assert float(values.abs().max()) <= 255 * FULL["cast"] + 1
    assert float(values.std(dim=1).max()) > 3


def test_no_strength_leaves_images_as_they_are_and_little_strength_nearly() -> None:
    images = smooth()
    assert torch.equal(distort(images, seeded(4), 0.0), images)
    assert float((distort(images, seeded(4), 0.01).float() - images.float()).abs().max()) < 6


def test_images_draw_independently_and_the_generator_decides() -> None:
    images = smooth(1).expand(20, 3, 32, 32)
    once = distort(images, seeded(5), 1.0)
    assert len({image.numpy().tobytes() for image in once}) == 20
    assert torch.equal(once, distort(images, seeded(5), 1.0))
    assert not torch.equal(once, distort(images, seeded(6), 1.0))


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 1, 5, 7), (2, 4, 1, 1)])
def test_shapes_stay(shape: tuple[int, ...]) -> None:
    images = torch.full(shape, 9, dtype=torch.uint8)
    result = distort(images, seeded(0), 1.0)
    assert (result.shape, result.dtype) == (images.shape, torch.uint8)


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_draw_what_one_does(size: int) -> None:
    images = smooth(12)
    whole = distort(images, seeded(9), 1.0)
    for rank in range(size):
        part = World(rank, size, torch.device("cpu")).part
        assert torch.equal(distort(images[part], seeded(9), 1.0, part, len(images)), whole[part])
