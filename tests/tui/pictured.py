"""Results about the synthetic images, an evaluator of a known function, and results to compare them with."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from lipscope.checkpoint import sha256_of
from lipscope.data import ImageSet, load
from lipscope.results import Certificates, read_results, results_path, write_results

N = 1000


@cache
def synthetic_images() -> ImageSet:
    """The 1,000 synthetic test images."""
    return load("synthetic", "test")


@cache
def _fingerprint() -> str:
    return synthetic_images().fingerprint()


def write_synthetic(model: Path, *, seed: int = 5, attacked: int = 0, **changes: object) -> Certificates:
    """A results file about the synthetic images beside a model; the first ones attacked."""
    rng = np.random.default_rng(seed)
    label = synthetic_images().labels
    right = rng.random(N) < 0.7
    predicted = np.where(right, label, (label + 1) % 10)
    radius = rng.gamma(2.0, 0.12, N)
    distance, attack = None, {}
    if attacked:
        distance = np.where(np.arange(N) < attacked, radius + rng.random(N) / 4, np.inf)
        attack = {"attacked": [[0, attacked]]}
    certificates = Certificates(
        index=np.arange(N), label=label, predicted=predicted, runner_up=(predicted + 3) % 10, radius=radius,
        margin=radius, kind="real-arithmetic", model_sha256=sha256_of(model), architecture="lipconvnet",
        data_name="synthetic", data_split="test", data_fingerprint=_fingerprint(), lipschitz=1.0,
        attack_distance=distance, attack=attack, classes=synthetic_images().classes,
    )  # fmt: skip
    certificates = replace(certificates, **changes)
    write_results(results_path(model), certificates, {"schema": "lipscope.certify/1"})
    return certificates


class Brightness:
    """A model whose largest logit is 9 times the mean pixel; in the order of the results that lie beside it."""

    def __init__(self, path: Path) -> None:
        self.sha256 = sha256_of(path)
        self._kept, _ = read_results(results_path(path))
        self._rows = {image.tobytes(): row for row, image in enumerate(synthetic_images().images)}

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """(10,): the predicted class first, then its runner-up, then the others."""
        row = self._rows[pixels.tobytes()]
        first = [int(self._kept.predicted[row]), int(self._kept.runner_up[row])]
        values = np.zeros(10)
        values[[*first, *(k for k in range(10) if k not in first)]] = np.arange(9, -1, -1)
        return values * float(pixels.mean()) / 255
