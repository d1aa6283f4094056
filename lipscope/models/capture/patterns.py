"""Layers that are spelled as several operations: found by their operations, told apart by what they compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lipscope.models.capture import spelled_activations, spelled_operators
from lipscope.models.capture.graph import Op
from lipscope.models.capture.moves import IDENTITIES
from lipscope.models.capture.region import Region, regions
from lipscope.models.capture.steps import Step, Steps


@dataclass(frozen=True)
class Pattern:
    """A layer of several operations.

    Args:
        kinds: of the operations that it may be spelled with.
        needs: one of these is among them.
        ends: kinds of its last operation.
        match: adds the step and returns true where the region is the layer.
    """

    kinds: frozenset[str]
    needs: frozenset[str]
    ends: frozenset[str]
    match: Callable[[Region, Steps], bool]


def matched(op: Op) -> list[Step] | None:
    """The steps of the layer that ends in this operation; None where it is no pattern's."""
    for pattern in PATTERNS:
        if op.base not in pattern.ends:
            continue
        for region in regions(op, pattern.kinds):
            if not any(one.base in pattern.needs for one in region.ops):
                continue
            steps = Steps(op)
            if pattern.match(region, steps):
                return steps.finish()
    return None


MOVES = frozenset({
    "getitem", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "slice", "select", "narrow", "cat",
    "stack", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "movedim",
    "index_select", "index", "channel_shuffle", "native_channel_shuffle", *IDENTITIES,
})  # fmt: skip
"""Operations that move numbers."""

JOINED = frozenset({"cat", "stack", "view", "reshape", "flatten"})
"""Those by which several values become one."""

ARITHMETIC = frozenset({"add", "sub", "rsub", "mul", "div", "neg"})
COMPARISONS = frozenset({"gt", "ge", "le", "lt"})
CHOICES = frozenset({"where", "to", "_to_copy", "bitwise_not", "logical_not", "logical_and", "bitwise_and"})
"""What is done with the results of comparisons."""

EXTREMES = frozenset({"max", "min", "maximum", "minimum", "sort", "topk", "amax", "amin"})
HALVING = frozenset({"relu", "abs", "clamp", "clamp_min", "clamp_max"})
"""Operations that tell the half plane that is reflected from the other."""

SMOOTH = frozenset({"abs", "sigmoid", "tanh", "erf", "exp", "relu6", "clamp", "hardtanh", "hardsigmoid"})
FOURIER = frozenset({
    "fft_fft2", "fft_ifft2", "fft_rfft2", "fft_irfft2", "fft_fftn", "fft_ifftn", "fft_rfftn", "fft_irfftn", "fft_fft",
    "fft_ifft", "fft_rfft", "fft_irfft",
})  # fmt: skip
COMPLEX = frozenset({"real", "conj", "_conj", "resolve_conj", "conj_physical", "view_as_real", "view_as_complex"})
PRODUCTS = frozenset({"matmul", "bmm", "mm", "einsum", "expand", "_unsafe_view"})
MEANS = frozenset({"mean", "sum", "adaptive_avg_pool2d"})
PAIRWISE = MOVES | ARITHMETIC | COMPARISONS | CHOICES

PATTERNS = (
    Pattern(SMOOTH | ARITHMETIC | {"pow", "reciprocal"}, SMOOTH, frozenset({"mul", "div"}), spelled_activations.curve),
    Pattern(
        ARITHMETIC | COMPARISONS | CHOICES | {"relu", "maximum", "minimum"},
        COMPARISONS | {"maximum", "minimum"},
        frozenset({"mul", "add", "sub", "where", "maximum", "minimum"}),
        spelled_activations.slopes,
    ),
    Pattern(
        PAIRWISE | EXTREMES | HALVING,
        EXTREMES | HALVING | COMPARISONS,
        JOINED | {"getitem", "permute", "transpose"},
        spelled_activations.sorting,
    ),
    Pattern(PAIRWISE | HALVING, HALVING | COMPARISONS, JOINED, spelled_activations.householder),
    Pattern(
        PAIRWISE | {"atan2", "remainder"},
        frozenset({"atan2"}),
        JOINED,
        spelled_activations.householder_of_order_2,
    ),
    Pattern(MOVES | HALVING | {"neg", "mul"}, HALVING, frozenset({"cat"}), spelled_activations.concatenated_relu),
    Pattern(
        MOVES | FOURIER | COMPLEX | PRODUCTS | ARITHMETIC,
        FOURIER,
        FOURIER | {"real", "view", "reshape", "permute", "select"},
        spelled_operators.circular,
    ),
    Pattern(MOVES, frozenset({"cat"}), frozenset({"cat"}), spelled_operators.copies),
    Pattern(MOVES, frozenset({"cat"}), frozenset({"cat"}), spelled_operators.taken),
    Pattern(
        MEANS | ARITHMETIC | {"expand", *IDENTITIES},
        MEANS,
        frozenset({"add", "sub", "rsub"}),
        spelled_operators.centering,
    ),
    Pattern(
        frozenset({"pow", "avg_pool2d", "sign", "abs", "relu", "mul", "sqrt", "square"}),
        frozenset({"avg_pool2d"}),
        frozenset({"pow", "sqrt"}),
        spelled_operators.l2_pool,
    ),
    Pattern(
        frozenset({"conv2d", "mul", "div", "add", *IDENTITIES}),
        frozenset({"conv2d"}),
        frozenset({"add"}),
        spelled_operators.taylor,
    ),
    Pattern(
        ARITHMETIC | {"conv2d", "conv_transpose2d", "linear", "relu", *IDENTITIES},
        frozenset({"conv_transpose2d", "linear"}),
        frozenset({"sub", "add"}),
        spelled_operators.potential_step,
    ),
)
