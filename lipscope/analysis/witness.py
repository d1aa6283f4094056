"""The witness of a violation: two vectors that a layer moves apart, kept in a file from which anyone can recompute it.

The file is a safetensors file with the float64 tensors ``x``, ``y`` (inputs of the layer, without a batch),
``image_x`` and ``image_y`` (what the layer makes of them), and the metadata ``layer``, ``ratio`` and
``model_sha256``. The ratio is ||image_x - image_y|| / ||x - y||, from the tensors alone or, with the model at hand,
from x and y.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from lipscope.analysis.spectra.singular_values import steepest
from lipscope.bounds.matrix import length_bound
from lipscope.bounds.rounding import FLOAT64, down, gamma
from lipscope.environment import full_precision, plain_products
from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import atomic_path, opened_file, with_sorted_metadata
from lipscope.layers.contract import LinearLayer, LipschitzLayer
from lipscope.layers.heads import Head
from lipscope.layers.reshape import Normalize
from lipscope.layers.roundings import chain_rounding
from lipscope.models.network import Network
from lipscope.records import Shape
from lipscope.version import __version__

SCHEMA = "lipscope.witness/1"
NETWORK = "(network)"
"""In the place of a layer's name: the pair belongs to the network behind its input normalisation, before its head."""

STARTS, ROUNDS, STEP = 2, 10, 1e-3
"""Images from which a pair is looked for, rounds each, and the distance of the pair relative to the image's norm."""

TENSORS = ("x", "y", "image_x", "image_y")


@dataclass(frozen=True)
class Witness:
    """Two inputs of a layer and their images, in float64.

    Args:
        layer: its name.
        model_sha256: of the model that it belongs to.
        x, y: (*input_shape).
        image_x, image_y: (*output_shape).
    """

    layer: str
    model_sha256: str
    x: Tensor
    y: Tensor
    image_x: Tensor
    image_y: Tensor

    @property
    def ratio(self) -> float:
        """||image_x - image_y|| / ||x - y||, from the stored numbers alone."""
        return _quotient(self.x, self.y, self.image_x, self.image_y)


def linear_witness(
    name: str, layer: LinearLayer, input_shape: Shape, model_sha256: str, direction: Tensor | None = None
) -> Witness:
    """The direction that a linear layer stretches most, against zero; so long that the bias does not drown it.

    Args:
        name, layer, input_shape: which layer, and where.
        model_sha256: of the model.
        direction: (inputs,) of length 1, as :func:`steepest` finds it; sought where not given.

    Raises:
        OverflowError: the products overflow float64.
    """
    found = steepest(layer.operator(input_shape)) if direction is None else direction
    nothing = torch.zeros(input_shape, dtype=torch.float64)
    with torch.no_grad():
        offset = float(torch.linalg.vector_norm(layer(nothing.unsqueeze(0))))
    longer = 2.0 ** max(0, math.frexp(offset)[1]) if math.isfinite(offset) else 1.0
    return witness_of(name, layer, found.reshape(input_shape) * longer, nothing, model_sha256)


def network_witness(net: Network, images: Tensor, model_sha256: str) -> Witness | None:
    """The pair of inputs of the whole network (behind the normalisation) that it moves apart most, as far as found.

    From an image x: v <- J^T (f(x + h v) - f(x)), a power iteration on J^T J with a difference in place of J v, whose
    ratio is exhibited at every step.

    Returns:
        None when nothing finite was found.
    """
    points = images[:STARTS].to(torch.float64)
    first = next(layer for _, layer, _ in net.layers())
    if isinstance(first, Normalize):
        with torch.no_grad():
            points = first(points)
    body = body_of(net)
    best: Witness | None = None
    for point in points:
        for x, y in _steepest(body, point):
            found = witness_of(NETWORK, body, x, y, model_sha256)
            if math.isfinite(found.ratio) and (best is None or found.ratio > best.ratio):
                best = found
    return best


def proved_ratio(witness: Witness, parts: Sequence[tuple[LipschitzLayer, Shape]]) -> float:
    """A lower bound on the ratio in exact arithmetic: the images' rounding errors are taken from their distance.

    ||f(x) - f(y)|| >= ||f^(x) - f^(y)|| - 2 E, with E the error of an evaluation in float64 (docs/soundness.md,
    theorem 2), which is proved for every order of summation.

    Args:
        witness: evaluated in float64 by the layers.
        parts: the layers with the shapes that they take.

    Returns:
        0 where no error is proved, or nothing is left of the distance.
    """
    error = 2 * chain_rounding(parts, max(length_bound(witness.x), length_bound(witness.y)), FLOAT64).error
    apart, moved = witness.x - witness.y, witness.image_x - witness.image_y
    computed = float(torch.linalg.vector_norm(moved))
    if not (math.isfinite(error) and math.isfinite(computed) and apart.any()):
        return 0.0
    # A difference errs by u, and squares that underflow only make the norm smaller.
    left = down(computed * (1 - gamma(moved.numel() + 8)), 2) - error
    return max(0.0, down(down(left) / (length_bound(apart) * (1 + gamma(2))), 3))


def body_of(net: Network) -> nn.Sequential:
    """The network behind its input normalisation and before its head."""
    return nn.Sequential(*(layer for layer, _ in body_parts(net)))


def body_parts(net: Network) -> list[tuple[LipschitzLayer, Shape]]:
    """Its layers with the shapes that they take."""
    return [(layer, shape) for _, layer, shape in net.layers() if not isinstance(layer, (Normalize, Head))]


def _steepest(body: nn.Sequential, point: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs (x + h v, x) along a power iteration."""
    x = point.unsqueeze(0)
    generator = torch.Generator().manual_seed(0)
    length = float(torch.linalg.vector_norm(x)) or 1.0
    with torch.no_grad():
        here = body(x)
    direction = torch.randn(here.shape, generator=generator, dtype=torch.float64)
    for _ in range(ROUNDS):
        place = x.clone().requires_grad_()
        with torch.enable_grad():
            (v,) = torch.autograd.grad(body(place), place, direction)
        norm = float(torch.linalg.vector_norm(v))
        if not 0 < norm < math.inf:
            return
        step = v * (STEP * length / norm)
        yield (x + step).squeeze(0), point
        with torch.no_grad():
            direction = body(x + step) - here


def witness_of(name: str, layer: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, model_sha256: str) -> Witness:
    """Two points and their images under the layer, evaluated in float64."""
    x, y = x.detach().to(torch.float64), y.detach().to(torch.float64)
    with torch.no_grad(), full_precision(), plain_products():
        images = torch.cat([layer(x.unsqueeze(0)), layer(y.unsqueeze(0))])
    return Witness(name, model_sha256, x, y, images[0], images[1])


def write_witness(path: Path, witness: Witness) -> None:
    """Write the four tensors and what they are about, atomically.

    Raises:
        LipscopeError: the place cannot be written to, or the disk is full.
    """
    metadata = {
        "lipscope.witness": SCHEMA,
        "lipscope.version": __version__,
        "layer": witness.layer,
        "ratio": repr(witness.ratio),
        "model_sha256": witness.model_sha256,
        "formula": "ratio = norm(image_x - image_y) / norm(x - y), image_x = layer(x), float64",
    }
    tensors = {name: getattr(witness, name).contiguous().clone() for name in TENSORS}
    with atomic_path(path) as temporary:
        temporary.write_bytes(with_sorted_metadata(save(tensors, metadata)))


def read_witness(path: Path) -> Witness:
    """Read a witness, and recompute its ratio from the stored vectors.

    Raises:
        CheckpointError: missing, damaged, of another schema, or a ratio that the vectors do not give.
    """
    where = str(path)
    with opened_file(path) as (header, whole):
        metadata, content = header.metadata, whole()
    if metadata.get("lipscope.witness") != SCHEMA:
        raise CheckpointError("not a witness of this version", where=where, why=f"expected {SCHEMA}")
    try:
        tensors = load(content)
        x, y, image_x, image_y = (tensors[name] for name in TENSORS)
        claimed = float(metadata["ratio"])
        witness = Witness(metadata["layer"], metadata["model_sha256"], x, y, image_x, image_y)
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError("the witness is damaged", where=where, why=str(error)[:200]) from error
    fits = x.shape == y.shape and image_x.shape == image_y.shape and {t.dtype for t in tensors.values()} == {x.dtype}
    if not fits or x.dtype != torch.float64 or not math.isclose(witness.ratio, claimed, rel_tol=1e-12):
        raise CheckpointError("the witness is damaged", where=where, why="its vectors do not give its ratio")
    return witness


def recomputed(witness: Witness, layer: Callable[[Tensor], Tensor]) -> float:
    """The ratio from x and y alone: their images are computed again, in float64."""
    return witness_of(witness.layer, layer, witness.x, witness.y, witness.model_sha256).ratio


def _quotient(x: Tensor, y: Tensor, image_x: Tensor, image_y: Tensor) -> float:
    distance = float(torch.linalg.vector_norm(x - y))
    return float(torch.linalg.vector_norm(image_x - image_y)) / distance if distance > 0 else math.nan
