"""Draw the pictures of the documents: the app on a checkpoint, screen by screen, as SVG.

python docs/pictures.py checkpoints/MODEL.safetensors [SCREEN ...]

The same as `lipscope inspect MODEL --screenshot docs/SCREEN.svg --screen SCREEN`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lipscope.analysis.analysis import analyse
from lipscope.tui.picture import picture
from lipscope.tui.work.worker import Means

README = ("overview", "gradients")
"""Screens without test images: those are not ours to publish."""


def draw(model: Path, folder: Path, screens: list[str]) -> None:
    """Draw the screens, each from an analysis of its own: nothing is taken from a cache."""
    for screen in screens:
        target = folder / f"{screen}.svg"
        target.write_text(picture(model, Means(analyse), screen=screen), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), Path(__file__).parent, sys.argv[2:] or list(README))
