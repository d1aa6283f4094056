"""The run folder: what a training leaves behind, and what it needs to go on.

``run.json`` says what is trained and how; ``metrics.jsonl`` has one line an epoch, ``layers.jsonl`` one with every
layer; ``progress.json`` tells where an epoch stands; ``state.pt`` continues a killed run; ``model.safetensors`` is the
model. :mod:`lipscope.files.run_log` reads what is told, without torch.
"""

from __future__ import annotations

import io
import json
import math
import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.files.checkpoint import atomic_path
from lipscope.files.run_log import DESCRIPTION, LAYERS, METRICS, PROGRESS, SCHEMA, Progress, RunLayers, Status
from lipscope.models.registry import Config, configuration
from lipscope.records import RunEvent, StepEvent
from lipscope.train.recipe import Recipe


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

    @property
    def model(self) -> Path:
        """The model: of the best epoch on the held-out images, or of the last epoch without them."""
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON line an epoch."""
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
    def stable(self) -> Path:
        """The state from which a training by the clock began to decay; a longer one may continue from it."""
        return self.path / "stable.pt"

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
        temporary = self.path / f".{PROGRESS}.{os.getpid()}.partial"
        with suppress(OSError):
            temporary.write_text(json.dumps(Progress(status, event).to_json()) + "\n", encoding="utf-8")
            temporary.replace(self.path / PROGRESS)

    def save_state(self, state: Mapping[str, Any], stable: bool = False) -> None:
        """Write the state, atomically.

        Args:
            state: tensors, numbers, and containers of them.
            stable: whether a decay begins here, so that the state is kept in a file of its own too.

        Raises:
            LipscopeError: the disk is full, or the folder cannot be written to.
        """
        # torch.save names no cause when a disk is full, so only bytes in memory go through it.
        content = io.BytesIO()
        torch.save(dict(state), content)
        for file in (self.state, self.stable) if stable else (self.state,):
            with atomic_path(file) as temporary:
                temporary.write_bytes(content.getbuffer())

    def load_state(self, device: torch.device, stable: bool = False) -> dict[str, Any] | None:
        """The saved state, without running pickled code; None before the first save.

        Args:
            device: where its tensors go.
            stable: the state at the beginning of the decay instead of the last.

        Raises:
            CheckpointError: the file is damaged.
        """
        file = self.stable if stable else self.state
        if not file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
        except pickle.UnpicklingError as error:
            # Its own message recommends to let pickled code run.
            raise self.damaged_state(ValueError("not plain tensors and numbers")) from error
        except (RuntimeError, EOFError, ValueError, OSError, LookupError) as error:
            raise self.damaged_state(error) from error
        if not isinstance(state, dict):
            raise self.damaged_state(TypeError(f"holds a {type(state).__name__}"))
        return state

    def damaged_state(self, error: Exception) -> CheckpointError:
        """The error of a state that a run cannot be continued from."""
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        return CheckpointError(
            "the saved training state is damaged", where=str(self.state), why=why, next_step="start a new run"
        )


def _append(file: Path, line: Mapping[str, Any]) -> None:
    try:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(line) + "\n")
    except OSError as error:
        raise LipscopeError("cannot be written", where=str(file), why=error.strerror or "") from error


def _keep_until(file: Path, epoch: int) -> None:
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["epoch"] <= epoch]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "damaged", where=str(file), why=str(error)[:200], next_step="remove the damaged lines"
        ) from error
    if kept != lines:
        with atomic_path(file) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")


def create_run(path: Path, config: Config, recipe: Recipe) -> RunFolder:
    """Make a new run folder.

    Raises:
        UsageError: a run is there already.
        LipscopeError: the folder cannot be made.
    """
    if (path / DESCRIPTION).exists():
        raise UsageError(
            "a run is there already", where=str(path), next_step=f"`lipscope train --resume {path}`, or another --out"
        )
    content = {"schema": SCHEMA, "config": config.to_json(), "recipe": recipe.to_json()}
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LipscopeError("cannot make the run folder", where=str(path), why=error.strerror or "") from error
    with atomic_path(path / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return RunFolder(path, config, recipe)


def extend_run(earlier: RunFolder, path: Path, minutes: float) -> RunFolder:
    """A new run that goes on where the decay of an earlier one began, as if that had been given more minutes.

    Args:
        earlier: a run by the clock.
        path: of the new folder.
        minutes: of the whole training, those up to the decay of the earlier run included.

    Raises:
        UsageError: the earlier run has not come to its decay, or the decay of the new one would begin before.
        CheckpointError: the earlier state is damaged.
        LipscopeError: the folder cannot be made.
    """
    state = earlier.load_state(torch.device("cpu"), stable=True)
    if state is None:
        raise UsageError(
            "the run cannot be extended", where=str(earlier.path), why="it has not come to a decay by the clock",
            next_step="train with --minutes, to its end",
        )  # fmt: skip
    if not isinstance(state.get("seconds"), float):
        raise earlier.damaged_state(TypeError("no wall time"))
    needed = state["seconds"] / 60 / (1 - earlier.recipe.decay)
    if minutes <= needed:
        raise UsageError(
            f"{minutes:g} minutes are too few to extend the run", where=str(earlier.path),
            why=f"its first decay began after {state['seconds'] / 60:.1f}", next_step=f"give more than {needed:.1f}",
        )  # fmt: skip
    run = create_run(path, earlier.config, replace(earlier.recipe, minutes=minutes))
    for before, now in ((earlier.metrics, run.metrics), (earlier.layers, run.layers)):
        if before.exists():
            with atomic_path(now) as temporary:
                temporary.write_bytes(before.read_bytes())
    # The best score so far is of a model that this folder does not hold.
    run.save_state({**state, "decay_from": None, "best": -math.inf})
    return run


def open_run(path: Path) -> RunFolder:
    """The run folder of an earlier training.

    Raises:
        CheckpointError: there is no run, or its description is damaged or of another version.
    """
    file = path / DESCRIPTION
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError("no run to resume", where=str(path), why=f"{file.name} cannot be read") from error
    except ValueError as error:
        raise CheckpointError("damaged", where=str(file), why="not JSON") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise CheckpointError("a run of another version", where=str(file), why=f"expected schema {SCHEMA}")
    try:
        config, recipe = configuration(content["config"]), Recipe.from_json(content["recipe"])
    except (UsageError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError("damaged", where=str(file), why=str(error)[:200]) from error
    return RunFolder(path, config, recipe)
