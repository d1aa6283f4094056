"""The images that gradients are measured on, and in which words they are reported."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from lipscope.data import load
from lipscope.errors import DataError, UsageError
from lipscope.records import Shape
from lipscope.visible import counted

IMAGES = 64
FEWEST = 4
LARGEST_BATCH = 2**20
"""Numbers in all images together, from which on there are fewer of them: their activations are kept."""


def measuring_images(dataset: str | None, shape: Shape, data_dir: Path | None) -> tuple[Tensor, str]:
    """Test images of a data set; synthetic ones where it is not there, noise where they have another shape.

    Args:
        dataset: its name, as a file claims it; None for none.
        shape: of one image.
        data_dir: where to look.

    Returns:
        (N, *shape) in [0, 1], and which images they are.
    """
    count = max(FEWEST, min(IMAGES, LARGEST_BATCH // math.prod(shape)))
    data = None
    source = f"{counted(count, 'synthetic image')} (no data set was named)"
    if dataset is not None:
        try:
            data = load(dataset, "test", data_dir)
            source = f"{counted(count, 'image')} of {data.name} test"
        except (DataError, UsageError) as error:
            # A name that lipscope does not know may hold anything, escape sequences too.
            missing = dataset if isinstance(error, DataError) else f"data set {dataset[:40]!r}"
            source = f"{counted(count, 'synthetic image')} ({missing} was not found)"
    images = torch.from_numpy((data or load("synthetic", "test")).images[:count]).to(torch.float32) / 255
    if images.shape[1:] == shape:
        return images, source
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, *shape, generator=generator), f"{counted(count, 'image')} of uniform noise"
