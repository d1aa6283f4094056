"""What the test suite cannot see without a GPU: the same numbers on the device as on the CPU. One JSON object.

    python benchmarks/gpu_checks.py [--device cuda] [--out checks.json] [--mini]

Every family of layers forwards and backwards, sound radii and estimates, an attack, a training that is stopped and
resumed bit for bit, and an inspection of its model. The file is written anew after each check, so that a time-out
loses nothing; the exit code is 1 where one failed. ``--mini`` takes the smallest of each, for a CPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lipscope.analysis.analysis import inspect_report
from lipscope.attacks.driver import Settings, attack
from lipscope.certification.evaluate import certify, estimate
from lipscope.data import ImageSet, load
from lipscope.environment import full_precision
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.models.architecture import Config
from lipscope.models.composition import LipschitzNet
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.registry import build
from lipscope.models.resnet import ResNetConfig
from lipscope.models.shiftnet import ShiftNetConfig
from lipscope.models.stored import StoredModel, load_model, save_model
from lipscope.processes.world import World
from lipscope.training.hardware import describe_hardware
from lipscope.training.loop import Listeners, train
from lipscope.training.recipe import fast, manifold
from lipscope.training.run import create_run
from lipscope.training.step import make_optimizer, take_step

Check = Callable[[], dict[str, Any]]


def trained(config: Config, device: torch.device, steps: int = 2) -> tuple[LipschitzNet, Tensor]:
    """A net after a few steps on the device, and the sums that the last one returned."""
    torch.manual_seed(0)
    net = build(config.to_json(), "a check")
    net.make_trainable()
    net.to(device).train()
    recipe = replace(manifold() if isinstance(config, ShiftNetConfig) else fast(), bfloat16=device.type == "cuda")
    optimizer, data = make_optimizer(net, recipe), load("synthetic", "train")
    batch = torch.from_numpy(data.images[:16]).to(device), torch.from_numpy(data.labels[:16]).to(device)
    for _ in range(steps):
        sums = take_step(net, optimizer, batch, recipe, World(0, 1, device))
    return net, sums


def family(config: Config, device: torch.device) -> dict[str, Any]:
    """Steps are finite, and the frozen net gives the logits of float64 on the CPU."""
    net, sums = trained(config, device)
    assert bool(torch.isfinite(sums).all()), sums
    assert all(bool(torch.isfinite(p.grad).all()) for p in net.parameters() if p.grad is not None)
    frozen = net.frozen()
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with full_precision(), torch.inference_mode():
        here = frozen.to(device)(x.to(device)).cpu().double()
        exact = frozen.cpu().double()(x.double())
    off = float((here - exact).abs().max() / exact.abs().max().clamp(min=1.0))
    assert off < 1e-4, off
    return {"largest_relative_difference": off}


def stored(config: Config, folder: Path) -> StoredModel:
    """The net after a few steps on the CPU, from its file."""
    net, _ = trained(config, torch.device("cpu"))
    path = folder / "model.safetensors"
    save_model(net.frozen(), path, config.to_json(), {})
    return load_model(path)


def few(count: int) -> ImageSet:
    """Synthetic test images."""
    return load("synthetic", "test").subset(range(count))


def radii(model: StoredModel, data: ImageSet, device: str) -> dict[str, Any]:
    """Sound radii of the device and of the CPU differ by next to nothing, and estimates by little."""
    found = {place: certify(model, data, device=place) for place in ("cpu", device)}
    quick = estimate(model, data, device=device)
    first, second = (found[place].certificates.radius for place in ("cpu", device))
    off = float(abs(first - second).max())
    assert off < 1e-5, off
    estimated = float(abs(quick.certificates.radius - first).max())
    assert estimated < 1e-3, estimated
    return {"sound_difference": off, "estimate_difference": estimated, "images": len(data)}


def attacked(model: StoredModel, data: ImageSet, device: str) -> dict[str, Any]:
    """No attack on the device succeeds inside a sound radius."""
    certificates = certify(model, data).certificates
    violations: list[int] = []
    outcome = attack(
        model, data, certificates, Settings(steps=5, restarts=1), device=device,
        on_violation=lambda row, image, point: violations.append(row),
    )  # fmt: skip
    assert not violations
    return {"images": len(data), "broken": int((outcome.distance < float("inf")).sum())}


def resumed(device: torch.device, folder: Path) -> dict[str, Any]:
    """A stopped and resumed training stores the bytes of an unbroken one, and its model is proved."""
    recipe = replace(fast(), epochs=2, batch_size=40, holdout=4760, bfloat16=device.type == "cuda")
    config = LipConvnetConfig(channels=4, activation="hh1", dataset="synthetic")
    data, world, asked = load("synthetic", "train"), World(0, 1, device), iter(range(1000))
    unbroken, broken = (create_run(folder / name, config, recipe) for name in ("unbroken", "broken"))
    assert train(unbroken, data, world)
    assert not train(broken, data, world, Listeners(should_stop=lambda: next(asked) == 7))
    assert train(broken, data, world)
    ours, theirs = (load_file(run.model) for run in (unbroken, broken))
    differ = [name for name, tensor in ours.items() if not torch.equal(tensor, theirs[name])]
    assert not differ, differ
    report = inspect_report(unbroken.model)
    assert all(layer.bound is not None and layer.bound.proved for layer in report.layers)
    return {"tensors": len(ours), "layers_proved": len(report.layers)}


def checks(device: torch.device, folder: Path, mini: bool) -> Iterator[tuple[str, Check]]:
    """Every check by name."""
    width = 4 if mini else 32
    configs: dict[str, Config] = {
        f"lipconvnet {conv} {activation} {head}": LipConvnetConfig(1, width, activation, head, conv=conv)
        for conv, activation, head in itertools.product(CONVOLUTIONS, ("maxmin", "hh1", "hh2"), ("lln", "orthogonal"))
        if not mini or (activation, head) == ("hh1", "lln")
    }
    configs["resnet18 soc"] = ResNetConfig(18, width, "soc")
    configs["shiftnet"] = ShiftNetConfig(widths=(16, 32), blocks=(1, 1)) if mini else ShiftNetConfig()
    for name, config in configs.items():
        yield name, lambda config=config: family(config, device)
    model = stored(LipConvnetConfig(channels=width), folder)
    yield "sound radii and estimates", lambda: radii(model, few(20 if mini else 1000), str(device))
    yield "attack", lambda: attacked(model, few(4 if mini else 100), str(device))
    yield "resumed bit for bit, and inspected", lambda: resumed(device, folder)


def main() -> None:
    """Run every check and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("checks.json"))
    parser.add_argument("--mini", action="store_true")
    options = parser.parse_args()
    device = torch.device(options.device)
    results: dict[str, Any] = {"hardware": describe_hardware(device), "checks": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, check in checks(device, Path(folder), options.mini):
            started = time.perf_counter()
            try:
                results["checks"][name] = {"passed": True, **check()}
            except Exception:  # noqa: BLE001  (what one check fails of must not stop the others)
                results["checks"][name] = {"passed": False, "error": traceback.format_exc(limit=-3)}
            results["checks"][name]["seconds"] = round(time.perf_counter() - started, 2)
            options.out.write_text(json.dumps(results, indent=1))
            print(name, "passed" if results["checks"][name]["passed"] else "FAILED", flush=True)
    failed = [name for name, found in results["checks"].items() if not found["passed"]]
    print(f"{len(results['checks']) - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
