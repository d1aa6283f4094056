from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from mpmath import mp, mpf

from lipscope.layers.padded_frequencies import PaddedFrequencies, half_plane
from tests import dense
from tests.layers.contract import noise

SIZES = [(1, 1), (1, 4), (3, 3), (4, 7), (5, 2), (8, 8)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_pixels_and_walls_together_are_an_isometry(size: tuple[int, int], kernel_size: int) -> None:
    among = PaddedFrequencies(*size, kernel_size)
    whole = torch.cat([among.pixels, among.walls], dim=1)
    assert whole.shape == (2 * among.frequencies, math.prod(among.grid))
    torch.testing.assert_close(whole.mT @ whole, torch.eye(whole.shape[1]).double(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_symbols_between_two_transforms_are_the_zero_padded_convolution(
    size: tuple[int, int], kernel_size: int
) -> None:
    among, kernel = PaddedFrequencies(*size, kernel_size), noise(2, 3, kernel_size, kernel_size)
    spectrum = torch.kron(torch.eye(3).double(), among.pixels).reshape(3, among.frequencies, 2, -1)
    blocks = torch.einsum("fpq,fqi->fpi", among.symbols(kernel), spectrum.permute(1, 2, 0, 3).flatten(1, 2))
    parts = blocks.reshape(among.frequencies, 2, 2, -1).flatten(0, 1)
    matrix = torch.einsum("fx,foi->oxi", among.pixels, parts).flatten(0, 1)
    np.testing.assert_allclose(matrix, dense.zero_padded_matrix(kernel.numpy(), *size), rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 5), (8, 8)])
def test_the_errors_of_tables_and_symbols_are_covered(size: tuple[int, int]) -> None:
    """Against fifty digits, entry by entry; the norm of all errors is what the bound is about."""
    among, kernel = PaddedFrequencies(*size, 3), 7.0 * noise(1, 1, 3, 3).float()
    height, width = among.grid
    frequencies = half_plane(height, width)
    with mp.workdps(50):
        angles = [
            [2 * mp.pi * (mpf(a * row) / height + mpf(b * column) / width) for row, column in np.ndindex(height, width)]
            for a, b in frequencies
        ]
        both = [0 if (2 * a % height, 2 * b % width) == (0, 0) else 1 for a, b in frequencies]
        scales = [mp.sqrt(mpf(1 + twice) / (height * width)) for twice in both]
        exact = [
            [scale * part(angle) for angle in line]
            for line, scale, twice in zip(angles, scales, both, strict=True)
            for part in (mp.cos, lambda angle, twice=twice: -twice * mp.sin(angle))
        ]
        inside = [row < size[0] and column < size[1] for row, column in np.ndindex(height, width)]
        for table, here in ((among.pixels, True), (among.walls, False)):
            truth = [[value for value, place in zip(line, inside, strict=True) if place is here] for line in exact]
            off = sum(
                (mpf(float(found)) - true) ** 2
                for row, line in zip(table, truth, strict=True)
                for found, true in zip(row, line, strict=True)
            )
            assert mp.sqrt(off) <= among.table_error(table)
        for (a, b), twice, block in zip(frequencies, both, among.symbols(kernel), strict=True):
            taps = list(product(range(3), range(3)))
            turned = [2 * mp.pi * (mpf(a * (r - 1)) / height + mpf(b * (c - 1)) / width) for r, c in taps]
            values = [mpf(float(kernel[0, 0, r, c])) for r, c in taps]
            real = mp.fdot(values, [mp.cos(angle) for angle in turned])
            imaginary = twice * mp.fdot(values, [mp.sin(angle) for angle in turned])
            truth = [[real, -imaginary], [imaginary, real]]
            off = sum((mpf(float(block[i, j])) - truth[i][j]) ** 2 for i, j in product(range(2), range(2)))
            assert mp.sqrt(off) <= among.symbols_error(kernel)


def test_one_of_each_pair_of_conjugates_is_kept() -> None:
    for height, width in product(range(1, 7), repeat=2):
        kept = half_plane(height, width)
        everything = {frequency for a, b in kept for frequency in ((a, b), (-a % height, -b % width))}
        assert everything == set(np.ndindex(height, width))
        assert len(kept) == len(set(kept)) <= height * width // 2 + 2


def test_tables_are_made_once_and_stay_where_they_are() -> None:
    with torch.inference_mode():
        first = PaddedFrequencies(6, 7, 3)
    second = PaddedFrequencies(6, 7, 3).to("meta")
    assert second.pixels.device.type == "meta"
    for name in ("pixels", "walls", "taps"):
        kept = getattr(PaddedFrequencies(6, 7, 3), name)
        assert kept is getattr(first, name)
        assert not kept.is_inference()
        assert kept.device.type == "cpu"
