"""`lipscope train` in this process, for the tests of what it does and of what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

from lipscope.cli import run

SHORT = ("--dataset", "synthetic", "--channels", "2", "--float32", "--batch", "100")
"""5,000 images in batches of 100; ``FEW`` leaves 800 of them."""

FEW = ("--holdout", "4200")


def train(*arguments: object) -> int:
    return run(["train", *(str(argument) for argument in arguments)])


def metrics(folder: Path) -> list[dict[str, object]]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
