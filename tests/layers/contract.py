"""The abstract tests of a layer: inherit, name the cases, and give the dense twin of each linear one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from lipscope.layers.contract import LinearLayer, LipschitzLayer
from lipscope.records import Shape
from tests import dense

Case = tuple[Callable[[], LipschitzLayer], Shape]

SPACING = torch.finfo(torch.float64).eps


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


class LayerContract(ABC):
    """What every layer promises; ``cases`` maps a name to (how to make the layer, the shape that it takes)."""

    cases: ClassVar[dict[str, Case]]

    @pytest.fixture
    def shape(self, case: str) -> Shape:
        return self.cases[case][1]

    @pytest.fixture
    def layer(self, case: str) -> LipschitzLayer:
        return self.cases[case][0]().eval().requires_grad_(False)

    def test_output_shape_is_the_shape_of_the_result(self, layer: LipschitzLayer, shape: Shape) -> None:
        for batch in (1, 3):
            assert layer(noise(batch, *shape)).shape == (batch, *layer.output_shape(shape))

    def test_float64_is_evaluated_in_float64(self, layer: LipschitzLayer, shape: Shape) -> None:
        x = noise(2, *shape)
        assert layer(x).dtype == torch.float64
        assert layer(x.float()).dtype == torch.float32
        torch.testing.assert_close(layer(x.float()).double(), layer(x.float().double()), rtol=1e-5, atol=1e-5)
        # The numbers cannot have passed through float32: a change below its spacing is seen.
        nudged = layer(x * (1 + 1e-11)) - layer(x)
        assert 0 < float(nudged.abs().max()) < 1e-8

    def test_channels_last_gives_the_same(self, layer: LipschitzLayer, shape: Shape) -> None:
        x = noise(2, *shape)
        last = x.movedim(1, -1).contiguous().movedim(-1, 1)
        assert len(shape) == 1 or last.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(layer(last), layer(x), rtol=1e-13, atol=1e-13)
        strided = x.repeat_interleave(2, dim=0)[::2]
        torch.testing.assert_close(layer(strided), layer(x), rtol=1e-13, atol=1e-13)

    def test_images_do_not_see_each_other_and_calls_leave_no_trace(self, layer: LipschitzLayer, shape: Shape) -> None:
        x = noise(3, *shape)
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        together = layer(x)
        torch.testing.assert_close(layer(x[1:2]), together[1:2], rtol=1e-13, atol=1e-13)
        assert torch.equal(layer(x), together)
        assert torch.equal(x, noise(3, *shape))
        assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())

    def test_the_bound_is_proved_and_upper(self, layer: LipschitzLayer, shape: Shape) -> None:
        bound = layer.bound(shape)
        assert bound.proved
        assert bound.direction == "upper"
        assert math.isfinite(bound.value)
        assert bound.value > 0
        assert bound.method
        assert not bound.reason
        assert layer.kind

    def test_the_bound_covers_every_measured_quotient(self, layer: LipschitzLayer, shape: Shape) -> None:
        for size in (1e-3, 1.0, 1e3):
            points, steps = size * noise(32, *shape, seed=1), noise(32, *shape, seed=2)
            for length in (1e-12, 1e-6, 1.0, 1e6):
                self.check_quotients(layer, shape, points, points + length * size * steps)

    def test_the_bound_covers_the_steepest_direction(self, layer: LipschitzLayer, shape: Shape) -> None:
        """Follow the Jacobian's largest singular direction from a few points, at several lengths."""
        for seed in range(3):
            point = noise(*shape, seed=seed)
            _, singular, right = torch.linalg.svd(self.jacobian(layer, point))
            assert float(singular[0]) <= layer.bound(shape).value * (1 + 1e-12)
            for length in (1e-9, 1e-3, 1.0, 1e3):
                other = point + length * right[0].reshape(point.shape)
                self.check_quotients(layer, shape, point[None], other[None])

    def check_quotients(self, layer: LipschitzLayer, shape: Shape, points: Tensor, others: Tensor) -> None:
        change = (layer(points) - layer(others)).flatten(1).norm(dim=1)
        distance = (points - others).flatten(1).norm(dim=1)
        # Both results are rounded: to that extent a difference says nothing of the function in real arithmetic.
        largest = torch.maximum(points.flatten(1).norm(dim=1), others.flatten(1).norm(dim=1))
        bound = layer.bound(shape).value
        rounding = 100 * SPACING * max(bound, 1.0) * (largest + 1)
        assert bool((change <= bound * distance + rounding).all())

    def test_the_claim_of_gradient_norm_preservation(self, layer: LipschitzLayer, shape: Shape) -> None:
        """Claimed: J J^T = I, so that no gradient gets shorter on its way back. Not claimed: it is not so."""
        singular = torch.cat(
            [torch.linalg.svdvals(self.jacobian(layer, noise(*shape, seed=seed))) for seed in range(3)]
        )
        outputs, inputs = math.prod(layer.output_shape(shape)), math.prod(shape)
        if layer.gradient_norm_preserving:
            assert outputs <= inputs
            torch.testing.assert_close(singular, torch.ones_like(singular), rtol=0, atol=self.preservation)
        else:
            assert outputs > inputs or float((singular - 1).abs().max()) > self.preservation

    preservation: ClassVar[float] = 1e-12
    """How far from 1 a singular value of a layer may lie that claims to preserve gradient norm."""

    @staticmethod
    def jacobian(layer: LipschitzLayer, point: Tensor) -> Tensor:
        """(outputs, inputs) at (*shape), by automatic differentiation in float64."""
        rows = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0], point)
        return rows.reshape(-1, point.numel())


class LinearLayerContract(LayerContract):
    """What every affine layer promises, against a dense matrix that the test builds itself."""

    @abstractmethod
    def dense(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        """The matrix of the linear part, (outputs, inputs), built from the weights without calling the layer."""

    @abstractmethod
    def constant(self, layer: LinearLayer, shape: Shape) -> dense.Matrix:
        """What the layer adds, (outputs,)."""

    def test_forward_is_the_matrix_and_the_constant(self, layer: LinearLayer, shape: Shape) -> None:
        x = noise(4, *shape)
        linear = x.flatten(1).numpy() @ self.dense(layer, shape).T
        scale = float(np.abs(linear).max()) + 1
        np.testing.assert_allclose(layer.linear(x).flatten(1), linear, rtol=0, atol=1e-13 * scale)
        affine = linear + self.constant(layer, shape)
        np.testing.assert_allclose(layer(x).flatten(1), affine, rtol=0, atol=1e-13 * scale)

    def test_operator_and_its_transpose_are_the_matrix(self, layer: LinearLayer, shape: Shape) -> None:
        matrix, operator = self.dense(layer, shape), layer.operator(shape)
        scale = float(np.abs(matrix).max()) + 1
        assert operator.shape == matrix.shape
        assert operator.dtype == torch.float64
        outputs, inputs = matrix.shape
        columns = operator.matvec(torch.eye(inputs, dtype=torch.float64)).T
        rows = operator.rmatvec(torch.eye(outputs, dtype=torch.float64))
        for found in (columns, rows, operator.dense(chunk=7), operator.transpose().dense().T):
            np.testing.assert_allclose(found, matrix, rtol=0, atol=1e-13 * scale)
        assert operator.transpose().shape == (inputs, outputs)
        u, v = noise(1, inputs, seed=3), noise(1, outputs, seed=4)
        left, right = float((operator.matvec(u) * v).sum()), float((u * operator.rmatvec(v)).sum())
        assert left == pytest.approx(right, rel=1e-11, abs=1e-11 * scale)

    def test_operator_in_single_precision(self, layer: LinearLayer, shape: Shape) -> None:
        operator, matrix = layer.operator(shape, torch.float32), self.dense(layer, shape)
        found = operator.rmatvec(torch.eye(matrix.shape[0]))
        assert found.dtype == operator.dtype == torch.float32
        np.testing.assert_allclose(found, matrix, rtol=0, atol=1e-5 * (float(np.abs(matrix).max()) + 1))

    def test_the_bound_covers_the_norm_of_the_matrix(self, layer: LinearLayer, shape: Shape) -> None:
        assert dense.covers(layer.bound(shape).value, self.dense(layer, shape))
