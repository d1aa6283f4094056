"""``lipscope.train``: a training from a notebook, resumable like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lipscope.data import ImageSet, load
from lipscope.models.architecture import Config
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.processes.world import world
from lipscope.records import RunEvent
from lipscope.training.distillation import open_teacher
from lipscope.training.loop import Listeners
from lipscope.training.loop import train as run_training
from lipscope.training.plan import recipe_for
from lipscope.training.recipe import Recipe
from lipscope.training.run import create_run, open_run


def train(
    recipe: str | Recipe = "fast",
    *,
    out: str | Path,
    model: Config | None = None,
    data: str | ImageSet = "cifar10",
    resume: bool = False,
    device: str | None = None,
    data_dir: str | Path | None = None,
    teacher: str | Path | None = None,
    on_epoch: Callable[[RunEvent], None] = lambda event: None,
    **changes: Any,
) -> Path:
    """Train a network and return the path of its file.

    Args:
        recipe: a name in ``lipscope train --help``, or a recipe of one's own.
        out: the run folder.
        model: what is trained; a LipConvnet-5 of 16 channels where it is None.
        data: the name of a data set, or its training images.
        resume: continue what the folder holds, with what it was started with.
        device: a torch device; None for a GPU where there is one.
        data_dir: where to look for data sets first.
        teacher: the file of a network whose probabilities are learnt instead of the labels.
        on_epoch: told after every epoch.
        changes: of the recipe: ``epochs``, ``learning_rate``, ``batch_size``, ``seed``, ...

    Raises:
        UsageError: what cannot be trained, or a folder with another run.
        DataError, LipscopeError: as of ``lipscope train``.

    >>> import tempfile, lipscope
    >>> from lipscope.data import load
    >>> from lipscope.models.lipconvnet import LipConvnetConfig
    >>> few = load("synthetic", "train").subset(range(40))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = lipscope.train(
    ...         "fast", out=folder + "/run", model=LipConvnetConfig(channels=2, dataset="synthetic"), data=few,
    ...         epochs=1, batch_size=20, device="cpu",
    ...     )
    ...     lipscope.load(path).lipschitz_bound().proved
    True
    """
    folder = Path(out)
    images = data if isinstance(data, ImageSet) else load(data, "train", None if data_dir is None else Path(data_dir))
    taught = None if teacher is None else open_teacher(Path(teacher), images)
    if resume:
        run = open_run(folder)
    else:
        config = model or LipConvnetConfig(channels=16, dataset=images.name)
        if isinstance(recipe, str):
            recipe = recipe_for(config, recipe)
        if taught is not None:
            changes = {"teacher": taught.sha256, **changes}
        recipe = replace(recipe, **changes)
        run = create_run(folder, replace(config, classes=len(images.classes)), recipe)
    with world(device) as here:
        run_training(run, images, here, Listeners(on_epoch=on_epoch), teacher=taught)
    return run.model
