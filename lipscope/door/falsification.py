"""``lipscope.attack``: tries to change certified predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipscope.attacks import driver
from lipscope.attacks.report import robust_count
from lipscope.certification.run import chosen_device
from lipscope.data import Split
from lipscope.door.certification import certify, given
from lipscope.door.subject import Model
from lipscope.records.certificates import Certificates
from lipscope.units import DEFAULT_EPS, format_eps, parse_eps
from lipscope.visible import counted


@dataclass(frozen=True)
class Attacked:
    """What attacks found beside what is certified.

    Args:
        certificates: of the attacked images, as they were before.
        distance: (n,) float64, the smallest l2 distance at which the class changes in float64, rounded up; inf where no
            attack changed it. An upper bound on the true robustness.
        point: (n, C, H, W) float32, the adversarial image; the image itself where nothing was found.
        violations: the rows whose class changed strictly inside the certified radius: each refutes a certificate.
    """

    certificates: Certificates
    distance: NDArray[np.float64]
    point: NDArray[np.float32]
    violations: tuple[int, ...]

    def accuracy(self, eps: str | Fraction) -> float:
        """The share that is classified correctly and was not changed within eps: an estimate from above."""
        exact = parse_eps(eps) if isinstance(eps, str) else eps
        return robust_count(self.certificates, self.distance, exact) / len(self.certificates)

    def __repr__(self) -> str:
        """One line: certified and empirically robust accuracy side by side."""
        shares = ", ".join(
            f"{format_eps(eps)} {self.certificates.accuracy(eps):.2%} certified, {self.accuracy(eps):.2%} not broken"
            for eps in self.certificates.eps
        )
        images, broken = counted(len(self.certificates), "image"), counted(len(self.violations), "violation")
        return f"Attacked({images}: {shares}; {broken})"


def attack(
    model: Model,
    data: Any = None,
    *,
    eps: str | Fraction | Sequence[str | Fraction] = DEFAULT_EPS,
    split: Split = "test",
    limit: int | None = 100,
    steps: int = 15,
    restarts: int = 2,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Attacked:
    """Certify images, then try to break the certificates: minimum norm, PGD, and the floats around each radius.

    Args:
        model, data, split, limit, input_shape, device, data_dir: as of :func:`lipscope.certify`.
        eps: the radii of PGD, and of the sum-up.
        steps, restarts: of each search.
        seed: of every random draw.
        on_progress: told (images done, images in all).

    Raises:
        LipscopeError: as of :func:`lipscope.certify`.

    >>> import torch, lipscope
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2, bias=False)).eval()
    >>> _ = torch.nn.init.constant_(net[1].weight[0], 1.0), torch.nn.init.constant_(net[1].weight[1], -1.0)
    >>> found = lipscope.attack(net, (torch.full((1, 3, 2, 2), 51, dtype=torch.uint8), [0]), eps="1/2")
    >>> found.violations, bool(found.distance[0] >= found.certificates.radius[0])
    ((), True)
    """
    subject, images, radii = given(
        model, data, eps=eps, split=split, limit=limit, input_shape=input_shape, data_dir=data_dir
    )
    certificates = certify(subject, images, eps=radii, device=device)
    violations: list[int] = []
    outcome = driver.attack(
        subject,
        images,
        certificates,
        driver.Settings(eps=radii, steps=steps, restarts=restarts, seed=seed),
        device=chosen_device(device),
        on_progress=on_progress,
        on_violation=lambda row, image, point: violations.append(row),
    )
    return Attacked(certificates, outcome.distance, outcome.point, tuple(violations))
