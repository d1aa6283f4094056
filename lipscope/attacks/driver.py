"""Run the attacks batch by batch: resumable, and the same for the same seed whatever was interrupted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipscope.attacks.best import Best
from lipscope.attacks.boundary import NUDGES, SHARES, boundary
from lipscope.attacks.foolbox_attacks import foolbox_attack, run_foolbox
from lipscope.attacks.minimum import PROJECTIONS, minimum
from lipscope.attacks.pgd import pgd
from lipscope.attacks.target import Target
from lipscope.certification.partial import Progress, order_digest
from lipscope.data import ImageSet
from lipscope.environment import environment, full_precision
from lipscope.errors import UsageError
from lipscope.models.composition import LipschitzNet
from lipscope.models.stored import StoredModel
from lipscope.processes.world import World
from lipscope.records.certificates import Certificates
from lipscope.units import DEFAULT_EPS, format_eps

ATTACKS = ("minimum", "pgd", "boundary")
"""In the order in which they run: each begins where the ones before have come."""

COLUMNS = 4
"""Of the progress, before the pixels: distance, attack that found it, whether float32 sees it too, the class there."""


@dataclass(frozen=True)
class Settings:
    """What decides the outcome of an attack, beside the model and the images.

    Args:
        attacks: of :data:`ATTACKS`.
        foolbox: classes of ``foolbox.attacks``, which run after them.
        eps: the radii of PGD.
        steps: of PGD and of the refinement, in each restart.
        restarts: of PGD at each eps, and how many rival classes the minimum-norm search begins with.
        seed: of every random draw.
        batch_size: images at a time.
    """

    attacks: tuple[str, ...] = ATTACKS
    foolbox: tuple[str, ...] = ()
    eps: tuple[Fraction, ...] = DEFAULT_EPS
    steps: int = 15
    restarts: int = 2
    seed: int = 0
    batch_size: int = 100

    @property
    def names(self) -> tuple[str, ...]:
        """Every attack that runs, in order."""
        return (*(name for name in ATTACKS if name in self.attacks), *(f"foolbox:{name}" for name in self.foolbox))

    def to_json(self) -> dict[str, Any]:
        """As it is kept with the results."""
        return {**asdict(self), "attacks": list(self.names), "eps": [format_eps(eps) for eps in self.eps]} | {
            "foolbox": list(self.foolbox)
        }


@dataclass(frozen=True)
class Outcome:
    """What the attacks found on n images.

    Args:
        distance: (n,) float64, the smallest at which the class changes in float64, rounded up; inf where none.
        found_by: (n,) the number of the attack in ``Settings.names``; -1 where nothing was found.
        in_float32: (n,) whether float32 sees the change at that point too.
        changed: (n,) the class in float64 at the nearest point; -1 where nothing was found.
        point: (n, C, H, W) float32, that point exactly as it was confirmed; the image where nothing was found.
        environment: versions, device, precision flags.
    """

    distance: NDArray[np.float64]
    found_by: NDArray[np.int64]
    in_float32: NDArray[np.bool_]
    changed: NDArray[np.int64]
    point: NDArray[np.float32]
    environment: Mapping[str, Any] = field(default_factory=dict)


Found = Callable[[int, Tensor, Tensor], None]
"""Told of an adversarial inside a certified radius: the row, the image (uint8) and the point (float32), on the CPU."""


def check_settings(settings: Settings) -> None:
    """Refuse attacks that do not exist, before hours are spent on the others.

    Raises:
        UsageError: naming them.
    """
    for name in settings.attacks:
        if name not in ATTACKS:
            raise UsageError(f"no attack {name!r}", where="--attacks", next_step=f"choose of {','.join(ATTACKS)}")
    for name in settings.foolbox:
        foolbox_attack(name)
    if not settings.names:
        raise UsageError("no attack is left", where="--attacks", next_step=f"choose of {','.join(ATTACKS)}")


def attack(
    model: StoredModel,
    data: ImageSet,
    certificates: Certificates,
    settings: Settings,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_violation: Found = lambda row, image, point: None,
    world: World | None = None,
) -> Outcome:
    """Try to change the certified predictions of these images.

    Args:
        model: a stored model.
        data: the images.
        certificates: of these very images, in the same order.
        settings: see :class:`Settings`.
        device: a torch device.
        progress: continued from, and kept up to date after each batch; see :func:`progress_of`.
        on_progress: told (images done, images in all), also within a batch.
        on_violation: told at once of every adversarial strictly inside a certified radius.
        world: the processes that share the work, of which this is the first; None for this one alone.

    Raises:
        UsageError: an attack does not exist.
    """
    check_settings(settings)
    n = len(data)
    shape = data.images.shape[1:]
    # float64 holds the float32 pixels exactly: one array, so that distances and pixels are kept together or not at all.
    rows = torch.full((n, COLUMNS + math.prod(shape)), math.nan, dtype=torch.float64)
    earlier = progress.load() if progress else None
    done = 0 if earlier is None else len(earlier)
    if earlier is not None:
        rows[:done] = earlier
    on_progress(done, n)
    here = world or World(0, 1, torch.device(device))
    with full_precision(device):
        context = environment(device)
    claims = certificates.predicted, certificates.radius, certificates.index, model_lipschitz(certificates)
    # Alone, the bar moves within a batch as well.
    within = on_progress if here.size == 1 else _silent
    for some, found in here.begin(_found, model.net, data.images, claims, settings, done, within):
        rows[some] = found
        for row in np.flatnonzero(rows[some, 0].numpy() < certificates.radius[some]).tolist():
            point = found[row, COLUMNS:].to(torch.float32).reshape(shape)
            model.net.to("cpu")
            on_violation(some.start + row, torch.from_numpy(data.images[some.start + row]), point)
            model.net.to(here.device)
        if progress:
            progress.update(rows[: some.stop])
        on_progress(some.stop, n)
    return Outcome(
        distance=rows[:, 0].numpy().copy(),
        found_by=rows[:, 1].numpy().astype(np.int64),
        in_float32=rows[:, 2].numpy().astype(np.bool_),
        changed=rows[:, 3].numpy().astype(np.int64),
        point=rows[:, COLUMNS:].numpy().astype(np.float32).reshape(n, *shape),
        environment=context,
    )


def _silent(done: int, total: int) -> None:
    pass


def _found(
    world: World,
    net: LipschitzNet,
    images: NDArray[np.uint8],
    claims: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], float],
    settings: Settings,
    done: int,
    on_progress: Callable[[int, int], None],
) -> Iterator[tuple[slice, Tensor]]:
    """What is found on the images from number ``done`` on, as each turn of the processes brings it.

    Args:
        world: the processes that share the work.
        net: in eval mode.
        images: (n, C, H, W).
        claims: the predicted classes, the radii, the record numbers, and L.
        settings: of the attacks.
        done: images of an earlier run.
        on_progress: told of the bar within a batch.
    """
    predicted, radius, index, lipschitz = claims
    n, shape = len(images), images.shape[1:]
    where = str(world.device)
    with full_precision(where):
        ready = net.to(world.device).prepared((n - done) * sum(_evaluations(settings).values()))
    pairs = (ready.head.pair_bounds() * lipschitz).to(world.device)

    def found(some: slice) -> Tensor:
        classes = torch.from_numpy(predicted[some]).to(world.device)
        target = Target(
            net=ready,
            pixels=torch.from_numpy(images[some]).to(world.device),
            predicted=classes,
            constants=pairs[classes].to(torch.float32).clamp(min=1e-30),
            radius=torch.from_numpy(radius[some]).to(world.device),
            index=tuple(index[some].tolist()),
            seed=settings.seed,
        )
        with full_precision(where):
            best = _attacked(target, settings, _within(on_progress, some.start, len(target), n, settings))
            columns = torch.stack(
                [each.cpu().double() for each in (best.distance, best.found_by, best.in_float32, best.changed())], dim=1
            )
        return torch.cat([columns, best.point.flatten(1).cpu().double()], dim=1)

    yield from world.rows(found, COLUMNS + math.prod(shape), done, n, settings.batch_size)
    net.to("cpu")


def model_lipschitz(certificates: Certificates) -> float:
    """L as the certificates have it; it only ranks classes and scales steps."""
    return certificates.lipschitz if math.isfinite(certificates.lipschitz) and certificates.lipschitz > 0 else 1.0


def progress_of(
    path: Path,
    model: StoredModel,
    data: ImageSet,
    certificates: Certificates,
    settings: Settings,
    *,
    device: str,
    note: Callable[[str], None],
) -> Progress:
    """The progress of :func:`attack` with these arguments, in the side file ``path``."""
    with full_precision(device):
        context = environment(device)
    claimed = hashlib.sha256(certificates.predicted.tobytes() + certificates.radius.tobytes())
    about = {
        "of": "attack distances and pixels",
        "model_sha256": model.sha256,
        "images": order_digest(data, certificates.index),
        "claims": claimed.hexdigest(),
        "settings": settings.to_json(),
        "environment": context,
    }
    columns = COLUMNS + math.prod(data.images.shape[1:])
    return Progress(path, about, (len(data), columns), torch.float64, note)


def _attacked(target: Target, settings: Settings, on_step: Callable[[], None]) -> Best:
    best = Best(target)
    for number, name in enumerate(settings.names):
        best.attack = number
        if name == "minimum":
            minimum(best, settings.steps, settings.restarts, on_step)
        elif name == "pgd":
            pgd(best, settings.eps, settings.steps, settings.restarts, on_step)
        elif name == "boundary":
            boundary(best, on_step)
        else:
            run_foolbox(best, name.removeprefix("foolbox:"), settings.eps, on_step)
    return best


def _evaluations(settings: Settings) -> dict[str, int]:
    """By attack, the most evaluations of an image that count as progress."""
    most = {
        "minimum": settings.restarts * (PROJECTIONS + settings.steps),
        "pgd": len(settings.eps) * settings.restarts * (settings.steps + 1),
        "boundary": 4 + 3 * len(SHARES) + NUDGES,
    }
    return {name: most.get(name, 1) for name in settings.names}


def _within(
    on_progress: Callable[[int, int], None], done: int, size: int, total: int, settings: Settings
) -> Callable[[], None]:
    """Moves the bar within a batch, by the share of evaluations done out of the most there can be."""
    planned, steps = sum(_evaluations(settings).values()), 0

    def step() -> None:
        nonlocal steps
        steps += 1
        on_progress(done + min(size * steps // planned, size - 1), total)

    return step
