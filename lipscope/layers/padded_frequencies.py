"""A zero-padded convolution among the frequencies of a grid that is a little larger than the map.

On H + r by W + r points, r = k // 2, the padding wraps around into the walls, the points beyond the map: as long as
they are zero, the circular convolution on the grid is the zero-padded one on the map. With T the isometry from the
pixels of a map to the real and imaginary parts of half of the frequencies, V the same from the pixels of the walls,
and B the symbols (a matrix of the channels at each frequency), A = T* B T, and 1 - V V* puts the walls back to zero.

B needs some 160 C^2 products on 8x8 where the taps of a 3x3 kernel need 484, all in large matrix products, and the
sums are shorter, so that rounding errors are smaller too.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn

from lipscope.bounds.convolution import absolute_bound
from lipscope.bounds.rounding import FLOAT64, gamma, outward
from lipscope.layers.fourier import TABLE_ROUNDOFFS

KEPT, KEPT_PIXELS = 16, 1024
"""Tables that are kept, those made last, and pixels of the largest map of which they are: at most 10 MB each."""


class PaddedFrequencies(nn.Module):
    """T, V and the angles of the taps, in float64.

    Args:
        height, width: of the map.
        kernel_size: k, odd.
    """

    pixels: Tensor
    walls: Tensor
    taps: Tensor

    def __init__(self, height: int, width: int, kernel_size: int) -> None:
        super().__init__()
        reach = kernel_size // 2
        self.height, self.width, self.grid = height, width, (height + reach, width + reach)
        on_cpu = torch.get_default_device().type == "cpu"
        made = _kept if on_cpu and height * width <= KEPT_PIXELS else _tables
        for name, value in zip(("pixels", "walls", "taps"), made(height, width, kernel_size), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.frequencies = len(self.pixels) // 2

    def symbols(self, kernel: Tensor) -> Tensor:
        """B, (frequencies, 2 out, 2 in) float64, acting on real parts above imaginary ones."""
        outputs, inputs = kernel.shape[:2]
        flat = kernel.detach().to(torch.float64).permute(2, 3, 0, 1).reshape(-1, outputs * inputs)
        real, imaginary = (self.taps @ flat).reshape(-1, 2, outputs, inputs).unbind(1)
        above, below = torch.cat([real, -imaginary], dim=-1), torch.cat([imaginary, real], dim=-1)
        return torch.cat([above, below], dim=-2)

    def table_error(self, table: Tensor) -> float:
        """A bound on the l2 norm of all errors of T or V, whose entries are at most sqrt(2 / points)."""
        largest = math.sqrt(2 / math.prod(self.grid))
        return outward((TABLE_ROUNDOFFS + 4) * FLOAT64.unit_roundoff * largest * math.sqrt(table.numel()))

    def symbols_error(self, kernel: Tensor) -> float:
        """A bound on ||B^ - B|| at every frequency.

        A part of an entry is a sum of k^2 products with cosines or sines, off by at most e sum_a |K_a|; the matrix of
        [[e, e], [e, e]] sum_a |K_a| has the norm 2 e || |A| ||.
        """
        taps = self.taps.shape[1]
        off = gamma(taps + 1) + TABLE_ROUNDOFFS * FLOAT64.unit_roundoff * (1 + gamma(taps + 1))
        largest = float(kernel.detach().abs().max()) if kernel.numel() else 0.0
        flushed = FLOAT64.smallest * (4 * taps + 2) * (1 + largest) * 2 * max(kernel.shape[:2])
        return outward(2 * off * absolute_bound(kernel) + flushed)


def _tables(height: int, width: int, kernel_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """T, V and the taps' angles."""
    reach = kernel_size // 2
    grid = (height + reach, width + reach)
    frequencies = half_plane(*grid)
    alone = torch.tensor([_conjugate(frequency, grid) == frequency for frequency in frequencies])
    places = torch.cartesian_prod(*(torch.arange(points) for points in grid))
    table = _parts(frequencies, places, grid, alone)
    # Frequencies that stand for their conjugates too are counted twice.
    table *= torch.tensor([1.0, math.sqrt(2)], dtype=torch.float64)[(~alone).long()].reshape(-1, 1, 1)
    table = table.flatten(0, 1) / math.sqrt(math.prod(grid))
    inside = (places[:, 0] < height) & (places[:, 1] < width)
    offsets = torch.arange(kernel_size) - reach
    taps = _parts(frequencies, torch.cartesian_prod(offsets, offsets), grid, alone)
    taps[:, 1] *= -1.0
    return table[:, inside].contiguous(), table[:, ~inside].contiguous(), taps.flatten(0, 1).contiguous()


@functools.lru_cache(KEPT)
def _kept(height: int, width: int, kernel_size: int) -> tuple[Tensor, Tensor, Tensor]:
    with torch.inference_mode(False):  # whoever asks first, they are plain tensors
        return _tables(height, width, kernel_size)


def half_plane(height: int, width: int) -> list[tuple[int, int]]:
    """One frequency of each pair of conjugates on a grid.

    >>> half_plane(3, 2), len(half_plane(9, 9))
    ([(0, 0), (0, 1), (1, 0), (1, 1)], 41)
    """
    found: dict[tuple[int, int], None] = {}
    for row in range(height):
        for column in range(width):
            if _conjugate((row, column), (height, width)) not in found:
                found[row, column] = None
    return list(found)


def _conjugate(frequency: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    return -frequency[0] % grid[0], -frequency[1] % grid[1]


def _parts(frequencies: list[tuple[int, int]], places: Tensor, grid: tuple[int, int], alone: Tensor) -> Tensor:
    """(frequencies, 2, places): cos and -sin of 2 pi (a r / H + b c / W); no sine where the frequency is real.

    The angle is reduced as a whole number of steps of 2 pi / (H W) first, so that it stays exact.
    """
    rows, columns = torch.tensor(frequencies).T
    steps = torch.outer(rows, places[:, 0]) * grid[1] + torch.outer(columns, places[:, 1]) * grid[0]
    size = math.prod(grid)
    angle = (steps % size).to(torch.float64) * (2 * math.pi / size)
    sine = torch.where(alone.unsqueeze(1), 0.0, -angle.sin())
    return torch.stack([angle.cos(), sine], dim=1)
