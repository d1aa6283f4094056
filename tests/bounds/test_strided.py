from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from lipscope.bounds import strided
from lipscope.bounds.strided import convolution_bound
from tests import dense
from tests.always import always

SIDES = st.integers(1, 12)
STEPS = st.tuples(st.integers(1, 4), st.integers(1, 4))
WEIGHTS = st.one_of(st.floats(-4, 4, allow_subnormal=False), st.integers(-2, 2).map(float))

PROOFS = {"matrix": {}, "frequencies": {"MATRIX_ENTRIES": 0}, "unfoldings": {"MATRIX_ENTRIES": 0, "GRID_EFFORT": 0}}
"""By the constants that leave only this proof."""


def matrix_of(kernel: np.ndarray, size: tuple[int, int], **layer: Any) -> np.ndarray:
    """The matrix of torch's own layer, by its outputs for every unit vector."""
    groups = layer.get("groups", 1)
    conv = nn.Conv2d(
        kernel.shape[1] * groups, kernel.shape[0], kernel.shape[2:], bias=False, dtype=torch.float64, **layer
    )
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(kernel))
        units = torch.eye(conv.in_channels * size[0] * size[1], dtype=torch.float64)
        return conv(units.reshape(-1, conv.in_channels, *size)).flatten(1).T.numpy()


def fits(kernel: tuple[int, ...], size: tuple[int, int], padding: tuple[int, int], mode: str, dilation=(1, 1)) -> bool:
    """Whether torch accepts the layer: the kernel inside the padded image, no pixel reflected or
    turned round twice.
    """
    axes = zip(size, kernel, padding, dilation, strict=True)
    most = {"circular": lambda n: n, "reflect": lambda n: n - 1}.get(mode, lambda n: math.inf)
    return all(n + 2 * p >= d * (k - 1) + 1 and p <= most(n) for n, k, p, d in axes)


@st.composite
def layers(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int], dict[str, Any]]:
    """A kernel, an image size and a layer that torch accepts: 1 to 4 groups, odd and even kernels, any stride."""
    mode, groups = draw(st.sampled_from(["zeros", "circular", "reflect", "replicate"])), draw(st.integers(1, 3))
    taps, size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), draw(st.tuples(SIDES, SIDES))
    padding = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    if not fits(taps, size, padding, mode):
        padding = (taps[0] // 2, taps[1] // 2) if mode in ("zeros", "replicate") else (0, 0)
        taps = taps if fits(taps, size, padding, mode) else (min(taps[0], size[0]), min(taps[1], size[1]))
    shape = (groups * draw(st.integers(1, 2)), draw(st.integers(1, 2)), *taps)
    kernel = draw(arrays(np.float64, shape, elements=WEIGHTS))
    layer = {"stride": draw(STEPS), "padding": padding, "padding_mode": mode, "groups": groups}
    return kernel, size, layer


@pytest.fixture(params=PROOFS)
def proof(request, monkeypatch) -> str:
    """Leave one proof only."""
    for name, value in PROOFS[request.param].items():
        monkeypatch.setattr(strided, name, value)
    return request.param


@always(layer=layers(), leave=st.sampled_from(list(PROOFS)))
def test_every_layer_of_torch_is_covered(layer: tuple[np.ndarray, tuple[int, int], dict[str, Any]], leave: str) -> None:
    kernel, size, options = layer
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PROOFS[leave].items():
            patch.setattr(strided, name, value)
        bound = convolution_bound(torch.from_numpy(kernel), size, **options)
    assert bound.proved
    assert dense.covers(bound.value, matrix_of(kernel, size, **options)), (kernel.shape, size, options)


def random_kernel(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


CASES = {
    "stride 2": ((4, 3, 3, 3), (8, 8), {"stride": 2, "padding": 1}),
    "even kernel": ((4, 3, 4, 2), (7, 9), {"stride": 1, "padding": (2, 1)}),
    "stride 3": ((3, 2, 3, 3), (9, 12), {"stride": 3, "padding": 1}),
    "stride beyond the kernel": ((3, 2, 2, 2), (9, 11), {"stride": 3}),
    "rectangular strides": ((3, 2, 3, 5), (9, 12), {"stride": (1, 2), "padding": (1, 2)}),
    "valid": ((4, 3, 3, 3), (6, 7), {}),
    "groups": ((6, 1, 3, 3), (6, 6), {"groups": 3, "padding": 1}),
    "one pixel": ((3, 3, 3, 3), (1, 1), {"padding": 1}),
    "dilation": ((2, 2, 3, 3), (9, 8), {"dilation": (2, 3), "padding": 3}),
    "same": ((2, 3, 4, 3), (5, 6), {"padding": "same"}),
    "circular": ((3, 3, 3, 3), (6, 8), {"padding": 1, "padding_mode": "circular"}),
    "circular, stride 2": ((8, 2, 3, 3), (6, 8), {"stride": 2, "padding": 1, "padding_mode": "circular"}),
    "circular, stride 2, odd": ((4, 2, 3, 3), (7, 5), {"stride": 2, "padding": 1, "padding_mode": "circular"}),
    "circular, even": ((3, 3, 2, 2), (5, 6), {"padding": 1, "padding_mode": "circular"}),
    "circular, valid": ((3, 3, 3, 3), (6, 6), {"padding_mode": "circular"}),
    "circular, smaller than the kernel": ((2, 2, 5, 5), (2, 3), {"padding": 2, "padding_mode": "circular"}),
    "reflect": ((3, 3, 3, 3), (6, 8), {"padding": 1, "padding_mode": "reflect"}),
    "reflect, groups": ((4, 2, 5, 3), (7, 6), {"stride": 2, "padding": 2, "padding_mode": "reflect", "groups": 2}),
    "replicate": ((3, 3, 3, 3), (6, 8), {"padding": 1, "padding_mode": "replicate"}),
    "replicate, one pixel": ((3, 3, 3, 3), (1, 1), {"padding": 1, "padding_mode": "replicate"}),
    "replicate, dilation": ((2, 3, 3, 3), (5, 6), {"dilation": 2, "padding": (2, 3), "padding_mode": "replicate"}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", CASES)
def test_layers_by_every_proof(proof: str, name: str) -> None:
    shape, size, options = CASES[name]
    kernel = random_kernel(*shape)
    truth = dense.norm(matrix_of(kernel, size, **options))
    bound = convolution_bound(torch.from_numpy(kernel), size, **options)
    assert bound.proved
    assert bound.value >= truth * (1 - dense.ROUNDING)
    if "exact" in bound.method:
        assert bound.value <= truth * (1 + 1e-10)
    slack = math.sqrt(shape[2] * shape[3]) * 1.01 if proof == "unfoldings" else 2
    if proof != "matrix" and options.get("padding_mode") in ("reflect", "replicate"):  # the copying has its own factor
        padding = {key: options[key] for key in ("padding", "padding_mode")}
        slack *= dense.norm(matrix_of(np.ones((1, 1, 1, 1)), size, **padding))
    assert bound.value <= truth * slack


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", CASES)
def test_small_layers_are_exact(name: str) -> None:
    shape, size, options = CASES[name]
    kernel = random_kernel(*shape)
    bound = convolution_bound(torch.from_numpy(kernel), size, **options)
    assert bound.method.endswith("exact")
    assert bound.value == pytest.approx(dense.norm(matrix_of(kernel, size, **options)), rel=1e-10)


@pytest.mark.parametrize("options", [{"stride": 1}, {"stride": 2}, {"stride": (2, 3)}])
def test_circular_padding_is_exact_where_the_stride_divides(monkeypatch, options) -> None:
    monkeypatch.setattr(strided, "MATRIX_ENTRIES", 0)
    kernel, size = random_kernel(4, 3, 3, 5), (6, 12)
    options |= {"padding": (1, 2), "padding_mode": "circular"}
    bound = convolution_bound(torch.from_numpy(kernel), size, **options)
    assert bound.method.endswith("frequencies by Cholesky, exact")
    assert bound.value == pytest.approx(dense.norm(matrix_of(kernel, size, **options)), rel=1e-10)


@pytest.mark.parametrize(("side", "slack"), [(8, 1.08), (12, 1.04), (16, 1.02)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("taps", [3, 4])
def test_frequencies_are_tight_for_zero_padding(monkeypatch, side: int, slack: float, stride: int, taps: int) -> None:
    monkeypatch.setattr(strided, "MATRIX_ENTRIES", 0)
    for seed in range(3):
        kernel = random_kernel(3, 3, taps, taps, seed=seed)
        truth = dense.norm(matrix_of(kernel, (side, side), stride=stride, padding=1))
        bound = convolution_bound(torch.from_numpy(kernel), (side, side), stride, 1)
        assert "frequencies" in bound.method
        assert truth <= bound.value <= slack * truth


def test_a_twist_is_what_makes_them_tight(monkeypatch) -> None:
    """The mean filter is largest at frequency 0, which the plain grid always holds: its bound is 9 on every image."""
    monkeypatch.setattr(strided, "MATRIX_ENTRIES", 0)
    kernel = torch.ones(1, 1, 3, 3)
    truth = dense.norm(matrix_of(kernel.double().numpy(), (8, 8), padding=1))
    assert truth <= convolution_bound(kernel, (8, 8), padding=1).value <= 1.01 * truth < 8.5


def test_the_image_size_itself_is_no_circle_for_zero_padding(monkeypatch) -> None:
    """(1, 0, -1) on two pixels: circular norm 0, zero-padded norm 1."""
    monkeypatch.setattr(strided, "MATRIX_ENTRIES", 0)
    trap = torch.tensor([1.0, 0.0, -1.0]).reshape(1, 1, 1, 3)
    assert convolution_bound(trap, (1, 2), padding=(0, 1)).value >= 1.0
    assert convolution_bound(trap, (1, 2), padding=(0, 1), padding_mode="circular").value < 1e-12


def test_groups_take_the_maximum_and_say_so() -> None:
    kernel = torch.cat([2 * torch.ones(1, 1, 1, 1), 3 * torch.ones(1, 1, 1, 1)])
    bound = convolution_bound(kernel, (4, 4), groups=2)
    assert 3.0 <= bound.value <= 3.0 + 1e-12
    assert bound.method.startswith("largest of 2 groups; ")


def test_padding_without_a_proof_is_not_proved() -> None:
    bound = convolution_bound(torch.ones(1, 1, 3, 3), (4, 4), padding=1, padding_mode="mirror")
    assert (bound.proved, bound.reason) == (False, "no proof for padding mode 'mirror'")


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_copied_pixels_expand(mode: str) -> None:
    """Half the sum of three pixels, on an image of two: norm 1 with zeros around them, 1.5 with copies."""
    kernel = torch.full((1, 1, 1, 3), 0.5)
    truth = dense.norm(matrix_of(kernel.double().numpy(), (1, 2), padding=(0, 1), padding_mode=mode))
    bound = convolution_bound(kernel, (1, 2), padding=(0, 1), padding_mode=mode)
    assert bound.proved
    assert truth > dense.norm(matrix_of(kernel.double().numpy(), (1, 2), padding=(0, 1))) * 1.2
    assert truth <= bound.value <= truth * (1 + 1e-10)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_kernels_that_are_not_finite_are_not_proved(bad: float) -> None:
    bound = convolution_bound(torch.full((1, 1, 3, 3), bad), (4, 4), padding=1)
    assert not bound.proved
    assert "NaN" in bound.reason


def test_norms_that_overflow_are_not_proved(proof: str) -> None:
    bound = convolution_bound(torch.full((8, 8, 3, 3), 1e308, dtype=torch.float64), (4, 4), padding=1)
    assert not bound.proved
    assert "overflows" in bound.reason


def test_layers_without_any_effect() -> None:
    assert convolution_bound(torch.zeros(2, 2, 3, 3), (4, 4), padding=1).value == 0.0
    # A single output that sees nothing but padding.
    assert convolution_bound(torch.ones(1, 1, 1, 1), (1, 1), stride=9, padding=2).value == 0.0


@pytest.mark.parametrize(
    ("shape", "size", "options", "said"),
    [
        ((1, 1, 3, 3), (2, 4), {}, "does not fit"),
        ((3, 1, 3, 3), (4, 4), {"groups": 2}, "2 groups"),
        ((2, 2, 3), (4, 4), {}, "no convolution"),
        ((1, 1, 3, 3), (4, 4), {"stride": 2, "padding": "same"}, "stride 1"),
    ],
)
def test_layers_that_cannot_be(shape, size, options, said) -> None:
    with pytest.raises(ValueError, match=said):
        convolution_bound(torch.ones(shape), size, **options)


def test_low_precision_is_taken_as_the_numbers_it_is() -> None:
    kernel = torch.tensor([[1.0, 2.0], [3.0, -4.0]]).reshape(1, 1, 2, 2)
    expected = convolution_bound(kernel.double(), (5, 5), 2, 1).value
    for dtype in (torch.float32, torch.bfloat16, torch.int64):
        assert convolution_bound(kernel.to(dtype), (5, 5), 2, 1).value == expected


@pytest.mark.parametrize(
    ("channels", "side", "taps", "padding", "by_matrix"),
    [(2, 8, 3, 1, True), (64, 4, 3, 1, True), (80, 4, 3, 1, True), (32, 8, 3, 1, False), (32, 8, 4, 1, True)],
)
def test_the_matrix_is_taken_where_it_is_cheap_or_frequencies_are_loose(
    channels, side, taps, padding, by_matrix
) -> None:
    kernel = torch.from_numpy(random_kernel(channels, channels, taps, taps))
    assert ("matrix" in convolution_bound(kernel, (side, side), padding=padding).method) == by_matrix


def test_large_kernels_prove_one_unfolding(monkeypatch) -> None:
    from lipscope.bounds import convolution

    kernel = torch.from_numpy(random_kernel(4, 3, 3, 3))
    least = convolution.unfolding_bound(kernel)
    monkeypatch.setattr(convolution, "LARGE_KERNEL", 0)
    assert least * (1 - 1e-12) <= convolution.unfolding_bound(kernel) <= 1.05 * least


@pytest.mark.parametrize("exponent", [-1030, -700, -540, 500, 1000])
def test_squares_that_would_be_lost(exponent) -> None:
    """Pixels repeated by circular padding: what their sums' rounding adds is found at every scale."""
    kernel = torch.from_numpy(random_kernel(2, 2, 3, 3))
    tiny = kernel * 2.0 ** (exponent / 2) * 2.0 ** (exponent / 2)
    plain = convolution_bound(kernel, (2, 2), padding=1, padding_mode="circular").value
    found = convolution_bound(tiny, (2, 2), padding=1, padding_mode="circular").value
    if exponent > -1000:  # no digit of the kernel itself is lost
        assert found == math.ldexp(plain, exponent)
    assert found > 0
