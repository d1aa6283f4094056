"""The run folder: what a training leaves behind, and what it needs to go on.

``run.json`` says what is trained and how; ``metrics.jsonl`` has one line per epoch, ``layers.jsonl`` one with every
layer; ``progress.json`` tells where an epoch stands; ``state.pt`` continues a killed run; ``model.safetensors`` is the
model. :mod:`lipscope.files.run_log` reads what is told, without torch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lipscope.errors import CheckpointError, LipscopeError, UsageError, typed
from lipscope.files.locks import exclusive
from lipscope.files.opening import open_to_append, read_regular
from lipscope.files.processes import this_process
from lipscope.files.run_log import DESCRIPTION, LAYERS, METRICS, PROGRESS, SCHEMA, Progress, RunLayers, Status
from lipscope.files.writing import atomic_path
from lipscope.models.architecture import Config
from lipscope.models.registry import configuration
from lipscope.records import RunEvent, StepEvent
from lipscope.training.pace import decay_from
from lipscope.training.recipe import LOSSES, Recipe
from lipscope.training.state import BEFORE_DIGESTS, NoDigestError, StateError, packed, sealed, unpacked


def check_suited(config: Config, recipe: Recipe) -> None:
    """Refuse a recipe that needs radii for a net that expands, which has next to none.

    Raises:
        UsageError: naming what needs them.
    """
    if not config.ONE_LIPSCHITZ:
        for asked, name in (
            (recipe.gamma, "--gamma"),
            (recipe.end_gamma, "--end-gamma"),
            (LOSSES[recipe.loss].pairwise, f"--loss {recipe.loss}"),
        ):
            if asked:
                raise UsageError(f"{name} is for a net that is 1-Lipschitz", next_step="leave it out")


@dataclass(frozen=True)
class RunFolder:
    """The files of one training.

    Args:
        path: the folder.
        config: what is trained.
        recipe: how.
    """

    path: Path
    config: Config
    recipe: Recipe

    def __post_init__(self) -> None:
        """Refuse a recipe that does not suit the net: :func:`check_suited`."""
        check_suited(self.config, self.recipe)

    @property
    def model(self) -> Path:
        """The model: of the best epoch on the held-out images, or of the last epoch without them."""
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch."""
        return self.path / METRICS

    @property
    def layers(self) -> Path:
        """One JSON line for each epoch after which the layers were measured."""
        return self.path / LAYERS

    @property
    def state(self) -> Path:
        """Weights, optimiser and counters of the last save."""
        return self.path / "state.pt"

    @property
    def outcome(self) -> tuple[Path, ...]:
        """What a training leaves in the folder."""
        return self.model, self.state, self.metrics, self.layers

    def append(self, event: RunEvent, layers: RunLayers | None = None) -> None:
        """Add the line of an epoch, and that of its layers where they were measured.

        Raises:
            LipscopeError: the disk is full, or the folder cannot be written to.
        """
        if layers is not None:
            _append(self.layers, layers.to_json())
        _append(self.metrics, event.to_json())

    def forget_after(self, epoch: int) -> None:
        """Drop the lines of epochs that the saved state has not finished, before they are trained again.

        Raises:
            CheckpointError: a whole line that is not one of an epoch.
        """
        for file in (self.metrics, self.layers):
            if file.exists():
                _keep_until(file, epoch)

    def tell(self, status: Status, event: StepEvent | None) -> None:
        """Leave word of where the training stands, for whoever watches the folder.

        Nothing depends on it, so a full disk does not end the training here.
        """
        with suppress(LipscopeError), atomic_path(self.path / PROGRESS, durable=False) as temporary:
            temporary.write_text(json.dumps(Progress(status, event, this_process()).to_json()) + "\n", encoding="utf-8")

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state, atomically.

        Args:
            state: tensors, numbers, and containers of them.

        Raises:
            LipscopeError: the disk is full, or the folder cannot be written to.
        """
        content = packed(state, self._description())
        with atomic_path(self.state) as temporary:
            temporary.write_bytes(content)

    def load_state(self, device: torch.device) -> dict[str, Any] | None:
        """The saved state, without running pickled code; None before the first save.

        Args:
            device: where its tensors go.

        Raises:
            CheckpointError: the file is damaged, of another run, or of an earlier version (see :meth:`prepare`).
        """
        try:
            return unpacked(read_regular(self.state), self._description(), device)
        except FileNotFoundError:
            return None
        except NoDigestError as error:
            raise CheckpointError(
                "the saved training state was written by an earlier version", where=str(self.state), why=str(error),
                next_step=f"if nobody else could write it: {typed('train', '--resume', self.path, '--force')}",
            ) from error  # fmt: skip
        except (StateError, OSError) as error:
            raise self.damaged_state(error) from error

    def damaged_state(self, error: Exception) -> CheckpointError:
        """The error of a state that a run cannot be continued from."""
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        return CheckpointError(
            "the saved training state cannot be continued from",
            where=str(self.state),
            why=why,
            next_step="start a new run",
        )

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes from training here while the block runs.

        Raises:
            BusyError: another process does.
            LipscopeError: the folder cannot be written to.
        """
        return exclusive(self.path / DESCRIPTION, busy="another process is training it")

    def prepare(self, *, force: bool) -> None:
        """Look at what is here before the training goes on.

        Args:
            force: continue a state of an earlier version, which has no digest; without any state, begin anew although
                there is a model.

        Raises:
            UsageError: a model, but no state from which it could be trained on.
            LipscopeError: the folder cannot be written to.
        """
        if force and self.state.exists() and (content := read_regular(self.state)).startswith(BEFORE_DIGESTS):
            with atomic_path(self.state) as temporary:
                temporary.write_bytes(sealed(content, self._description()))
        if self.model.exists() and not self.state.exists() and not force:
            raise UsageError(
                "there is a model already", where=str(self.model),
                why="and no saved state from which it could be trained on",
                next_step="another --out, or --force to train it anew",
            )  # fmt: skip

    def _description(self) -> bytes:
        return read_regular(self.path / DESCRIPTION)


def _append(file: Path, line: Mapping[str, Any]) -> None:
    try:
        with open_to_append(file) as opened:
            opened.write(json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise LipscopeError("cannot be written", where=str(file), why=error) from error


def _keep_until(file: Path, epoch: int) -> None:
    try:
        lines = read_regular(file, follow=False).decode().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["epoch"] <= epoch]
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise CheckpointError(
            "damaged", where=str(file), why=str(error)[:200], next_step="remove the damaged lines"
        ) from error
    if kept != lines:
        with atomic_path(file) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")


def create_run(path: Path, config: Config, recipe: Recipe, *, force: bool = False) -> RunFolder:
    """Make a new run folder.

    Args:
        path: the folder.
        config: what is trained.
        recipe: how.
        force: replace what an earlier run left there, its model too.

    Raises:
        UsageError: a run, or what could be left of one, is there already.
        BusyError: another process trains there.
        LipscopeError: the folder cannot be made.
    """
    run = RunFolder(path, config, recipe)
    content = {"schema": SCHEMA, "config": config.to_json(), "recipe": recipe.to_json()}
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LipscopeError("cannot make the run folder", where=str(path), why=error) from error
    description = path / DESCRIPTION
    with run.held():
        left = [file for file in (description, *run.outcome) if os.path.lexists(file)]
        if left and not force:
            resume = f"{typed('train', '--resume', path)}, " if left[0] == description else ""
            raise UsageError(
                "a run is there already" if resume else f"{left[0].name} is there already", where=str(path),
                next_step=f"{resume}another --out, or --force to replace it",
            )  # fmt: skip
        for file in (*left, path / PROGRESS):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise LipscopeError("cannot be replaced", where=str(file), why=error) from error
        with atomic_path(description) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return run


def extend_run(earlier: RunFolder, path: Path, minutes: float) -> RunFolder:
    """A new run that goes on where an earlier one ended, with the learning rate that the longer one has at that moment.

    The weights that have already decayed are kept: training on from them costs only the added minutes, and ends about
    where a decay from the stable phase would (Wen et al., "Understanding Warmup-Stable-Decay Learning Rates", 2024).

    Args:
        earlier: a run by the clock.
        path: of the new folder.
        minutes: of the whole training, those of the earlier run included.

    Raises:
        UsageError: the earlier run is not by the clock, or took these minutes already.
        CheckpointError: the earlier state is damaged, or of another version.
        LipscopeError: the folder cannot be made.
    """
    state = earlier.load_state(torch.device("cpu"))
    if state is None or earlier.recipe.minutes is None:
        raise UsageError(
            "the run cannot be extended", where=str(earlier.path), why="it was not trained by the clock",
            next_step="train with --minutes",
        )  # fmt: skip
    try:
        taken = float(state["seconds"])
        decay = decay_from(earlier.recipe, minutes, state["step"], taken)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise earlier.damaged_state(error) from error
    if 60 * minutes <= taken:
        raise UsageError(
            f"{minutes:g} minutes are too few to extend the run", where=str(earlier.path),
            why=f"it took {taken / 60:.1f} already", next_step="give more",
        )  # fmt: skip
    run = create_run(path, earlier.config, replace(earlier.recipe, minutes=minutes))
    for before, now in ((earlier.metrics, run.metrics), (earlier.layers, run.layers)):
        if before.exists():
            with atomic_path(now) as temporary:
                temporary.write_bytes(read_regular(before))
    # The best score so far is of a model that this folder does not hold.
    run.save_state({**state, "decay": tuple(decay) if decay else None, "best": -math.inf})
    return run


def open_run(path: Path) -> RunFolder:
    """The run folder of an earlier training.

    Raises:
        CheckpointError: there is no run, or its description is damaged, of another version, or of a training that is
            refused by now.
    """
    file = path / DESCRIPTION
    try:
        content = json.loads(read_regular(file))
    except OSError as error:
        raise CheckpointError("no run to resume", where=str(path), why=f"{file.name} cannot be read") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError("damaged", where=str(file), why="not JSON") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise CheckpointError("a run of another version", where=str(file), why=f"expected schema {SCHEMA}")
    try:
        config, recipe = configuration(content["config"]), Recipe.from_json(content["recipe"])
    except (UsageError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError("damaged", where=str(file), why=str(error)[:200]) from error
    try:
        return RunFolder(path, config, recipe)
    except UsageError as error:
        raise CheckpointError(
            "the run cannot be trained on", where=str(file), why=f"its {error.what}", next_step="start a new run"
        ) from error
