"""Training images kept apart to pick the epoch, so that the test set is never looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.data import ImageSet
from lipscope.data.extra import Extra
from lipscope.errors import UsageError
from lipscope.models.composition import LipschitzNet
from lipscope.processes.world import World
from lipscope.training.losses import correct_and_certified, nominal_pair_constants
from lipscope.visible import counted


@dataclass(frozen=True)
class TrainingSet:
    """The training images on the device: those that are learnt from, and those that only pick the epoch.

    Args:
        images, labels: (N, C, H, W) uint8 and (N,).
        held_images, held_labels: the held-out part, possibly empty.
        extra: more to learn from, on the disk, numbered on from the others.
    """

    images: Tensor
    labels: Tensor
    held_images: Tensor
    held_labels: Tensor
    extra: Extra | None = None

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels, on the device, of these numbers; those of the extra images come last."""
        device, few = self.labels.device, len(self.labels)
        own = chosen[chosen < few].to(device)
        images, labels = self.images[own], self.labels[own]
        if self.extra is None or len(own) == len(chosen):
            return images, labels
        more = [torch.from_numpy(part).to(device) for part in self.extra.batch((chosen[chosen >= few] - few).numpy())]
        return torch.cat([images, more[0]]), torch.cat([labels, more[1]])


def split_holdout(data: ImageSet, holdout: int, seed: int, device: torch.device) -> TrainingSet:
    """Keep ``holdout`` random training images apart.

    Raises:
        UsageError: not enough images are left.
    """
    if holdout >= len(data):
        raise UsageError(
            "fewer training images than are to be held out", why=f"{counted(len(data), 'image')}, {holdout} held"
        )
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    held, kept = order[:holdout], order[holdout:].sort().values
    parts = (images[kept], labels[kept], images[held], labels[held])
    images, labels, held_images, held_labels = (part.to(device) for part in parts)
    return TrainingSet(images, labels, held_images, held_labels, data.extra)


@torch.no_grad()
def validate(net: LipschitzNet, split: TrainingSet, world: World) -> tuple[float, float] | None:
    """Clean and certified accuracy of the frozen model on the held-out images, in float32; None without them."""
    if not len(split.held_labels):
        return None
    constants = nominal_pair_constants(net).to(world.device)
    mine = world.share(torch.arange(len(split.held_labels)))
    counts = torch.zeros(2, dtype=torch.float64, device=world.device)
    for chosen in mine.split(500):
        logits = net(split.held_images[chosen].to(torch.float32) / 255)
        counts += correct_and_certified(logits, split.held_labels[chosen], constants)
    accuracy, certified = (world.total(counts) / len(split.held_labels)).tolist()
    return accuracy, certified
