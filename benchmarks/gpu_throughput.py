"""Images per second of training, certification and attack on one device, by depth: one JSON object.

    python benchmarks/gpu_throughput.py [--device cuda] [--blocks 1 2 4 8] [--seconds 240] [--out throughput.json]

Training steps eager, compiled, and as CUDA graphs, beside the plain baseline (``benchmarks/baseline``) at five layers,
with the largest memory that each took. The file is written anew after each figure, and no figure is begun when
``--seconds`` are over.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from baseline.network import LipConvnet5, optimizer_of
from baseline.network import step as baseline_step

from lipscope.attacks.driver import Settings, attack
from lipscope.certification.evaluate import certify, estimate
from lipscope.data import ImageSet, load
from lipscope.files.checkpoint import read_header
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.stored import StoredModel, save_model
from lipscope.processes.world import World
from lipscope.training.hardware import describe_hardware
from lipscope.training.recipe import paper
from lipscope.training.step import make_optimizer, take_step

Figure = dict[str, Any]
MODES = {"eager": None, "compiled": "default", "graphs": "reduce-overhead"}


def waited(device: torch.device) -> float:
    """The clock when the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(run: Callable[[], object], device: torch.device, repeats: int) -> Figure:
    """Seconds of the first call, of the median of the others, and the memory that they took."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(repeats + 1):
        started = waited(device)
        run()
        seconds.append(waited(device) - started)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {"first": seconds[0], "median": statistics.median(seconds[1:]), "peak_bytes": memory}


def training(blocks: int, channels: int, mode: str, device: torch.device, repeats: int) -> Figure:
    """One step of the paper's recipe, batch 128."""
    recipe = replace(paper(), bfloat16=device.type == "cuda")
    torch.manual_seed(0)
    net = LipConvnetConfig(blocks, channels, "hh1").build()
    net.make_trainable()
    net.to(device).train()
    features = torch.compile(net.features, mode=MODES[mode]) if MODES[mode] else None
    optimizer, world = make_optimizer(net, recipe), World(0, 1, device)
    images = torch.randint(0, 256, (recipe.batch_size, 3, 32, 32), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (recipe.batch_size,), device=device)
    found = timed(lambda: take_step(net, optimizer, (images, labels), recipe, world, features), device, repeats)
    return {**found, "images_per_second": recipe.batch_size / found["median"]}


def plain(channels: int, device: torch.device, repeats: int) -> Figure:
    """The same step of the baseline, five layers, float32."""
    net = LipConvnet5("soc", channels).to(device).train()
    optimizer = optimizer_of(net, "soc")
    images, labels = torch.rand(128, 3, 32, 32, device=device), torch.randint(0, 10, (128,), device=device)
    found = timed(lambda: baseline_step(net, optimizer, images, labels), device, repeats)
    return {**found, "images_per_second": 128 / found["median"]}


def model_of(blocks: int, channels: int, folder: Path) -> StoredModel:
    """A frozen net with random weights, as from a file."""
    config = LipConvnetConfig(blocks, channels, "hh1")
    torch.manual_seed(0)
    net = config.build()
    net.make_trainable()
    frozen, path = net.frozen(), folder / "random.safetensors"
    save_model(frozen, path, config.to_json(), {})
    return StoredModel(frozen, read_header(path), "0" * 64)


def figures(device: torch.device, options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Every figure by name."""
    images: ImageSet = load("synthetic", "test").subset(range(options.images))
    yield "baseline training 5 layers", lambda: plain(options.channels, device, options.repeats)
    for blocks in options.blocks:
        for mode in MODES:
            if mode == "eager" or device.type == "cuda":
                yield (
                    f"training {5 * blocks} layers {mode}",
                    lambda blocks=blocks, mode=mode: training(blocks, options.channels, mode, device, options.repeats),
                )
        model = model_of(blocks, options.channels, options.out.parent)
        for name, run in (("certify", certify), ("certify --fast", estimate)):

            def evaluated(run: Callable[..., object] = run, model: StoredModel = model) -> Figure:
                found = timed(lambda: run(model, images, device=str(device)), device, 1)
                return {**found, "images_per_second": len(images) / found["median"]}

            yield f"{name} {5 * blocks} layers", evaluated
    few, last = images.subset(range(min(100, len(images)))), model

    def attacked() -> Figure:
        certificates = certify(last, few, device=str(device)).certificates
        found = timed(
            lambda: attack(last, few, certificates, Settings(steps=5, restarts=1), device=str(device)), device, 1
        )
        return {**found, "images_per_second": len(few) / found["median"]}

    yield f"attack {5 * options.blocks[-1]} layers", attacked


def main() -> None:
    """Measure until the time is over, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--out", type=Path, default=Path("throughput.json"))
    options = parser.parse_args()
    device, ends = torch.device(options.device), time.monotonic() + options.seconds
    results: dict[str, Any] = {"hardware": describe_hardware(device), "channels": options.channels, "figures": {}}
    for name, figure in figures(device, options):
        if time.monotonic() > ends:
            results["figures"][name] = {"skipped": "the time was over"}
        else:
            try:
                results["figures"][name] = figure()
            except Exception as error:  # noqa: BLE001  (out of memory in one must not stop the others)
                results["figures"][name] = {"failed": f"{type(error).__name__}: {error}"[:300]}
        options.out.write_text(json.dumps(results, indent=1))
        print(name, results["figures"][name], flush=True)


if __name__ == "__main__":
    main()
