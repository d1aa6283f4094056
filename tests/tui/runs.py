"""A run folder like those of ``lipscope train``, which a test lets grow."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lipscope.files.run_log import LayerState, Progress, RunLayers, Status
from lipscope.records import RunEvent, StepEvent
from tests.tui.conftest import CONFIG, TRAINING

LAYERS = ("normalize", *(f"stage{n}.block1.{part}" for n in range(1, 6) for part in ("conv", "activation")), "head")
EPOCHS = 8
STEPS = 100
"""In an epoch."""


class Run:
    """Writes what a training would write.

    Args:
        path: of the folder, made here.
        held: whether images are held out.
    """

    def __init__(self, path: Path, *, held: bool = True) -> None:
        self.path = path
        self.held = held
        path.mkdir()
        recipe = {**TRAINING["recipe"], "seed": 0, "epochs": EPOCHS}
        self.write("run.json", json.dumps({"schema": "lipscope.run/1", "config": CONFIG, "recipe": recipe}))

    def write(self, name: str, content: str) -> None:
        (self.path / name).write_text(content)

    def append(self, name: str, content: str) -> None:
        with (self.path / name).open("a") as file:
            file.write(content)

    def event(self, epoch: int) -> RunEvent:
        """Epoch by epoch a little better."""
        clean = 0.7 - 0.5 / epoch
        held = (clean + 0.02, clean - 0.16) if self.held else (None, None)
        return RunEvent(
            epoch, EPOCHS, STEPS * epoch, 2.5 / epoch**0.5, clean, clean - 0.15, *held, 0.02 * (EPOCHS - epoch),
            280.0 + 10 * (epoch % 3), 75.0 * epoch,
        )  # fmt: skip

    def layers(self, epoch: int) -> RunLayers:
        states = [
            LayerState(
                name, "SOC 3x3" if "conv" in name else "layer", None if name == "head" else 1 + 3.1e-10 / epoch,
                "by hand", 1 - 0.02 * number / epoch,
            )
            for number, name in enumerate(LAYERS)
        ]  # fmt: skip
        return RunLayers(epoch, STEPS * epoch, "16 held-out images", tuple(states))

    def train(self, first: int, last: int) -> None:
        """Epochs from first to last."""
        for epoch in range(first, last + 1):
            self.append("metrics.jsonl", json.dumps(self.event(epoch).to_json()) + "\n")
            self.append("layers.jsonl", json.dumps(self.layers(epoch).to_json()) + "\n")

    def tell(self, status: Status, epoch: int, step: int) -> None:
        """Leave word of the step within an epoch."""
        done = STEPS * (epoch - 1) + step
        report = StepEvent(epoch, EPOCHS, done, STEPS * EPOCHS, 1.234, 0.456, 0.321, 290.0, 425.0)
        self.write("progress.json", json.dumps(Progress(status, report).to_json()))

    def age(self, seconds_since_1970: float) -> None:
        """As if nothing had been written since then."""
        for file in self.path.iterdir():
            os.utime(file, (seconds_since_1970, seconds_since_1970))
