"""Results about the synthetic images, an evaluator of a known function, and results to compare them with."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from lipscope.attacks.target import distances
from lipscope.data import ImageSet, load
from lipscope.files.adversarials import Adversarials, adversarials_path, write_adversarials
from lipscope.files.checkpoint import sha256_of
from lipscope.files.results import read_results, results_path, write_results
from lipscope.records.certificates import Certificates

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
        margin=radius, standing="proved", model_sha256=sha256_of(model), architecture="lipconvnet",
        data_name="synthetic", data_split="test", data_fingerprint=_fingerprint(), lipschitz=1.0,
        attack_distance=distance, attack=attack, classes=synthetic_images().classes,
    )  # fmt: skip
    certificates = replace(certificates, **changes)
    write_results(results_path(model), certificates, {})
    return certificates


def keep_adversarials(model: Path, certificates: Certificates, **changes: object) -> None:
    """The nearest adversarial image of every attacked one: noise of the length that the results quote."""
    index = np.flatnonzero(np.isfinite(certificates.attack_distance))
    stored = synthetic_images().images[index]
    images = stored / 255
    noise = np.random.default_rng(0).normal(size=images.shape)
    length = np.linalg.norm(noise.reshape(len(index), -1), axis=1)
    wanted = certificates.attack_distance[index] / length
    points = np.clip(images + noise * wanted[:, None, None, None], 0, 1).astype(np.float32)
    reached = distances(torch.from_numpy(points), torch.from_numpy(stored)).numpy()
    original = certificates.predicted[index]
    fields = {"index": index, "original": original, "changed": (original + 3) % 10, "distance": reached,
              "adversarial": points, "model_sha256": certificates.model_sha256,
              "data_fingerprint": certificates.data_fingerprint}  # fmt: skip
    kept = Adversarials(**{**fields, **changes})
    write_adversarials(adversarials_path(model), kept)
    distance = np.full(len(certificates), np.inf)
    distance[index] = kept.distance
    write_results(results_path(model), replace(certificates, attack_distance=distance), {})


class Brightness:
    """A model whose largest logit is 9 times the mean pixel; in the order of the results that lie beside it."""

    def __init__(self, path: Path) -> None:
        self.sha256 = sha256_of(path)
        self._kept = read_results(results_path(path))
        self._rows = {image.tobytes(): row for row, image in enumerate(synthetic_images().images)}

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """(10,): the predicted class first, then its runner-up, then the others."""
        row = self._rows[pixels.tobytes()]
        first = [int(self._kept.predicted[row]), int(self._kept.runner_up[row])]
        values = np.zeros(10)
        values[[*first, *(k for k in range(10) if k not in first)]] = np.arange(9, -1, -1)
        return values * float(pixels.mean()) / 255
