"""The operators that layers hand out: dense matrices of linear functions, whatever their shape."""

from __future__ import annotations

import pytest
import torch

from lipscope.layers.contract import LinearOperator, operator_of
from lipscope.records import Shape
from tests.layers.contract import noise


def of_matrix(matrix: torch.Tensor) -> LinearOperator:
    return LinearOperator(
        (matrix.shape[0], matrix.shape[1]), lambda v: v @ matrix.T, lambda v: v @ matrix, matrix.dtype
    )


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 6), (600, 2), (2, 600)])
def test_dense_is_the_matrix_for_wide_and_tall(shape: tuple[int, int]) -> None:
    matrix = noise(*shape)
    torch.testing.assert_close(of_matrix(matrix).dense(), matrix)
    torch.testing.assert_close(of_matrix(matrix).transpose().dense(chunk=1), matrix.T)


@pytest.mark.parametrize(("inputs", "outputs"), [((2, 3), (4,)), ((5,), (2, 2, 1))])
def test_operator_of_a_function_on_shaped_tensors(inputs: Shape, outputs: Shape) -> None:
    rows, columns = torch.Size(outputs).numel(), torch.Size(inputs).numel()
    matrix = noise(rows, columns)
    operator = operator_of(lambda x: (x.flatten(1) @ matrix.T).reshape(-1, *outputs), inputs, outputs)
    assert operator.shape == (rows, columns)
    torch.testing.assert_close(operator.matvec(torch.eye(columns, dtype=torch.float64)).T, matrix)
    torch.testing.assert_close(operator.rmatvec(torch.eye(rows, dtype=torch.float64)), matrix)


def test_operators_keep_no_graph_and_work_without_gradients() -> None:
    weight = noise(3, 3).requires_grad_()
    operator = operator_of(lambda x: x @ weight.T, (3,), (3,))
    with torch.no_grad():
        pulled = operator.rmatvec(noise(2, 3))
    assert not pulled.requires_grad
    assert not operator.matvec(noise(2, 3)).requires_grad
    assert weight.grad is None
