"""The run folder: what a training leaves behind, and what it needs to go on.

``run.json`` says what is trained and how; ``metrics.jsonl`` has one line an epoch; ``state.pt`` continues a
killed run; ``model.safetensors`` is the model.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lipscope.checkpoint import atomic_path
from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.models.registry import Config, configuration
from lipscope.records import RunEvent
from lipscope.train.recipe import Recipe

SCHEMA = "lipscope.run/1"


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
        return self.path / "metrics.jsonl"

    @property
    def state(self) -> Path:
        """Weights, optimiser and counters of the last save."""
        return self.path / "state.pt"

    def append(self, event: RunEvent) -> None:
        """Add the line of an epoch.

        Raises:
            LipscopeError: the disk is full, or the folder cannot be written to.
        """
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event.to_json()) + "\n")
        except OSError as error:
            raise LipscopeError("cannot be written", where=str(self.metrics), why=error.strerror or "") from error

    def forget_after(self, epoch: int) -> None:
        """Drop the lines of epochs that the saved state has not finished, before they are trained again.

        Raises:
            CheckpointError: a whole line that is not one of an epoch.
        """
        if not self.metrics.exists():
            return
        try:
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["epoch"] <= epoch]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                "damaged", where=str(self.metrics), why=str(error)[:200], next_step="remove the damaged lines"
            ) from error
        if kept != lines:
            with atomic_path(self.metrics) as temporary:
                temporary.write_text("".join(kept), encoding="utf-8")

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state, atomically.

        Raises:
            LipscopeError: the disk is full, or the folder cannot be written to.
        """
        # torch.save names no cause when a disk is full, so only bytes in memory go through it.
        content = io.BytesIO()
        torch.save(dict(state), content)
        with atomic_path(self.state) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_state(self, device: torch.device) -> dict[str, Any] | None:
        """The saved state, without running pickled code; None before the first save.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self.state.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.state, map_location=device, weights_only=True)
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


def create_run(path: Path, config: Config, recipe: Recipe) -> RunFolder:
    """Make a new run folder.

    Raises:
        UsageError: a run is there already.
        LipscopeError: the folder cannot be made.
    """
    if (path / "run.json").exists():
        raise UsageError(
            "a run is there already", where=str(path), next_step=f"`lipscope train --resume {path}`, or another --out"
        )
    content = {"schema": SCHEMA, "config": config.to_json(), "recipe": recipe.to_json()}
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LipscopeError("cannot make the run folder", where=str(path), why=error.strerror or "") from error
    with atomic_path(path / "run.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return RunFolder(path, config, recipe)


def open_run(path: Path) -> RunFolder:
    """The run folder of an earlier training.

    Raises:
        CheckpointError: there is no run, or its description is damaged or of another version.
    """
    file = path / "run.json"
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
