"""The logits of single images, for those who look at one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lipscope.environment import full_precision
from lipscope.errors import DataError
from lipscope.models.stored import StoredModel, load_model


@dataclass(frozen=True)
class LogitsOf:
    """A stored model that answers for one image at a time.

    Args:
        model: on the CPU.
    """

    model: StoredModel

    @property
    def sha256(self) -> str:
        """Of the bytes that the weights were read from."""
        return self.model.sha256

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(classes,) evaluated in float32: estimates.

        Args:
            pixels: (C, H, W) bytes.

        Raises:
            DataError: an image of another size than the model takes.
        """
        net = self.model.net
        if pixels.shape != net.input_shape:
            raise DataError("an image of another size", why=f"{pixels.shape}, the model takes {net.input_shape}")
        with full_precision(), torch.inference_mode():
            image = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch.float32) / 255
            values: NDArray[np.float64] = net(image.unsqueeze(0))[0].double().numpy()
        return values


def logits_of(path: Path) -> LogitsOf:
    """The model at ``path``, ready to answer.

    Raises:
        CheckpointError: as :func:`lipscope.models.stored.load_model`.
    """
    return LogitsOf(load_model(path))
