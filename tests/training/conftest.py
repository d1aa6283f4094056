from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.processes.world import World
from lipscope.training.recipe import fast
from lipscope.training.run import RunFolder, create_run
from tests.conftest import TINY

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True)
def _no_data_elsewhere(no_data: Path) -> None:
    """The synthetic sets only."""


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """A run folder for three short epochs; keywords change the recipe."""

    return partial(new_run_in, tmp_path)


def new_run_in(folder: Path, name: str = "run", config: LipConvnetConfig = TINY, **changes: Any) -> RunFolder:
    """As the fixture does, in any folder."""
    recipe = replace(fast(), **{"epochs": 3, "batch_size": 40, "holdout": 60, "bfloat16": False, **changes})
    return create_run(folder / name, config, recipe)
