"""Which model a bare command means."""

from __future__ import annotations

from pathlib import Path

from lipscope.commands.messages import narrate
from lipscope.errors import UsageError

RUNS = Path("runs")
CHECKPOINTS = Path("checkpoints")
BESIDE = (".certified.", ".adversarial.")
"""In the names of files that lie beside a model and are none."""


def choose_model(given: Path | None) -> Path:
    """The given model; else the newest run's; else the first of ./checkpoints, said on stderr.

    Raises:
        UsageError: none was given and none is here.
    """
    if given is not None:
        return given
    trained = sorted(RUNS.glob("*/model.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    beside = (".certified.", ".adversarial.")
    stored = sorted(path for path in CHECKPOINTS.glob("*.safetensors") if not any(word in path.name for word in beside))
    found = [*trained, *stored]
    if not found:
        raise UsageError(
            "no model was given, and none was found",
            why=f"looked for {RUNS}/*/model.safetensors and {CHECKPOINTS}/*.safetensors",
            next_step="name a model, or make one with `lipscope train`",
        )
    narrate(f"model {found[0]}")
    return found[0]
