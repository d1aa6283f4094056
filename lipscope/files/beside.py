"""Where a file that is kept about a model lies: beside it, or in another folder, under the model's name."""

from __future__ import annotations

from pathlib import Path

from lipscope.files.checkpoint.header import SUFFIX

CERTIFIED = ".certified" + SUFFIX
"""What the name of results ends with; here, because their room needs numpy."""


def beside(model: Path, ending: str, folder: Path | None = None) -> Path:
    """The name of the model without its suffix, with another ending.

    >>> beside(Path("runs/a/model.safetensors"), CERTIFIED, Path("kept")).as_posix()
    'kept/model.certified.safetensors'
    """
    return (model.parent if folder is None else folder) / (model.name.removesuffix(SUFFIX) + ending)
