"""What is known of one layer: bounds, spectra, gradient norms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from lipscope.records.numbers import Bound, Estimate, Shape
from lipscope.visible import harmless

NEAR_ONE = 1e-3
"""How far from 1 a singular value may lie and still count as 1."""


@dataclass(frozen=True)
class Spectrum:
    """The singular values of a layer's linear operator at its true input size: estimates, but for ``proved_range``.

    Args:
        values: singular values, largest first.
        weights: how many singular values each of ``values`` stands for (sums to ``size``).
        size: min(number of inputs, number of outputs): how many singular values there are. Where a layer drops
            inputs or adds outputs, the zeros that this must bring are not counted.
        method: how they were computed, in words.
        complete: whether ``values`` lists every singular value once.
        accuracy: what the values are expected to err by, absolutely; of a density, the expected distance to the true
            distribution (Wasserstein 1: the mean error of a sorted list of all singular values).
        proved_range: (lower, upper) proved to enclose every singular value, where the layer's structure gives that.
    """

    values: tuple[float, ...]
    weights: tuple[float, ...]
    size: int
    method: str
    complete: bool
    accuracy: float | None = None
    proved_range: tuple[float, float] | None = None

    @cached_property
    def at_one(self) -> float | None:
        """The share of singular values within ``NEAR_ONE`` of 1; None of an empty spectrum.

        >>> Spectrum((1.0, 0.5), (3.0, 1.0), 4, "by hand", False).at_one
        0.75
        """
        near = sum(w for s, w in zip(self.values, self.weights, strict=True) if abs(s - 1) <= NEAR_ONE)
        return near / sum(self.weights) if sum(self.weights) > 0 else None

    @property
    def stable_rank(self) -> float:
        """||A||_F^2 / ||A||_2^2: how many directions carry the operator; 0 for the zero operator.

        >>> Spectrum((2.0, 1.0), (1.0, 4.0), 5, "by hand", False).stable_rank
        2.0
        """
        largest = max(self.values)
        # Divided first: the squares alone could overflow.
        return sum(w * (s / largest) ** 2 for s, w in zip(self.values, self.weights, strict=True)) if largest else 0.0

    @property
    def condition_number(self) -> float:
        """The largest singular value over the smallest; infinite where a direction is lost.

        >>> Spectrum((2.0, 0.5), (1.0, 1.0), 2, "by hand", True).condition_number
        4.0
        """
        smallest = min(self.values)
        return max(self.values) / smallest if smallest > 0 else math.inf

    @property
    def orthogonal(self) -> bool:
        """Whether every singular value lies within ``NEAR_ONE`` of 1, so that the condition number says nothing new."""
        return abs(max(self.values) - 1) <= NEAR_ONE and abs(min(self.values) - 1) <= NEAR_ONE

    def to_json(self) -> dict[str, Any]:
        """Method, size, what the values tell together, and the values themselves; infinite numbers are null."""
        condition = self.condition_number
        return {
            **asdict(self),
            "share_near_one": self.at_one,
            "share_tolerance": NEAR_ONE,
            "stable_rank": self.stable_rank,
            "condition_number": condition if math.isfinite(condition) else None,
            "label": "estimate",
            "proved_range": None if self.proved_range is None else {
                "lower": self.proved_range[0], "upper": self.proved_range[1],
                "label": "proved lower and upper bound on every singular value",
            },
        }  # fmt: skip


@dataclass(frozen=True)
class GradientNorms:
    """The distribution of ||J^T g|| / ||g|| over images, measured in one layer or from the features down to it.

    1 everywhere means that the gradient norm is preserved. Estimates, not bounds.

    Args:
        mean, minimum, maximum, p05, p95: statistics over the images.
        images: how many images and which, e.g. ``"64 images of cifar10 test"``.
        gradients: which g: ``"margin"`` (the gradient that flows back from the certificate), ``"random"`` (Gaussian
            at the layer's output), or ``"margin, cumulative"`` (at the layer's input over that at the features).
    """

    mean: float
    minimum: float
    maximum: float
    p05: float
    p95: float
    images: str
    gradients: str = "margin"

    def to_json(self) -> dict[str, Any]:
        """With the field names ``mean``, ``min`` and ``max`` of ``lipscope.inspect/1``."""
        return {
            "mean": self.mean,
            "min": self.minimum,
            "max": self.maximum,
            "p05": self.p05,
            "p95": self.p95,
            "images": self.images,
            "gradients": self.gradients,
            "label": "estimate",
        }


@dataclass(frozen=True)
class Tightness:
    """How much of its proved bound the slope of the margin uses: ||grad_x (f_l - f_i)|| / (||w_l - w_i|| L).

    l is the predicted class, i the runner-up, L the proved constant from pixels to features. At 1 the certificate
    could not be larger for this margin; at 0.5 the function is locally half as steep as the proof must assume.
    The slope is measured in floating point, so this is an estimate.

    Args:
        values: one number per image, in the order of the images.
        mean, minimum, maximum, p05, p95: their statistics.
        lipschitz: L.
        images: how many images and which.
    """

    values: tuple[float, ...]
    mean: float
    minimum: float
    maximum: float
    p05: float
    p95: float
    lipschitz: float
    images: str

    def to_json(self) -> dict[str, Any]:
        """The object under ``tightness`` in ``lipscope.inspect/1``."""
        return {
            "mean": self.mean,
            "min": self.minimum,
            "max": self.maximum,
            "p05": self.p05,
            "p95": self.p95,
            "values": list(self.values),
            "lipschitz": self.lipschitz,
            "images": self.images,
            "method": "||grad_x (f_l - f_i)|| / (||w_l - w_i|| L), i the runner-up",
            "label": "estimate",
        }


@dataclass(frozen=True)
class LayerReport:
    """What is known of one layer; later reports of the same layer know more.

    Args:
        name: dotted name inside the model or the file.
        kind: what it is, e.g. ``"SOC 3x3, stride 2"``.
        input_shape, output_shape: without the batch; None where the file does not tell.
        bound: on the layer's Lipschitz constant.
        role: ``"normalisation"`` and ``"head"`` enter the radii on their own; ``"body"`` is the 1-Lipschitz
            network; ``"part"`` stands inside a residual sum, whose own row counts; ``"tensor"`` is a tensor of a
            file that lipscope has no model for.
        sigma_max, sigma_min: extreme singular values of the linear part.
        spectrum: all of them, where measured.
        gradient_norm: measured preservation of the norm of the margin's gradient.
        gradient_norm_random: of Gaussian directions at the layer's output, at the same activations.
        gradient_norm_cumulative: the margin's gradient at the layer's input over that at the features.
        notes: what a reader should know, one sentence each.
        angles: of a Householder activation, in radians, by the names of their tensors.
    """

    name: str
    kind: str
    input_shape: Shape | None
    output_shape: Shape | None
    bound: Bound
    role: Literal["normalisation", "body", "head", "part", "tensor"] = "body"
    sigma_max: Estimate | None = None
    sigma_min: Estimate | None = None
    spectrum: Spectrum | None = None
    gradient_norm: GradientNorms | None = None
    notes: tuple[str, ...] = ()
    gradient_norm_random: GradientNorms | None = None
    gradient_norm_cumulative: GradientNorms | None = None
    angles: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The layer as in ``lipscope.inspect/1``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "role": self.role,
            "input_shape": list(self.input_shape) if self.input_shape else None,
            "output_shape": list(self.output_shape) if self.output_shape else None,
            "bound": self.bound.to_json(),
            "sigma_max": self.sigma_max.to_json() if self.sigma_max else None,
            "sigma_min": self.sigma_min.to_json() if self.sigma_min else None,
            "spectrum": self.spectrum.to_json() if self.spectrum else None,
            "gradient_norm": self.gradient_norm.to_json() if self.gradient_norm else None,
            "gradient_norm_random": self.gradient_norm_random.to_json() if self.gradient_norm_random else None,
            "gradient_norm_cumulative": (
                self.gradient_norm_cumulative.to_json() if self.gradient_norm_cumulative else None
            ),
            "angles": {name: list(values) for name, values in self.angles.items()},
            "notes": list(self.notes),
        }


GRADIENT_KEPT = 1 - 1e-4
"""A layer that keeps at least this share passes the gradient on, up to float32 rounding."""


def gradient_kept(layer: LayerReport) -> float | None:
    """The mean of ||J^T g|| / ||g|| (margin gradients) over the layer's proved bound; None where not measured.

    The product of these shares is about the tightness of the certificate. Without a finite bound it is the mean.
    """
    if layer.gradient_norm is None:
        return None
    bound = layer.bound.value if layer.bound.proved and math.isfinite(layer.bound.value) else 1.0
    return layer.gradient_norm.mean / bound if bound > 0 else layer.gradient_norm.mean


def loses_most(layers: Iterable[LayerReport]) -> LayerReport | None:
    """The layer of the body that keeps the least of what its bound allows; None when every one keeps all."""
    shares = [(kept, layer) for layer in layers if layer.role == "body" and (kept := gradient_kept(layer)) is not None]
    losing = [(kept, layer) for kept, layer in shares if kept < GRADIENT_KEPT]
    return min(losing, key=lambda found: found[0])[1] if losing else None


def loss_words(layers: Iterable[LayerReport]) -> str:
    """The layer that loses most of the gradient, or that there is none, in a sentence without its end; estimates."""
    losing = loses_most(layers)
    if losing is None or losing.gradient_norm is None:
        return "no layer of the body loses gradient: each passes back over 0.9999 of what its bound allows"
    kept = gradient_kept(losing)
    scales = kept is not None and abs(losing.bound.value - 1) > NEAR_ONE
    allowed = f", {kept:.4f} of what its bound allows" if scales else ""
    mean = losing.gradient_norm.mean
    shown = f"{mean:.4f}" if mean < 1e3 else f"{mean:.2e}"
    return f"loses most: {harmless(losing.name, 60, keep='end')}, which passes back {shown} of the norm (mean){allowed}"
