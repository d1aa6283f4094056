"""Variants of a stored model: what a file may claim or hold, true or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lipscope.files.checkpoint import metadata_for, read_header

CONV = "stage2.block1.conv.kernel"


def alter(
    path: Path,
    *,
    config: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    tensors: Callable[[dict[str, Tensor]], object] = lambda tensors: None,
) -> Path:
    """Write the file again with another configuration, other metadata, or changed tensors."""
    header = read_header(path)
    content = load_file(path)
    tensors(content)
    claims = metadata_for({**(header.config or {}), **(config or {})}, dict(header.training))
    save_file(content, path, {**claims, **(metadata or {})})
    return path


def scaled(factor: float) -> Callable[[dict[str, Tensor]], object]:
    """Every weight of one convolution times a factor: still skew-symmetric."""
    return lambda tensors: tensors[CONV].mul_(factor)


def one_weight(factor: float) -> Callable[[dict[str, Tensor]], object]:
    """The largest weight of one convolution times a factor: no longer skew-symmetric."""

    def change(tensors: dict[str, Tensor]) -> None:
        flat = tensors[CONV].view(-1)
        flat[int(flat.abs().argmax())] *= factor

    return change


def spoiled(value: float, name: str = CONV) -> Callable[[dict[str, Tensor]], object]:
    """One weight set to a value."""
    return lambda tensors: tensors[name].view(-1).__setitem__(5, torch.tensor(value))
