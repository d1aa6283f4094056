from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipscope.data.locate import VARIABLE
from lipscope.data.releases import CIFAR10, CIFAR100, Release
from tests.data.makers import tiny

REAL_DATA = os.environ.get(VARIABLE)


@pytest.fixture(autouse=True)
def no_data_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test starts with no data set but those it makes."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-cache"))


@pytest.fixture(scope="session", params=[CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def tiny_release(request: pytest.FixtureRequest) -> tuple[Release, dict[str, bytes]]:
    """A release of tiny files with their own checksums, and its archives by name."""
    return tiny(request.param)


@pytest.fixture
def real_data() -> Path:
    """The folder of the real data sets, where there is one."""
    if REAL_DATA is None:
        pytest.skip(f"{VARIABLE} names no data folder")
    return Path(REAL_DATA)
