"""The contract that every layer obeys: what it computes, what it proves, and its linear part as an operator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipscope.bounds.rounding import Arithmetic, outward
from lipscope.errors import UsageError
from lipscope.ground import check_ground
from lipscope.records import Bound, Shape


@dataclass(frozen=True)
class Rounding:
    """What floating-point evaluation of a layer f does to inputs of bounded norm.

    Args:
        error: a proved bound on ||fl(f)(x) - f(x)||_2, the layer's local rounding error; ``inf`` if none is proved.
        norm: a proved bound on ||fl(f)(x)||_2, the norm of what is computed.
    """

    error: float
    norm: float

    def shifted(self, offset: float, outputs: int, arithmetic: Arithmetic) -> Rounding:
        """The same after one addition an output, of stored numbers whose l2 norm is at most ``offset``."""
        result = self.norm + offset
        added = arithmetic.unit_roundoff * result + 3 * arithmetic.smallest * math.sqrt(outputs)
        norm = arithmetic.held(outward(result + added))
        return Rounding(outward(self.error + added) if math.isfinite(norm) else math.inf, norm)


def check_provable(layers: Iterable[tuple[str, nn.Module]]) -> None:
    """Refuse to prove anything of layers that are being trained, or in an arithmetic that is not IEEE's.

    In training mode layers compute something else: another series, the statistics of a batch, free weights.

    Raises:
        UsageError: one is in training mode.
        CheckFailedError: see :func:`lipscope.ground.check_ground`.
    """
    check_ground()
    for name, layer in layers:
        if any(module.training for module in layer.modules()):
            raise UsageError(
                "refused: the network is in training mode", where=name,
                why="what is proved holds in eval mode", next_step="call .eval() first",
            )  # fmt: skip


UNBOUNDED = Rounding(math.inf, math.inf)


class LipschitzLayer(nn.Module, ABC):
    """A layer with a proved Lipschitz constant.

    ``forward`` maps (N, *input_shape) to (N, *output_shape); weights are cast to the dtype of the input, so that
    the same layer evaluates in float32, under autocast, and in float64.
    """

    kind: str
    """What the layer is, for a person: ``"SOC 3x3, stride 2"``."""

    gradient_norm_preserving: bool
    """The claim that J J^T = I almost everywhere: every gradient passes back with its norm, ||J^T g|| = ||g||."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(N, *input_shape) to (N, *output_shape)."""

    @abstractmethod
    def bound(self, input_shape: Shape) -> Bound:
        """A proved upper bound on the Lipschitz constant of ``forward`` in eval mode, in real arithmetic.

        A layer that cannot prove one returns ``Bound.unproved(reason)``.
        """

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """A proved bound on the error that ``forward`` commits in eval mode, in floating point.

        For *every* x of this shape whose entries are numbers of the arithmetic, with ||x||_2 <= norm,

            ||fl(f)(x) - f(x)||_2 <= error    and    ||fl(f)(x)||_2 <= norm of the result,

        f being the function of the stored numbers in real arithmetic, and fl(f) what ``forward`` computes in
        ``arithmetic`` in any order of summation, with or without fused multiply-add, underflow included.
        ``certify`` sums the errors: E <- L E + error, L from ``bound``. The usual ingredients are
        :meth:`Arithmetic.products` with :func:`lipscope.bounds.convolution.absolute_bound` for a convolution,
        ``outward`` for the arithmetic of the bound itself, and norm <- L norm + ||f(0)|| + error.

        The default proves nothing: a net with such a layer is not certified.
        """
        return UNBOUNDED

    def prepared(self, input_shape: Shape, evaluations: int) -> LipschitzLayer:
        """A layer with the same proofs that evaluates so many images faster in eval mode; by default itself.

        It keeps what it has computed of the weights, so that it is right only as long as they stay as they are.
        :meth:`rounding` bounds the error of both ways.
        """
        return self

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the result without the batch.

        Raises:
            ValueError: the layer cannot take this shape.
        """


class LinearLayer(LipschitzLayer):
    """A layer that is affine: ``forward(x) = linear(x) + bias``, the bias being 0 unless a layer says otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, *input_shape) to (N, *output_shape)."""
        return self.linear(x)

    @abstractmethod
    def linear(self, x: Tensor) -> Tensor:
        """The linear part: (N, *input_shape) to (N, *output_shape)."""

    composite = False
    """Whether ``linear`` takes many products with one matrix (a series), so that its own matrix is costly to form."""

    def circular_kernel(self, input_shape: Shape) -> Tensor | None:
        """(out, in, h, w) if the linear part is a circular convolution up to an order of its inputs; None otherwise.

        Its stride is 1 and its image that of the output: a pixel-unshuffle before it is an order of the inputs.
        """
        return None

    def singular_value_range(self, input_shape: Shape, width: float) -> tuple[float, float] | None:
        """(lower, upper) proved to enclose every singular value over the smaller side; None where nothing is proved.

        Args:
            input_shape: without the batch.
            width: no more effort is spent once upper - lower is at most this.
        """
        return None

    def operator(self, input_shape: Shape, dtype: torch.dtype = torch.float64) -> LinearOperator:
        """The linear part on inputs of this shape, as a pair of matrix-vector products."""
        return operator_of(self.linear, input_shape, self.output_shape(input_shape), dtype)


class Trainable(ABC):
    """A layer whose stored weight is computed from a free one while it is trained."""

    @abstractmethod
    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Put a free weight, initialised at random, behind the parametrisation."""

    @abstractmethod
    def freeze(self) -> None:
        """Replace the free weight by the one that it stands for, and forget the parametrisation."""


@dataclass(frozen=True)
class LinearOperator:
    """A real matrix given by its products with batches of vectors.

    Args:
        shape: (outputs, inputs).
        matvec: (N, inputs) to (N, outputs).
        rmatvec: (N, outputs) to (N, inputs), the product with the transpose.
        dtype: of the vectors.
    """

    shape: tuple[int, int]
    matvec: Callable[[Tensor], Tensor]
    rmatvec: Callable[[Tensor], Tensor]
    dtype: torch.dtype

    def transpose(self) -> LinearOperator:
        """The operator of the transposed matrix."""
        return LinearOperator((self.shape[1], self.shape[0]), self.rmatvec, self.matvec, self.dtype)

    def dense(self, chunk: int = 256) -> Tensor:
        """The matrix itself, (outputs, inputs), by products with the unit vectors."""
        if self.shape[0] < self.shape[1]:
            return self.transpose().dense(chunk).mT
        identity = torch.eye(self.shape[1], dtype=self.dtype)
        return torch.cat([self.matvec(rows) for rows in identity.split(chunk)]).mT


def operator_of(
    function: Callable[[Tensor], Tensor], input_shape: Shape, output_shape: Shape, dtype: torch.dtype = torch.float64
) -> LinearOperator:
    """The operator of a linear function of tensors; the transpose comes from its vector-Jacobian product.

    Args:
        function: linear, (N, *input_shape) to (N, *output_shape).
    """

    def matvec(vectors: Tensor) -> Tensor:
        with torch.no_grad():
            return function(vectors.reshape(-1, *input_shape)).flatten(1)

    def rmatvec(vectors: Tensor) -> Tensor:
        origin = torch.zeros(len(vectors), *input_shape, dtype=dtype, device=vectors.device, requires_grad=True)
        with torch.enable_grad():
            image = function(origin)
        (pulled,) = torch.autograd.grad(image, origin, vectors.reshape(image.shape))
        return pulled.flatten(1)

    return LinearOperator((math.prod(output_shape), math.prod(input_shape)), matvec, rmatvec, dtype)
