"""What the tests of the commands share: a model that was certified once."""

from __future__ import annotations

from pathlib import Path

import pytest

import lipscope.data
from lipscope.analysis.spectra import singular_values
from lipscope.cli import run
from lipscope.data import ImageSet
from lipscope.files.results import results_path, summary_path


@pytest.fixture(scope="session")
def _results(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The results of the tiny model and their summary, computed once."""
    copy = tmp_path_factory.mktemp("certified") / "model.safetensors"
    copy.write_bytes(tiny_file.read_bytes())
    assert run(["certify", str(copy)]) == 0
    return results_path(copy).read_bytes(), summary_path(results_path(copy)).read_bytes()


@pytest.fixture
def sooner_lanczos(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer has 1,024 singular values: by Lanczos in a tenth of the time."""
    monkeypatch.setattr(singular_values, "DENSE_LIMIT", 512)


@pytest.fixture
def certified(_results: tuple[bytes, bytes], tiny_model: Path) -> Path:
    """A model with its results beside it."""
    put_results(tiny_model, _results)
    return tiny_model


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, few_images: ImageSet) -> None:
    """300 training images instead of 5,000, in this process."""
    monkeypatch.setattr(lipscope.data, "load", lambda name, split, data_dir: few_images)


def put_results(model: Path, results: tuple[bytes, bytes]) -> None:
    """Results and summary beside a model."""
    results_path(model).write_bytes(results[0])
    summary_path(results_path(model)).write_bytes(results[1])
