"""Which model a bare command means."""

from __future__ import annotations

from pathlib import Path

from lipscope.commands.messages import narrate
from lipscope.errors import CheckpointError, UsageError

RUNS = Path("runs")
CHECKPOINTS = Path("checkpoints")


def choose_model(given: Path | None) -> Path:
    """The given model; else the newest run's; else the first of ./checkpoints, said on stderr.

    Raises:
        UsageError: none was given and none is here.
    """
    if given is not None:
        return given
    trained = sorted(RUNS.glob("*/model.safetensors"), key=_written, reverse=True)
    stored = sorted(filter(_is_model, CHECKPOINTS.glob("*.safetensors")))
    found = [*trained, *stored]
    if not found:
        raise UsageError(
            "no model was given, and none was found",
            why=f"looked for {RUNS}/*/model.safetensors and {CHECKPOINTS}/*.safetensors",
            next_step="name a model, or make one with `lipscope train`",
        )
    narrate(f"model {found[0]}")
    return found[0]


def file_of(path: Path) -> Path:
    """The file of a model: of a folder the index of its shards, or the model of a run."""
    from lipscope.files.checkpoint import SUFFIX, index_of

    return index_of(path) or (path / f"model{SUFFIX}" if path.is_dir() else path)


def _is_model(path: Path) -> bool:
    from lipscope.files.checkpoint import read_header
    from lipscope.files.kind import kind_beside

    try:
        return kind_beside(read_header(path).metadata) is None
    except CheckpointError:
        return True  # whoever asked is told what is wrong with it


def _written(model: Path) -> float:
    """When; a link that leads nowhere comes last."""
    try:
        return model.stat().st_mtime
    except OSError:
        return 0.0
