"""How fast lipscope proves bounds and measures singular values here, beside what else one could do: Markdown tables.

    python benchmarks/bounds.py [--only analysis kernels growth dense gram] [--quick]

Run it on an idle machine: about five minutes on two cores. Every ratio is of two times taken in the same run. Nothing
is cached; ``--quick`` takes smaller cases, to see that the script works.
"""

from __future__ import annotations

import argparse
import math
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from lipscope.analysis.analysis import analyse
from lipscope.analysis.layouts import kernel_bound
from lipscope.analysis.spectra.singular_values import measure_layer
from lipscope.bounds.convolution import circular_bound
from lipscope.bounds.strided import convolution_bound
from lipscope.layers.contract import LinearLayer
from lipscope.layers.conv2d import Conv2d
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.stored import load_model, save_model
from lipscope.records import Shape

CHECKPOINT = Path(__file__).parent.parent / "checkpoints" / "lipconvnet5-soc16-cifar10.safetensors"
LARGEST_DENSE = 4096
"""min(inputs, outputs) up to which a dense SVD is waited for."""

FORMED = 2.5e11
"""Multiplications that forming the matrix of a layer may take before its dense SVD."""


def seconds(run: Callable[[], object]) -> float:
    """The wall time of a call; of the fastest of several where it is short."""
    times = []
    while not times or (sum(times) < 0.5 and len(times) < 5):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def random_kernel(outputs: int, inputs: int, taps: int = 3, seed: int = 0) -> Tensor:
    """A float32 kernel as it is initialised."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, inputs, taps, taps, generator=generator) / math.sqrt(inputs * taps**2)


def analysis(quick: bool) -> Iterator[str]:
    """Everything that ``lipscope inspect`` says of a model."""
    yield "| model | layers | seconds |"
    yield "|---|---|---|"
    taken = seconds(lambda: list(analyse(CHECKPOINT)))
    yield f"| LipConvnet-5, 16 channels, SOC (committed) | 13 | {taken:.1f} |"
    channels = 8 if quick else 32
    with tempfile.TemporaryDirectory() as folder:
        config = LipConvnetConfig(channels=channels, dataset="synthetic")
        torch.manual_seed(0)
        net = config.build()
        net.make_trainable()
        path = Path(folder) / "model.safetensors"
        save_model(net.frozen(), path, config.to_json(), {})
        taken = seconds(lambda: list(analyse(path)))
    yield f"| LipConvnet-5, {channels} channels, SOC (at random) | 13 | {taken:.1f} |"


def kernels(quick: bool) -> Iterator[str]:
    """Kernels of a file without a model: a proof for every image size and both paddings."""
    count = 5 if quick else 100
    started, largest, method = 0.0, 0.0, ""
    for index in range(count):
        kernel = random_kernel(512, 512, seed=index).double()
        begin = time.perf_counter()
        bound = kernel_bound(kernel)
        started += time.perf_counter() - begin
        largest, method = max(largest, bound.value), bound.method
    yield "| kernels | seconds | largest bound | method |"
    yield "|---|---|---|---|"
    yield f"| {count} of 512x512x3x3 | {started:.1f} | {largest:.3f} | {method} |"


def growth(quick: bool) -> Iterator[str]:
    """A zero-padded 3x3 convolution, with stride 1 and 2, as it is used: with channels, and with the image."""
    yield "| channels | image | stride | seconds | bound | method |"
    yield "|---|---|---|---|---|---|"
    sizes = [(c, 16) for c in (16, 32, 64, 128, 256)] + [(32, n) for n in (8, 32, 64, 128)]
    for channels, side in sizes[:3] if quick else sizes:
        for stride in (1, 2):
            kernel = random_kernel(channels, channels)
            call = lambda k=kernel, n=side, s=stride: convolution_bound(k, (n, n), s, 1)  # noqa: E731
            bound = call()
            taken = f"{seconds(call):.3f}"
            yield f"| {channels} | {side}x{side} | {stride} | {taken} | {bound.value:.4f} | {bound.method} |"


def dense(quick: bool) -> Iterator[str]:
    """The layers of the committed checkpoint and plain convolutions, against an SVD of their matrices."""
    yield "| layer | matrix | dense SVD, s | bound, s | ratio | bound and singular values, s | ratio |"
    yield "|---|---|---|---|---|---|---|"
    totals = [0.0, 0.0, 0.0]
    for name, layer, shape in candidates(quick):
        size = (math.prod(layer.output_shape(shape)), math.prod(shape))
        bound = seconds(lambda layer=layer, shape=shape: layer.bound(shape))
        whole = bound + seconds(lambda layer=layer, shape=shape: measure_layer(layer, shape))
        slow = seconds(lambda layer=layer, shape=shape: torch.linalg.svdvals(layer.operator(shape).dense()))
        totals = [total + part for total, part in zip(totals, (slow, bound, whole), strict=True)]
        yield (
            f"| {name} | {size[0]} x {size[1]} | {slow:.2f} | {bound:.3f} | {slow / bound:.0f}x | {whole:.2f} "
            f"| {slow / whole:.0f}x |"
        )
    slow, bound, whole = totals
    yield f"| all of them | | {slow:.1f} | {bound:.2f} | {slow / bound:.0f}x | {whole:.1f} | {slow / whole:.0f}x |"


def candidates(quick: bool) -> Iterator[tuple[str, LinearLayer, Shape]]:
    """Layers whose dense SVD can be waited for."""
    for name, layer, shape in load_model(CHECKPOINT).net.layers():
        if not isinstance(layer, LinearLayer) or not layer.composite:
            continue
        inputs, outputs = math.prod(shape), math.prod(layer.output_shape(shape))
        effort = min(inputs, outputs) * 12 * layer.get_parameter("kernel").numel() * math.prod(shape[1:]) / 4
        if min(inputs, outputs) <= (512 if quick else LARGEST_DENSE) and effort <= FORMED:
            yield name, layer, shape
    for channels, side, stride in ((4, 8, 1),) if quick else ((16, 8, 1), (8, 16, 1), (8, 24, 2), (32, 8, 1)):
        layer = Conv2d(random_kernel(channels, channels), stride=(stride, stride), padding=(1, 1))
        yield f"conv 3x3, {channels} channels, {side}x{side}, stride {stride}", layer, (channels, side, side)


def gram_iteration(kernel: Tensor, side: int, dtype: torch.dtype, rounds: int) -> float:
    """The bound of Delattre et al. (ICML 2023) on circular padding, half of the frequencies: no rounding is bounded.

    ||W|| <= max_w ||G_t||_F^(2^-t), G_0 = K^(w), G_(t+1) = G_t* G_t, rescaled by its Frobenius norm in each round.
    """
    spectrum = torch.fft.rfft2(kernel.to(torch.float64), s=(side, side)).to(dtype)
    gram = spectrum.permute(2, 3, 0, 1).flatten(0, 1).contiguous()
    logarithm = torch.zeros(len(gram), dtype=gram.real.dtype)
    for _ in range(rounds):
        norm = torch.linalg.vector_norm(gram, dim=(1, 2))
        logarithm = 2 * (logarithm + norm.log())
        gram = gram / norm[:, None, None]
        gram = gram.mH @ gram
    logarithm = (logarithm + torch.linalg.vector_norm(gram, dim=(1, 2)).log()) / 2**rounds
    return math.exp(float(logarithm.max()))


def gram(quick: bool) -> Iterator[str]:
    """Circular padding, where both can be as tight as one likes: how long Gram iteration takes to a given tightness."""
    yield (
        "| channels | image | lipscope (float64, proved), s | above the norm by | Gram iteration to within | rounds "
        "| complex64, s | complex128, s | lipscope faster by |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for channels, side in ((16, 8),) if quick else ((16, 32), (64, 16), (128, 16), (256, 8)):
        kernel = random_kernel(channels, channels)
        ours = seconds(lambda k=kernel, n=side: circular_bound(k, n, n))
        spectrum = torch.fft.rfft2(kernel.double(), s=(side, side)).permute(2, 3, 0, 1)
        truth = float(torch.linalg.matrix_norm(spectrum, 2).max())
        excess = circular_bound(kernel, side, side) / truth - 1
        for tightness in (1e-2, 1e-3, 1e-6):
            rounds = next(
                t for t in range(1, 40) if gram_iteration(kernel, side, torch.complex128, t) <= truth * (1 + tightness)
            )
            single, double = (
                seconds(lambda k=kernel, n=side, d=dtype, t=rounds: gram_iteration(k, n, d, t))
                for dtype in (torch.complex64, torch.complex128)
            )
            yield (
                f"| {channels} | {side}x{side} | {ours:.3f} | {excess:.0e} | {tightness:g} | {rounds} | {single:.3f} "
                f"| {double:.3f} | {single / ours:.1f}x, {double / ours:.1f}x |"
            )


SECTIONS: dict[str, Callable[[bool], Iterator[str]]] = {
    "analysis": analysis,
    "kernels": kernels,
    "growth": growth,
    "dense": dense,
    "gram": gram,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How fast lipscope proves bounds and measures singular values here.")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name in arguments.only:
        section = SECTIONS[name]
        print(f"\n{name}: {section.__doc__}\n")
        started = time.perf_counter()
        for line in section(arguments.quick):
            print(line, flush=True)
        print(f"\n({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
