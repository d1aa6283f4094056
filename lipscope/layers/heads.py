"""Last layers: logits from features, with a proved Lipschitz constant for every difference of two logits."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipscope.bounds.matrix import length_bound, spectral_norm_bound
from lipscope.bounds.rounding import Arithmetic, gamma, outward, up
from lipscope.layers.contract import LinearLayer, Rounding, Trainable
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.linear import Linear
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.records import Bound, Shape

PAIR_EFFORT = 2.0**31
"""Operations up to which every pair of classes is looked at (a few seconds)."""


class Head(LinearLayer, Trainable):
    """A last layer on (N, features); certificates need the constants of pairs, not of the whole."""

    gradient_norm_preserving = False
    classes: int

    @abstractmethod
    def pair_bounds(self) -> Tensor:
        """(classes, classes) float64: proved upper bounds on the Lipschitz constants of f_l - f_i; diagonal 0."""

    def settled_pairs(self) -> Tensor:
        """(classes, classes) float64: f_l - f_i where it is the same for all features, exact in its sign; else NaN."""
        return torch.full((self.classes, self.classes), math.nan, dtype=torch.float64)

    @abstractmethod
    def pair_bounds_between(self, first: Tensor, second: Tensor) -> Tensor:
        """(n,) float64: those of the pairs (first_k, second_k) of classes."""

    @abstractmethod
    def largest_pair_bound(self) -> float:
        """A bound on all of them."""

    @abstractmethod
    def logit_rounding(self, features: int, norm: float, arithmetic: Arithmetic) -> Tensor:
        """(classes,) float64: proved bounds on |fl(f_i)(x) - f_i(x)| for all features with ||x||_2 <= norm."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """(classes,)."""
        return (self.classes,)


class LinearHead(Head):
    """A linear layer w_i . x + b_i: f_l - f_i has the constant ||w_l - w_i||, from the stored rows as they are.

    Args:
        features, classes: sizes.
    """

    kind = "linear"

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.weight = nn.Parameter(torch.zeros(classes, features))
        self.bias = nn.Parameter(torch.zeros(classes))

    @staticmethod
    def of(layer: Linear) -> LinearHead:
        """A linear layer as a head: the same function."""
        head = LinearHead(layer.weight.shape[1], len(layer.weight))
        head.weight = layer.weight
        head.bias = nn.Parameter(torch.zeros_like(layer.weight[:, 0])) if layer.bias is None else layer.bias
        return head

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Rows that are normal with variance 1 / features."""
        with torch.no_grad():
            self.weight.normal_(std=self.weight.shape[1] ** -0.5, generator=generator)

    def freeze(self) -> None:
        """The rows are stored as they were trained."""

    def rows(self) -> Tensor:
        """(classes, features)."""
        return self.weight

    def linear(self, x: Tensor) -> Tensor:
        """(N, features) to (N, classes)."""
        return F.linear(x, self.rows().to(x.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(N, features) to logits (N, classes)."""
        return F.linear(x, self.rows().to(x.dtype), self.bias.to(x.dtype))

    def bound(self, input_shape: Shape) -> Bound:
        """The spectral norm of the weight matrix; radii use the pairs instead."""
        return Bound(spectral_norm_bound(self.rows().detach()), "matrix norm by Cholesky; radii use ||w_l - w_i||")

    def pair_bounds(self) -> Tensor:
        """||w_l - w_i||, computed directly in float64 and rounded up."""
        every = torch.arange(self.classes)
        return torch.stack([self.pair_bounds_between(one.expand(self.classes), every) for one in every])

    def pair_bounds_between(self, first: Tensor, second: Tensor) -> Tensor:
        """||w_l - w_i||; squares that underflow add at most sqrt(features) 2^-511 to the norm of what is not 0."""
        weight = self.rows().detach().to(torch.float64)
        apart = weight[first] - weight[second]
        lost = apart.any(dim=1).to(torch.float64) * (math.sqrt(weight.shape[1]) * 2.0**-510)
        lengths: Tensor = torch.linalg.vector_norm(apart, dim=1) * (1 + gamma(weight.shape[1] + 8))
        return lengths + lost

    def largest_pair_bound(self) -> float:
        """The largest ||w_l - w_i||; sqrt(2) ||W|| where there are too many pairs."""
        if self.classes**2 * self.weight.shape[1] <= PAIR_EFFORT:
            return float(self.pair_bounds().max())
        return up(math.sqrt(2) * self.bound((self.weight.shape[1],)).value, 2)

    def settled_pairs(self) -> Tensor:
        """b_l - b_i where two stored rows are equal: in float64 the sign of that difference is exact."""
        _, group = torch.unique(self.rows().detach(), dim=0, return_inverse=True)
        bias = self.bias.detach().to(torch.float64)
        differences = bias.unsqueeze(1) - bias.unsqueeze(0)
        return torch.where(group.unsqueeze(1) == group.unsqueeze(0), differences, math.nan)

    def logit_rounding(self, features: int, norm: float, arithmetic: Arithmetic) -> Tensor:
        """A sum of products and the bias: gamma_(F+2) (||w_i|| ||x|| + |b_i|), by Cauchy and Schwarz."""
        shift = arithmetic.gamma(features + 2)
        errors = [
            arithmetic.products(features + 1, length_bound(row), norm, 1) + outward(shift * abs(float(bias)))
            for row, bias in zip(self.rows().detach(), self.bias.detach(), strict=True)
        ]
        return torch.tensor(errors, dtype=torch.float64)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """All logits together: at most the largest of their errors times the root of their number."""
        errors = self.logit_rounding(math.prod(input_shape), norm, arithmetic)
        error = outward(math.sqrt(self.classes) * float(errors.max()))
        result = outward(self.bound(input_shape).value * norm + length_bound(self.bias) + error)
        return Rounding(error, arithmetic.held(result))


class LastLayerNormalized(LinearHead):
    """A linear layer with rows of unit length and a bias: last layer normalisation, LLN (ICLR 2022, section 4).

    The layer as a whole is not 1-Lipschitz; a file whose rows are not of unit length is still certified correctly.

    Args:
        features, classes: sizes.
    """

    kind = "LLN"

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.normalizing = False

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Free rows, normal with variance 1 / features, divided by their lengths from now on."""
        super().make_trainable(generator)
        self.normalizing = True

    @torch.no_grad()
    def freeze(self) -> None:
        """Store the rows of unit length."""
        self.weight.copy_(self.rows())
        self.normalizing = False

    def rows(self) -> Tensor:
        """(classes, features): the stored rows as they are, or while training the free rows at unit length."""
        if not self.normalizing:
            return self.weight
        with torch.autocast(self.weight.device.type, enabled=False):
            return torch.div(self.weight, torch.linalg.vector_norm(self.weight, dim=1, keepdim=True))


def lln(features: int, classes: int, _terms: int, _family: str) -> LastLayerNormalized:
    """For a configuration: it sums no series, and is no convolution."""
    return LastLayerNormalized(features, classes)


class EvenHead(Head):
    """A head whose differences of two logits all have one constant."""

    def pair_bounds(self) -> Tensor:
        """The same for every pair; 0 on the diagonal."""
        every = torch.arange(self.classes)
        return self.pair_bounds_between(every.unsqueeze(1).expand(-1, self.classes), every)

    def pair_bounds_between(self, first: Tensor, second: Tensor) -> Tensor:
        """The same for every pair, 0 for a class and itself."""
        pairs = torch.full(first.shape, self.largest_pair_bound(), dtype=torch.float64)
        return pairs.masked_fill(first == second, 0.0)


class OrthogonalHead(EvenHead):
    """A 1x1 orthogonal convolution of the net's family from features to classes.

    Its rows are orthonormal up to the family's error, so f_l - f_i has the constant sqrt(2) times its bound.

    Args:
        features, classes: sizes.
        terms: highest power of a series in eval mode.
        family: of the convolution, as in :data:`CONVOLUTIONS`.
    """

    def __init__(self, features: int, classes: int, terms: int = 12, family: str = "soc") -> None:
        super().__init__()
        self.classes = classes
        conv = CONVOLUTIONS[CONVOLUTIONS[family].head or family].build(features, classes, 1, 1, 1, terms)
        assert isinstance(conv, OrthogonalConv2d)
        self.conv = conv
        self.kind = f"orthogonal ({self.conv.kind})"

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """A free weight behind the convolution's parametrisation."""
        self.conv.make_trainable(generator)

    def freeze(self) -> None:
        """Store the convolution's plain kernel."""
        self.conv.freeze()

    def linear(self, x: Tensor) -> Tensor:
        """(N, features) to (N, classes)."""
        return self.conv.linear(x[:, :, None, None]).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features) to logits (N, classes)."""
        logits: Tensor = self.conv(x[:, :, None, None])
        return logits.flatten(1)

    def bound(self, input_shape: Shape) -> Bound:
        """The bound of the convolution on 1x1 images."""
        return self.conv.bound((*input_shape, 1, 1))

    def largest_pair_bound(self) -> float:
        """sqrt(2) times the bound of the layer, rounded up."""
        return up(math.sqrt(2) * self.bound((self.conv.in_channels,)).value, 2)

    def logit_rounding(self, features: int, norm: float, arithmetic: Arithmetic) -> Tensor:
        """No logit errs by more than all of them together."""
        error = self.rounding((features,), norm, arithmetic).error
        return torch.full((self.classes,), error, dtype=torch.float64)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """That of the convolution on 1x1 images."""
        return self.conv.rounding((*input_shape, 1, 1), norm, arithmetic)


class Outputs(EvenHead):
    """No layer at all: the features are the logits, and f_l - f_i has the constant sqrt(2).

    Args:
        classes: their number.
    """

    kind = "the outputs themselves"

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def make_trainable(self, generator: torch.Generator | None = None) -> None:
        """Nothing is trained."""

    def freeze(self) -> None:
        """Nothing is stored."""

    def linear(self, x: Tensor) -> Tensor:
        """(N, classes) to the same."""
        return x

    def bound(self, input_shape: Shape) -> Bound:
        """Exactly 1."""
        return Bound.exactly(1.0, "identity; radii use sqrt(2) for every pair")

    def largest_pair_bound(self) -> float:
        """sqrt(2), rounded up."""
        return up(math.sqrt(2))

    def logit_rounding(self, features: int, norm: float, arithmetic: Arithmetic) -> Tensor:
        """Nothing is computed."""
        return torch.zeros(self.classes, dtype=torch.float64)

    def rounding(self, input_shape: Shape, norm: float, arithmetic: Arithmetic) -> Rounding:
        """Nothing is computed."""
        return Rounding(0.0, norm)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        if input_shape != (self.classes,):
            raise ValueError(f"expects {self.classes} numbers in a row, got shape {input_shape}")
        return input_shape
