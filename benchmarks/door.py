"""What a network of somebody else's costs: saving it, inspecting it, and certifying it beside its plain forward pass.

    python benchmarks/door.py [--threads 2] [--images 256] [--size 32]

torchvision's resnet18 with random weights at 3x32x32, or at a multiple of it. The targets at 32: saved within 15 s,
inspected within 60 s and 4 GB, and certified, in float64 and soundly, at least half as fast as the module's own float64
forward pass. At 224: bounds in minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

import lipscope
from lipscope.analysis.analysis import inspect_report
from lipscope.certification.evaluate import certify
from lipscope.data.synthetic import synthetic
from lipscope.models.stored import load_model

ROUNDS = 2


def timed(action: Any) -> tuple[float, Any]:
    """Seconds of the processor, which a machine that does other things too does not lengthen, and what came of it."""
    started = time.process_time()
    result = action()
    return time.process_time() - started, result


def measured(folder: Path, count: int, size: int) -> dict[str, Any]:
    """All figures; with one thread the seconds are those of a clock on an idle machine."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=10).eval()
    path = folder / "resnet18.safetensors"
    saving, _ = timed(lambda: lipscope.save(net, path, input_shape=(3, size, size), dataset="synthetic"))
    model = load_model(path)
    data = synthetic("synthetic", "test").subset(np.arange(count))
    data = replace(data, images=data.images.repeat(size // 32, axis=2).repeat(size // 32, axis=3))
    images = torch.from_numpy(data.images).double() / 255
    double = net.double()

    def plain() -> None:
        with torch.inference_mode():
            for part in images.split(64):
                double(part)

    plain()
    forward = min(timed(plain)[0] for _ in range(ROUNDS))
    proving, _ = timed(lambda: certify(model, data.subset(np.arange(1))))
    # The proofs are remembered: what is left is the evaluation.
    certifying = min(timed(lambda: certify(model, data))[0] for _ in range(ROUNDS))
    inspecting, _ = timed(lambda: inspect_report(path))
    return {
        "save_seconds": saving,
        "proof_seconds": proving,
        "inspect_seconds_after_the_proof": inspecting,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "plain_images_per_second": count / forward,
        "certified_images_per_second": count / certifying,
        "share_of_plain": forward / certifying,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--size", type=int, default=32, choices=range(32, 1025, 32), metavar="PIXELS")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        json.dump(measured(Path(folder), given.images, given.size), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
