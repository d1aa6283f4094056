"""The sound part of ``lipscope certify``: float64 after float32, with both times told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from lipscope.certify.evaluate import LARGEST_RADIUS_ERROR, certificates_of
from lipscope.certify.sound import BATCH, certify_soundly, sound_objection
from lipscope.commands.messages import narrate
from lipscope.commands.progress import images_bar
from lipscope.environment import full_precision
from lipscope.files.results import SOUND

if TYPE_CHECKING:
    from lipscope.certify.budget import Budget
    from lipscope.certify.partial import Progress
    from lipscope.commands.certify_images import Chosen
    from lipscope.data import ImageSet
    from lipscope.files.results import Certificates
    from lipscope.models.stored import StoredModel

TIMED_IMAGES = 256
"""Images that tell how long float32 takes, where its results were kept."""


class Stopwatch:
    """How many images a second an evaluation does, by its own progress.

    Args:
        batch_size: of the evaluation; more images than that at once were finished by an earlier run.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._images = 0
        self._seconds = 0.0

    def following(self, advance: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """``advance``, watched from now on."""
        before, started = 0, time.perf_counter()

        def watched(done: int, total: int) -> None:
            nonlocal before, started
            now = time.perf_counter()
            self._images += min(done - before, self._batch_size)
            self._seconds += now - started
            before, started = done, now
            advance(done, total)

        return watched

    @property
    def rate(self) -> float:
        """Images a second; 0 before the first."""
        return self._images / self._seconds if self._seconds else 0.0


@dataclass(frozen=True)
class WithSound:
    """Certificates with sound radii.

    Args:
        certificates: both kinds of radii.
        logits: (n, classes) float64.
        budget: what was subtracted.
    """

    certificates: Certificates
    logits: torch.Tensor
    budget: Budget


def sound_radii_hold(found: Certificates, model: StoredModel, data: ImageSet) -> bool:
    """Whether the kept sound radii may answer; if there are any that may not, that is told."""
    reason = sound_objection(found, model, data)
    if reason and found.sound_radius is not None:
        narrate(f"the kept sound radii do not answer: {reason}")
    return not reason


def add_sound_radii(
    known: Certificates | None,
    model: StoredModel,
    chosen: Chosen,
    device: str,
    float32_rate: float,
    progress: Progress | None,
) -> WithSound:
    """Evaluate in float64 and add the sound radii.

    Args:
        known: the float32 results; None where float32 is too coarse, and predictions and radii come from float64. A
            radius that the proof does not confirm, because float64 is too coarse as well, is then the sound one.
        float32_rate: images a second just now; 0 if they were kept, and some are timed.
    """
    data = chosen.data
    watch = Stopwatch(BATCH)
    with images_bar("certifying in float64", len(data)) as advance:
        sound = certify_soundly(
            model, data, None if known is None else known.predicted, device=device,
            on_progress=watch.following(advance), progress=progress,
        )  # fmt: skip
    _tell_times(len(data), float32_rate or _float32_rate(model, data, device), watch.rate)
    if known is None:
        lipschitz = model.net.lipschitz_bound().value
        known = certificates_of(model, data, chosen.index, sound.logits, lipschitz, sound.environment)
        unconfirmed = known.radius - sound.radius > LARGEST_RADIUS_ERROR
        known = replace(known, radius=np.where(unconfirmed, sound.radius, known.radius))
    nothing = int((sound.radius == 0).sum())
    if nothing:
        narrate(f"{nothing} of {len(data)} margins do not exceed the rounding errors of float64: sound radius 0")
    environment = {**known.environment, SOUND: sound.environment}
    return WithSound(replace(known, sound_radius=sound.radius, environment=environment), sound.logits, sound.budget)


def _float32_rate(model: StoredModel, data: ImageSet, device: str) -> float:
    images = torch.from_numpy(data.images[:TIMED_IMAGES])
    net = model.net.to(device)
    with full_precision(), torch.inference_mode():
        net(images[:1].to(device, torch.float32) / 255)
        started = time.perf_counter()
        (net(images.to(device, torch.float32) / 255)).cpu()
        seconds = time.perf_counter() - started
    net.to("cpu")
    return len(images) / seconds


def _tell_times(n: int, single: float, double: float) -> None:
    if single and double:
        narrate(
            f"float32 {single:.0f} images/s, float64 {double:.0f} images/s: for {n} images {n / single:.1f} s and "
            f"{n / double:.1f} s, {single / double:.1f} times as long"
        )
