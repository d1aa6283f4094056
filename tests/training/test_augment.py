from __future__ import annotations

import numpy as np
import pytest
import torch

from lipscope.processes.world import World
from lipscope.training.augment import crop_and_flip


def variants(image: np.ndarray, padding: int = 4, padding_mode: str = "constant") -> dict[bytes, tuple[int, int, bool]]:
    """Every crop of the padded image and its mirror image, by their bytes."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode=padding_mode)
    found = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[:, top : top + height, left : left + width]
            found[crop.tobytes()] = (top, left, False)
            found[crop[:, :, ::-1].tobytes()] = (top, left, True)
    return found


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("padding_mode", ["constant", "reflect"])
@pytest.mark.parametrize(("padding", "size"), [(4, (12, 8)), (2, (12, 8)), (0, (12, 8)), (4, (3, 1)), (7, (2, 5))])
def test_every_image_becomes_one_of_its_own_crops(padding, size, padding_mode):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 3, *size), dtype=np.uint8)
    result = crop_and_flip(torch.from_numpy(images), seeded(1), padding=padding, padding_mode=padding_mode).numpy()
    assert result.dtype == np.uint8
    assert result.shape == images.shape
    for before, after in zip(images, result, strict=True):
        assert after.tobytes() in variants(before, padding, padding_mode)


def test_all_crops_occur_equally_often_and_half_are_mirrored():
    image = np.random.default_rng(2).integers(1, 256, (3, 8, 8), dtype=np.uint8)
    known = variants(image)
    copies = torch.from_numpy(image).expand(8100, 3, 8, 8)
    drawn = [known[crop.tobytes()] for crop in crop_and_flip(copies, seeded(3)).numpy()]
    counts = np.zeros((9, 9), int)
    for top, left, _ in drawn:
        counts[top, left] += 1
    # 100 expected in each of 81 cells, standard deviation 10.
    assert 55 < counts.min() <= counts.max() < 150
    assert abs(sum(flip for _, _, flip in drawn) - 4050) < 5 * np.sqrt(8100) / 2


def test_images_draw_independently():
    image = torch.randint(1, 256, (1, 3, 8, 8), dtype=torch.uint8, generator=seeded(4))
    result = crop_and_flip(image.expand(50, 3, 8, 8), seeded(5))
    assert len({crop.numpy().tobytes() for crop in result}) > 30


def test_the_generator_decides_and_the_images_stay_as_they_are():
    images = torch.randint(0, 256, (30, 3, 32, 32), dtype=torch.uint8, generator=seeded(6))
    before = images.clone()
    once = crop_and_flip(images, seeded(7))
    assert torch.equal(once, crop_and_flip(images, seeded(7)))
    assert not torch.equal(once, crop_and_flip(images, seeded(8)))
    assert torch.equal(images, before)


@pytest.mark.parametrize("count", [0, 1])
def test_small_batches(count):
    images = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    assert crop_and_flip(images, seeded(0)).shape == images.shape


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_draw_the_crops_that_one_does(size):
    images = torch.arange(12 * 3 * 8 * 8).remainder(251).to(torch.uint8).reshape(12, 3, 8, 8)
    whole = crop_and_flip(images, seeded(9))
    for rank in range(size):
        part = World(rank, size, torch.device("cpu")).part
        assert torch.equal(crop_and_flip(images[part], seeded(9), part, len(images)), whole[part])
