from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_data_elsewhere(no_data: Path) -> None:
    """The synthetic sets only."""
