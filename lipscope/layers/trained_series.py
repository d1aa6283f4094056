"""The exponential series while it is trained: forward and backward in as few and as large products as there can be.

With t_0 = x, t_k = A t_(k-1) and y = sum_k t_k / k!, the gradient g of y gives G_n = g / n!, G_k = A* G_(k+1) + g / k!,
that of x is A* G_1 + g, and that of A is sum_k G_k t_(k-1)^T: one product for all terms together, where
differentiation step by step takes one for each and adds up results of the size of the kernel.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lipscope.layers.skew import conjugate_kernel


def trained_series(x: Tensor, operator: Tensor, terms: int, outputs: int) -> Tensor:
    """The first outputs of sum_{k <= n} A^k x / k!, differentiable once in x and A.

    Args:
        x: (N, C, H, W), or (N, F) for a matrix.
        operator: the kernel (C, C, k, k) of a convolution with zero padding, or the matrix A (F, F).
        terms: n >= 1.
        outputs: how many channels, or rows of the matrix, are wanted.
    """
    result: Tensor = _Series.apply(x, operator, terms, outputs)
    return result


class _Series(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: Tensor, terms: int, outputs: int) -> Tensor:
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        every = [x]
        total = x[:, :outputs].clone()
        for k in range(1, terms + 1):
            # Nothing follows the last term but the sum.
            every.append(_applied(every[-1], operator if k < terms else operator[:outputs]))
            total.add_(every[-1][:, :outputs], alpha=1 / math.factorial(k))
        ctx.save_for_backward(operator, *every[:-1])
        ctx.terms = terms
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        operator, *every = ctx.saved_tensors
        terms, outputs = ctx.terms, gradient.shape[1]
        adjoint = operator.T if operator.ndim == 2 else conjugate_kernel(operator)
        adjoint = adjoint.contiguous()
        last = gradient * (1 / math.factorial(terms))
        pulled = [last]
        for k in range(terms - 1, -1, -1):
            if k == 0 and not ctx.needs_input_grad[0]:
                break
            pulled.append(_applied(pulled[-1], adjoint[:, :outputs] if k == terms - 1 else adjoint))
            pulled[-1][:, :outputs].add_(gradient, alpha=1 / math.factorial(k))
        of_x = pulled[terms] if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None, None, None
        # The gradient of the last term has no other channels than the wanted ones.
        of_last = _of_operator(last, every[terms - 1], operator[:outputs])
        if terms == 1:
            of_operator = _widened(of_last, len(operator))
        else:
            # By k from n - 1 down to 1: G_k with t_(k-1).
            of_operator = _of_operator(torch.cat(pulled[1:terms]), torch.cat(every[terms - 2 :: -1]), operator)
            of_operator[:outputs].add_(of_last)
        return of_x, of_operator, None, None


def _applied(x: Tensor, operator: Tensor) -> Tensor:
    return F.linear(x, operator) if operator.ndim == 2 else F.conv2d(x, operator, padding=operator.shape[-1] // 2)


def _of_operator(gradient: Tensor, x: Tensor, operator: Tensor) -> Tensor:
    """The gradient of a kernel or a matrix that takes x to what the gradient is of."""
    if operator.ndim == 2:
        return gradient.T @ x
    reach = [operator.shape[-1] // 2] * 2
    memory = torch.channels_last
    _, of_operator, _ = torch.ops.aten.convolution_backward(
        gradient.contiguous(memory_format=memory), x.contiguous(memory_format=memory), operator, None,
        [1, 1], reach, [1, 1], False, [0, 0], 1, [False, True, False],
    )  # fmt: skip
    return of_operator  # type: ignore[no-any-return]


def _widened(values: Tensor, rows: int) -> Tensor:
    whole = values.new_zeros(rows, *values.shape[1:])
    whole[: len(values)] = values
    return whole
