"""What several rooms share: a few images, a tiny model in a file, and lipscope as a real process."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lipscope.data import ImageSet
from lipscope.data.synthetic import synthetic
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.stored import save_model
from tests.waiting import GENEROUS, wait_until

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs deaf to Ctrl-C, and the processes that the tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

TINY = LipConvnetConfig(channels=2, dataset="synthetic")


def pytest_configure() -> None:
    """One thread, here and in every process that a test starts: tensors this small only wait for each other.

    And a signing key of the tests' own, in place of the one of the user who runs them.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="lipscope-tests-")


def pytest_collection_finish() -> None:
    """Half a million objects of torch and of the tests live to the end: looking for garbage among them took a fifth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_unconfigure() -> None:
    """The key goes with the tests."""
    shutil.rmtree(os.environ["XDG_DATA_HOME"], ignore_errors=True)


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No data set is found but the synthetic ones; the empty cache folder that is searched."""
    monkeypatch.delenv("LIPSCOPE_DATA", raising=False)
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache / "lipscope"


@pytest.fixture(scope="session")
def few_images() -> ImageSet:
    """300 synthetic training images."""
    return synthetic("synthetic", "train").subset(range(300))


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    net = TINY.build()
    net.make_trainable()
    path = tmp_path_factory.mktemp("tiny") / "model.safetensors"
    save_model(net.frozen(), path, TINY.to_json(), {"seed": 3})
    return path


@pytest.fixture
def tiny_model(tiny_file: Path, tmp_path: Path) -> Path:
    """A file of its own with a random LipConvnet-5 of 2 channels for the synthetic data set."""
    return Path(shutil.copy(tiny_file, tmp_path / "model.safetensors"))


class Process:
    """A ``python -m`` in a process of its own, with its output in files."""

    def __init__(self, arguments: list[str], folder: Path, python: list[str]) -> None:
        folder.mkdir(parents=True)
        self._streams = [(folder / name).open("w+") for name in ("stdout", "stderr")]
        self._process = subprocess.Popen(
            [sys.executable, *python, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._streams[0],
            stderr=self._streams[1],
            env={**os.environ, "PYTHONUTF8": "1"},
        )

    def when(self, condition: Callable[[], bool], number: signal.Signals) -> Process:
        """Wait for the condition, then send the signal."""

        def met() -> bool:
            holds = condition()
            assert holds or self._process.poll() is None, f"ended before the signal: {self.finish()}"
            return holds

        wait_until(met)
        self._process.send_signal(number)
        return self

    def end(self) -> None:
        """End it, even if it is stopped."""
        self._process.kill()
        self.finish()

    def finish(self) -> tuple[int, str, str]:
        """Exit code (negative for a signal), stdout and stderr."""
        code = self._process.wait(GENEROUS)
        texts = []
        for stream in self._streams:
            stream.seek(0)
            texts.append(stream.read())
            stream.close()
        return code, texts[0], texts[1]


@pytest.fixture
def start(tmp_path: Path, no_data: Path) -> Callable[..., Process]:
    """Start lipscope (or with ``python=`` anything that python runs) as a real process."""
    started = 0

    def begin(*arguments: object, python: tuple[str, ...] = ("-m", "lipscope")) -> Process:
        nonlocal started
        started += 1
        return Process([str(argument) for argument in arguments], tmp_path / f"process-{started}", list(python))

    return begin
