"""Learning from a teacher: what another network makes of the images, instead of their labels alone.

Hinton, Vinyals & Dean, *Distilling the Knowledge in a Neural Network*, 2015. The teacher need not be 1-Lipschitz: any
file that lipscope can read will do. Nothing of it is in what is trained, and no bound rests on it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lipscope.data import ImageSet
from lipscope.errors import LipscopeError, UsageError
from lipscope.models.stored import StoredModel, load_model
from lipscope.processes.world import World

BATCH = 500
"""Images that the teacher sees at a time."""


def open_teacher(path: Path, data: ImageSet) -> StoredModel:
    """The teacher in a file.

    Raises:
        CheckpointError: as :func:`lipscope.models.stored.load_model`.
        UsageError: it takes other images, or has another number of classes.
    """
    teacher = load_model(path)
    takes, classes = teacher.net.input_shape, teacher.net.head.classes
    if takes != data.images.shape[1:] or classes != len(data.classes):
        raise UsageError(
            "a teacher of something else", where=str(path),
            why=f"it takes {takes} and knows {classes} classes, {data.name} has {data.images.shape[1:]} and "
            f"{len(data.classes)}",
            next_step="give a network that was trained on the same classes",
        )  # fmt: skip
    return teacher


def soft_labels(
    teacher: StoredModel,
    images: Tensor,
    temperature: float,
    world: World,
    *,
    bfloat16: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> Tensor | None:
    """softmax(z / T) of the images, z the mean of the teacher's logits of an image and its mirror image.

    They are computed once, of the whole images: a student that sees them shifted by a few pixels learns the same.

    Args:
        teacher: on any device.
        images: (N, C, H, W) uint8.
        temperature: T > 0, in units of the teacher's logits; the higher, the more is said of the other classes.
        world: the processes that share the work.
        bfloat16: whether the teacher computes in it.
        should_stop: asked before every batch.

    Returns:
        (N, classes) float32, on the device of the images; None where it was stopped.

    Raises:
        LipscopeError: a logit is not finite.
    """
    net = teacher.net.to(images.device).eval()

    def of(part: slice) -> Tensor:
        x = images[part].to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
            logits = (net(x).float() + net(x.flip(-1)).float()) / 2
        found: Tensor = (logits.double() / temperature).softmax(1).cpu()
        return found

    parts = []
    for _, found in world.rows(of, net.head.classes, 0, len(images), BATCH):
        if any(world.any(should_stop())):
            return None
        parts.append(found)
    rows = torch.cat(parts)
    if not bool(torch.isfinite(rows).all()):
        raise LipscopeError(
            "the teacher has no answer", why="some of its logits are not finite",
            next_step="give another --teacher",
        )  # fmt: skip
    return rows.to(images.device, torch.float32)
