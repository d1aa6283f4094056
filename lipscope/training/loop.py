"""The training loop: from images in memory to a stored model, resumable at every step."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lipscope.data import ImageSet
from lipscope.data.extra import Extra
from lipscope.errors import LipscopeError, UsageError
from lipscope.files.run_log import Status
from lipscope.models.composition import LipschitzNet
from lipscope.models.registry import build
from lipscope.models.stored import StoredModel, save_model
from lipscope.processes.world import World
from lipscope.records import RunEvent, StepEvent
from lipscope.training.augment import crop_and_flip
from lipscope.training.distillation import soft_labels
from lipscope.training.distort import distort
from lipscope.training.hardware import describe_hardware
from lipscope.training.holdout import split_holdout, validate
from lipscope.training.layerwise import Allowance, few_images
from lipscope.training.pace import Decay, Pace
from lipscope.training.run import RunFolder
from lipscope.training.step import make_optimizer, take_step

SAVE_EVERY = 300.0
"""Seconds between saves inside an epoch."""

REPORT_EVERY = 0.5
"""Seconds between progress reports."""

Compiled = Literal["default", "reduce-overhead"]
"""A mode of ``torch.compile``; the second one replays CUDA graphs, so that launching kernels takes no time."""


@dataclass(frozen=True)
class Listeners:
    """Who is told of a training's progress, and who may end it.

    Args:
        on_step: called about twice a second.
        on_epoch: called after every epoch.
        should_stop: asked before every step; when it says yes, the state is saved and the training returns.
    """

    on_step: Callable[[StepEvent], None] = lambda event: None
    on_epoch: Callable[[RunEvent], None] = lambda event: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass
class Counters:
    """What changes while training, besides the weights and the optimiser.

    Args:
        step: optimiser steps finished.
        sums: (3,) loss, correct and certified, summed over this process's images of the epoch so far; as saved, over
            those of all processes.
        best: the best validation score so far.
        seconds: wall time of the earlier sessions of this run.
        decay: of a training by the clock.
    """

    step: int
    sums: Tensor
    best: float = -math.inf
    seconds: float = 0.0
    decay: Decay | None = None


def train(
    run: RunFolder,
    data: ImageSet,
    world: World,
    listeners: Listeners | None = None,
    *,
    force: bool = False,
    compiled: Compiled | None = None,
    teacher: StoredModel | None = None,
) -> bool:
    """Train from the start, or from the saved state of the run folder, to the end.

    On the same device with the same threads a run that was stopped and resumed gives the same weights, bit for bit,
    as an unbroken one: batches and crops are drawn from (seed, step), never from a running generator.

    Args:
        run: the folder; only rank 0 writes to it.
        data: training images.
        world: this process among its peers.
        listeners: told of the progress.
        force: see :meth:`RunFolder.prepare`.
        compiled: whether ``torch.compile`` makes fewer and larger kernels of a step, and how.
        teacher: whose probabilities are learnt; that of the recipe.

    Returns:
        whether the training is finished.

    Raises:
        BusyError: another process trains in this folder.
        LipscopeError: the loss or a weight is no longer finite, or the folder cannot be written to.
        CheckpointError: the saved state or the metrics are damaged.
        UsageError: a batch that cannot be shared among the processes, too few images, both to compile and recompute, or
            other extra images or another teacher than the run's.
    """
    batch = min(run.recipe.batch_size, max(len(data) - run.recipe.holdout, 1))
    if batch % world.size:
        raise UsageError(f"a batch of {batch} cannot be shared by {world.size} processes", next_step="change --batch")
    if compiled and run.recipe.recompute:
        raise UsageError("a run with --recompute cannot be compiled", next_step="leave out one of the two")
    _check_source(run, "extra", data.extra)
    _check_source(run, "teacher", teacher)
    asked = listeners or Listeners()
    last: StepEvent | None = None

    def on_step(event: StepEvent) -> None:
        nonlocal last
        last = event
        if world.rank == 0:
            run.tell("running", event)
        asked.on_step(event)

    with run.held() if world.rank == 0 else nullcontext():
        if world.rank == 0:
            run.prepare(force=force)
        world.any(False)  # the others read nothing before it is in order
        status: Status = "failed"
        try:
            finished = _train(run, data, world, replace(asked, on_step=on_step), compiled, teacher)
            status = "finished" if finished else "stopped"
        finally:
            # Nothing is said where nothing was done: the run was finished before.
            if world.rank == 0 and (last is not None or status != "finished"):
                run.tell(status, last)
    return finished


def _check_source(run: RunFolder, name: Literal["extra", "teacher"], given: Extra | StoredModel | None) -> None:
    """That this is the file which the run learns from.

    Raises:
        UsageError: it is another one, or one too many or too few.
    """
    expected: str = getattr(run.recipe, name)
    if (given.sha256 if given is not None else "") != expected:
        raise UsageError(
            f"not the --{name} that the run learns from", where=str(run.path),
            why=f"its file has the SHA-256 {expected}" if expected else "it learns from none",
            next_step=f"give that file with --{name}" if expected else f"leave --{name} out",
        )  # fmt: skip


def _train(
    run: RunFolder,
    data: ImageSet,
    world: World,
    listeners: Listeners,
    compiled: Compiled | None,
    teacher: StoredModel | None,
) -> bool:
    recipe = run.recipe
    split = split_holdout(data, recipe.holdout, recipe.seed, world.device)
    batch = min(recipe.batch_size, len(split.labels))
    mixed = round(batch * recipe.extra_share)
    own = batch - mixed
    if not own or bool(mixed) != bool(recipe.extra):
        raise UsageError(f"a batch of {batch} cannot be shared as {recipe.extra_share:g}", next_step="change --batch")
    steps_per_epoch = len(split.labels) // own

    torch.manual_seed(recipe.seed)
    net = build(run.config.to_json(), str(run.path))
    net.make_trainable()
    net.to(world.device).train()
    features = torch.compile(net.features, mode=compiled) if compiled else None
    optimizer = make_optimizer(net, recipe)
    counters = Counters(0, torch.zeros(3, dtype=torch.float64, device=world.device))
    state = run.load_state(world.device)
    if state is not None:
        try:
            net.load_state_dict(state.pop("net"))
            optimizer.load_state_dict(state.pop("optimizer"))
            counters = Counters(**state)
            counters.decay = Decay(*counters.decay) if counters.decay is not None else None
            # Each takes an equal part, so that all parts together are the sums again.
            counters.sums /= world.size
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise run.damaged_state(error) from error
    pace = Pace(recipe, steps_per_epoch, counters.decay)
    if world.rank == 0:
        # The clock may end a training within an epoch, whose line then stays.
        whole, rest = divmod(counters.step, steps_per_epoch)
        run.forget_after(whole + bool(rest and pace.finished(counters.step)))
    watch, allowance, layer_images = Stopwatch(counters), Allowance(), few_images(split)

    def save() -> None:
        """Together with the other processes: the sums are of all of them."""
        sums = world.total(counters.sums.clone())
        if world.rank == 0:
            decay = tuple(counters.decay) if counters.decay else None
            state = {**vars(counters), "sums": sums, "seconds": watch.seconds(), "decay": decay}
            run.save_state({**state, "net": net.state_dict(), "optimizer": optimizer.state_dict()})
        watch.saved = time.perf_counter()

    if state is None:
        save()  # a model without a state is then never this run's own, whenever a kill comes
    softened: Tensor | None = None
    if teacher is not None and not pace.finished(counters.step):
        softened = soft_labels(
            teacher,
            split.images,
            recipe.teacher_temperature,
            world,
            bfloat16=recipe.bfloat16,
            should_stop=listeners.should_stop,
        )
        if softened is None:
            return False
    order, order_of = torch.empty(0, dtype=torch.int64), -1
    while not pace.finished(counters.step):
        decay = pace.decay_due(counters.step, watch.seconds())
        stop, due, decay = world.any(listeners.should_stop(), watch.save_due(), decay)
        if decay:
            pace.begin_decay(counters.step)
            counters.decay = pace.decay
            watch.since_last()
        if stop or due or decay:
            save()
        if stop:
            return False
        epoch, within = divmod(counters.step, steps_per_epoch)
        if order_of != epoch:
            order = torch.randperm(len(split.labels), generator=_generator(recipe.seed, 0, epoch))
            order_of = epoch
        chosen = order[within * own : (within + 1) * own]
        if split.extra is not None:
            drawn = torch.randint(len(split.extra), (mixed,), generator=_generator(recipe.seed, 2, counters.step))
            chosen = torch.cat([chosen, len(split.labels) + drawn])
        mine = world.share(chosen)
        pictures, labels = split.batch(mine)
        soft = None if softened is None else softened[mine.to(world.device)]
        draws = _generator(recipe.seed, 1, counters.step)
        images = crop_and_flip(
            pictures,
            draws,
            world.part,
            batch,
            padding=pace.padding(counters.step),
            padding_mode=recipe.padding_mode,
        )
        images = distort(images, draws, pace.distortion(counters.step), world.part, batch)
        for group in optimizer.param_groups:
            group["lr"] = pace.learning_rate(counters.step)
        at = counters.step
        now = replace(recipe, temperature=pace.temperature(at), gamma=pace.gamma(at), offset=pace.offset(at))
        counters.sums += take_step(net, optimizer, (images, labels), now, world, features, soft)
        counters.step += 1
        if pace.is_due(counters.step):
            # By the clock of one process: every other must take the same steps.
            clock = torch.tensor(watch.since_last(), dtype=torch.float64, device=world.device)
            pace.set_decay(counters.step, *world.total(clock * (world.rank == 0)).tolist())
            counters.decay = pace.decay

        last = pace.finished(counters.step)
        if watch.report_due() or last:
            # Sums of this process alone: joining them at a moment that each clock chooses would deadlock.
            seen = (within + 1) * batch // world.size
            loss, accuracy, certified = (counters.sums / seen).tolist()
            _check_finite(loss, run, epoch)
            speed = watch.images_per_second(batch)
            steps = pace.steps(counters.step, watch.seconds())
            left = pace.seconds_left(counters.step, watch.seconds(), speed / batch)
            epochs = -(-steps // steps_per_epoch)
            listeners.on_step(
                StepEvent(epoch + 1, epochs, counters.step, steps, loss, accuracy, certified, speed, left)
            )
        if within + 1 < steps_per_epoch and not last:
            continue
        epochs = -(-pace.steps(counters.step, watch.seconds()) // steps_per_epoch)
        loss, accuracy, certified = (world.total(counters.sums.clone()) / ((within + 1) * batch)).tolist()
        _check_finite(loss, run, epoch)
        throughput = watch.end_epoch(batch)
        frozen = net.frozen()
        validation = validate(frozen, split, world)
        if world.rank == 0 and (validation is None or validation[1] > counters.best):
            _store(run, frozen, world, epoch + 1, counters.step, watch.seconds())
        if validation is not None:
            counters.best = max(counters.best, validation[1])
        event = RunEvent(
            epoch=epoch + 1,
            epochs=epochs,
            step=counters.step,
            loss=loss,
            train_accuracy=accuracy,
            train_certified=certified,
            validation_accuracy=validation[0] if validation else None,
            validation_certified=validation[1] if validation else None,
            learning_rate=optimizer.param_groups[0]["lr"],
            images_per_second=round(throughput, 1),
            seconds=round(watch.seconds(), 2),
        )
        if world.rank == 0:
            layers = None
            if epoch == 0 or last or allowance.allows(watch.seconds()):
                layers = allowance.measure(frozen, layer_images, epoch + 1, counters.step)
            run.append(event, layers)
        listeners.on_epoch(event)
        if within + 1 == steps_per_epoch:  # one that the clock cut off is whole once the run is extended
            counters.sums.zero_()
        save()
    return True


class Stopwatch:
    """The clocks of a training: wall time, throughput, and when to report and to save."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._before = counters.seconds
        self._started = self.saved = self._reported = self._epoch_started = time.perf_counter()
        self._window = (self._started, counters.step)
        self._epoch_first = counters.step
        self._marked = (self.seconds(), counters.step)

    def seconds(self) -> float:
        """Wall time of the run, over all its sessions."""
        return self._before + time.perf_counter() - self._started

    def since_last(self) -> tuple[float, float]:
        """Wall time of the run, and steps per second since this was asked last, everything between them included."""
        before, now = self._marked, (self.seconds(), self._counters.step)
        self._marked = now
        return now[0], (now[1] - before[1]) / max(now[0] - before[0], 1e-9)

    def save_due(self) -> bool:
        """Whether the last save is too long ago, by this process's clock."""
        return time.perf_counter() - self.saved > SAVE_EVERY

    def report_due(self) -> bool:
        """Whether a progress report is due; asking resets the clock."""
        now = time.perf_counter()
        due = now - self._reported > REPORT_EVERY
        if due:
            self._reported = now
        return due

    def images_per_second(self, batch: int) -> float:
        """Throughput over the last minute or so."""
        now = time.perf_counter()
        speed = (self._counters.step - self._window[1]) * batch / (now - self._window[0])
        if now - self._window[0] > 60:
            self._window = (now, self._counters.step - 1)
        return max(speed, 1e-9)

    def end_epoch(self, batch: int) -> float:
        """Throughput of the epoch that ends here."""
        now = time.perf_counter()
        speed = (self._counters.step - self._epoch_first) * batch / (now - self._epoch_started)
        self._epoch_started, self._epoch_first = now, self._counters.step
        return speed


def _generator(seed: int, purpose: int, number: int) -> torch.Generator:
    """A generator that depends on nothing but its arguments, so that any step can be drawn again.

    torch's generator on a CPU uses 32 bits of its seed; hashed, all bits of the arguments count.
    """
    digest = hashlib.blake2b(f"{seed} {purpose} {number}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def _check_finite(loss: float, run: RunFolder, epoch: int) -> None:
    if not math.isfinite(loss):
        raise LipscopeError(
            "the training diverged: the loss is not finite",
            where=str(run.path),
            why=f"in epoch {epoch + 1}",
            next_step="lower --lr",
        )


def _store(run: RunFolder, frozen: LipschitzNet, world: World, epoch: int, step: int, seconds: float) -> None:
    """Write the model with what ``lipscope.training`` claims of the run."""
    claims = {
        "recipe": run.recipe.to_json(),
        "seed": run.recipe.seed,
        "epoch": epoch,
        "steps": step,
        "processes": world.size,
        "hardware": describe_hardware(world.device),
        "wall_seconds": round(seconds, 1),
    }
    save_model(frozen, run.model, run.config.to_json(), claims)
