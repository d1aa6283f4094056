"""State dicts on disk, as training scripts leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def saved(content: Any, folder: Path, **options: Any) -> Path:
    path = folder / "best.pth"
    torch.save(content, path, **options)
    return path
