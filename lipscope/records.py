"""The facts that pass between rooms: frozen, free of torch, and each able to say itself as JSON.

A :class:`Bound` is proved (or says why it is not); an :class:`Estimate` never is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Bound:
    """A bound on the Lipschitz constant of a layer or a model in the l2 norm.

    Args:
        value: the bound; ``inf`` when nothing is proved.
        method: how it was obtained, in words.
        proved: whether the value is a theorem about the stored numbers (in real arithmetic).
        direction: ``"upper"`` or ``"lower"``.
        precision: the arithmetic of the computation; ``"exact"`` where nothing was rounded.
        reason: why nothing is proved, when ``proved`` is false.
        rounded_outward: whether the rounding errors of that arithmetic were bounded and added on the safe side; false
            where there were none.
    """

    value: float
    method: str
    proved: bool = True
    direction: Literal["upper", "lower"] = "upper"
    precision: str = "float64"
    reason: str = ""
    rounded_outward: bool = True

    @staticmethod
    def exactly(value: float, method: str) -> Bound:
        """A bound that involves no rounding, such as the 1 of an isometry.

        >>> Bound.exactly(1.0, "isometry").arithmetic
        'exact'
        """
        return Bound(value, method, precision="exact", rounded_outward=False)

    @staticmethod
    def unproved(reason: str) -> Bound:
        """The bound of a layer that cannot prove one.

        >>> Bound.unproved("no rule for Softmax").proved
        False
        """
        return Bound(float("inf"), "none", proved=False, precision="", reason=reason, rounded_outward=False)

    @property
    def arithmetic(self) -> str:
        """Precision and rounding in words.

        >>> Bound(1.5, "by hand").arithmetic
        'float64, rounded outward'
        """
        return f"{self.precision}, rounded outward" if self.rounded_outward else self.precision

    @property
    def label(self) -> str:
        """What a table calls it: ``"proved upper bound"``, ``"proved lower bound"`` or ``"not proved"``."""
        return f"proved {self.direction} bound" if self.proved and math.isfinite(self.value) else "not proved"

    def to_json(self) -> dict[str, Any]:
        """The bound as in ``lipscope.inspect/1``; an unproved or infinite value is null."""
        value = self.value if self.proved and math.isfinite(self.value) else None
        return {**asdict(self), "value": value, "label": self.label}


@dataclass(frozen=True)
class Estimate:
    """A measured number: close to the truth, proved on neither side.

    Args:
        value: the number.
        method: how it was measured, in words.
        iterations: matrix-vector rounds spent, where that makes sense.
        residual: the size of what is left unexplained (absolute), where it is known.
    """

    value: float
    method: str
    iterations: int | None = None
    residual: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The estimate as in ``lipscope.inspect/1``."""
        return {**asdict(self), "label": "estimate"}


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

    def share_near_one(self, tolerance: float = NEAR_ONE) -> float:
        """The share of singular values within ``tolerance`` of 1.

        >>> Spectrum((1.0, 0.5), (3.0, 1.0), 4, "by hand", False).share_near_one()
        0.75
        """
        near = sum(w for s, w in zip(self.values, self.weights, strict=True) if abs(s - 1) <= tolerance)
        return near / sum(self.weights)

    @cached_property
    def at_one(self) -> float | None:
        """:meth:`share_near_one`, counted once; None of an empty spectrum."""
        return self.share_near_one() if sum(self.weights) > 0 else None

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
            "share_near_one": self.share_near_one(),
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
        values: one number an image, in the order of the images.
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


@dataclass(frozen=True)
class Verdict:
    """The answer to the question: is this file really 1-Lipschitz?

    It speaks of the network on normalised inputs, up to the features before the head.

    Args:
        status: ``"proved"``, ``"violated"`` or ``"not-proved"``.
        lipschitz: the proved upper bound (``proved``), the exhibited ratio (``violated``), else None.
        reason: the layer and the method that decide, in words.
        layer: the name of the layer that decides; None where it is not one alone.
    """

    status: Literal["proved", "violated", "not-proved"]
    lipschitz: float | None
    reason: str
    layer: str | None = None

    def within(self, limit: float) -> bool:
        """Whether a Lipschitz constant of at most ``limit`` is proved; 1 means what is called 1-Lipschitz.

        >>> Verdict("proved", 1.0, "").within(1.0), Verdict("not-proved", None, "").within(9.0)
        (True, False)
        """
        allowed = 1 + VERDICT_TOLERANCE if limit == 1 else limit
        return self.status == "proved" and self.lipschitz is not None and self.lipschitz <= allowed

    @property
    def headline(self) -> str:
        """One line for a person.

        >>> Verdict("proved", 1.375, "product of 12 layers").headline
        'PROVED with L <= 1.375 (product of 12 layers)'
        """
        if self.status == "proved" and self.lipschitz is not None:
            limit = "1-Lipschitz (L <= {})" if self.lipschitz <= 1 + VERDICT_TOLERANCE else "with L <= {}"
            return f"PROVED {limit.format(round_up(self.lipschitz))} ({self.reason})"
        if self.status == "violated":
            return f"VIOLATED ({self.reason})"
        return f"NOT PROVED ({self.reason})"

    def to_json(self) -> dict[str, Any]:
        """The verdict as in ``lipscope.inspect/1``."""
        return {**asdict(self), "headline": self.headline}


VERDICT_TOLERANCE = 1e-9
"""How far above 1 a proved product may lie (rounding of the bounds) and still be called 1-Lipschitz."""


def round_up(value: float) -> str:
    """At most ten decimals (ten digits from 1e15 on), never printing less than the value.

    >>> round_up(1.00000000031), round_up(1e300)
    ('1.0000000004', '1.000000001E+300')
    """
    from decimal import ROUND_CEILING, Context, Decimal

    if value >= 1e15:
        return str(Context(prec=10, rounding=ROUND_CEILING).create_decimal(value))
    rounded = Decimal(value).quantize(Decimal("1e-10"), rounding=ROUND_CEILING)
    return f"{rounded:f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class AnalysisEvent:
    """One step of an analysis in progress, as the app shows it.

    Args:
        done, total: steps finished and steps in all.
        doing: what comes next, in words; empty at the end.
        layer: a report that replaces the earlier one of the same name.
        verdict: at the end of the bounds.
        tightness: of the certificate, with the gradient norms.
        notes: on the file as a whole, one sentence each.
    """

    done: int
    total: int
    doing: str
    layer: LayerReport | None = None
    verdict: Verdict | None = None
    tightness: Tightness | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InspectReport:
    """Everything `lipscope inspect` says of one file.

    Args:
        path, sha256, architecture: the file; architecture is None where lipscope has no model for it.
        claims: the metadata of the file, which it merely claims.
        verdict: see :class:`Verdict`.
        layers: one report a layer, in forward order (one a tensor for unknown files).
        environment: versions, device, precision flags.
        tightness: of the certificate, end to end; None where no margin could be measured.
        notes: on the file as a whole, one sentence each.
    """

    path: str
    sha256: str
    architecture: str | None
    claims: Mapping[str, str]
    verdict: Verdict
    layers: tuple[LayerReport, ...]
    environment: Mapping[str, Any] = field(default_factory=dict)
    tightness: Tightness | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object printed by ``lipscope inspect --json``."""
        losing = loses_most(self.layers)
        return {
            "schema": "lipscope.inspect/1",
            "model": {"path": self.path, "sha256": self.sha256, "architecture": self.architecture},
            "verdict": self.verdict.to_json(),
            "tightness": self.tightness.to_json() if self.tightness else None,
            "loses_most": losing.name if losing else None,
            "notes": list(self.notes),
            "layers": [layer.to_json() for layer in self.layers],
            "claims": dict(self.claims),
            "environment": dict(self.environment),
        }


@dataclass(frozen=True)
class RunEvent:
    """One line of a run's ``metrics.jsonl``: the state of a training after an epoch.

    Args:
        epoch: epochs finished, from 1.
        epochs: epochs planned.
        step: optimiser steps finished.
        loss, train_accuracy, train_certified: means over the epoch's training batches, in training mode.
        validation_accuracy, validation_certified: on the held-out images, evaluation mode; None without them.
        learning_rate: at the end of the epoch.
        images_per_second: training throughput of the epoch.
        seconds: wall time since the start of the run, over all resumptions.
    """

    epoch: int
    epochs: int
    step: int
    loss: float
    train_accuracy: float
    train_certified: float
    validation_accuracy: float | None
    validation_certified: float | None
    learning_rate: float
    images_per_second: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The line of ``metrics.jsonl``."""
        return {"schema": "lipscope.run/1", **asdict(self)}


@dataclass(frozen=True)
class StepEvent:
    """The state of a training between two epochs, for the progress bar.

    Args:
        epoch, epochs: the current epoch, from 1, and how many there are.
        step, steps: optimiser steps finished and steps in all.
        loss, accuracy, certified: running means over the epoch so far, in training mode; certified at 36/255.
        images_per_second: over the last steps.
        seconds_left: at that speed.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    certified: float
    images_per_second: float
    seconds_left: float
