from __future__ import annotations

import pytest
from torch import Tensor

from tests.models.published import soc_reference


@pytest.fixture(scope="module")
def unspoilt() -> dict[str, Tensor]:
    return soc_reference.random_state(1, 2, "hh1", True, 10)


@pytest.fixture
def state(unspoilt: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in unspoilt.items()}
