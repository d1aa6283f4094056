"""Sound certification as a ratio to a plain float32 evaluation of the same series with ``conv2d``: one table.

    python benchmarks/certification.py [--channels 16 32] [--images 10000] [--threads 1 2] [--batches 5]

Both evaluate the same LipConvnet-5 with random weights. Batches of the two alternate, so that they share what the
machine does meanwhile; the median time of a batch is taken to all images, and what sound certification does once
(proofs, budget, matrices formed) is timed on its own and added. Wall time beside the processor time of the process: on
a machine with other work the second is the steadier figure.
"""

from __future__ import annotations

import argparse

import torch
from baseline.network import same_as
from baseline.seconds import Seconds

from lipscope.bounds.rounding import FLOAT64
from lipscope.certification.budget import error_budget
from lipscope.certification.sound import BATCH
from lipscope.environment import full_precision, plain_products
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.training.hardware import describe_hardware


def row(channels: int, threads: int, images: int, batches: int) -> str:
    """One line of the table."""
    torch.set_num_threads(threads)
    # Other weights for every line: proofs of weights that were seen before are remembered.
    torch.manual_seed(1000 * channels + threads)
    net = LipConvnetConfig(channels=channels).build()
    net.make_trainable()
    net = net.frozen()
    plain = same_as(net, channels)
    x = torch.rand(BATCH, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(plain(x), net(x), atol=1e-3)
        proofs = Seconds.of(lambda: error_budget(net, FLOAT64))
        ready = []
        forming = Seconds.of(lambda: ready.append(net.prepared(images)))

        def sound() -> None:
            with full_precision(), plain_products():
                ready[0](x.to(torch.float64))

        times: dict[str, list[Seconds]] = {"plain": [], "sound": []}
        for repeat in range(batches + 1):
            for name, run in (("plain", lambda: plain(x)), ("sound", sound)):
                seconds = Seconds.of(run)
                if repeat > 0:
                    times[name].append(seconds)
    baseline, each = Seconds.median(times["plain"]), Seconds.median(times["sound"])
    of_all = images / BATCH
    cells = [str(channels), str(threads)]
    for kind in ("wall", "processor"):
        first, evaluated = getattr(baseline, kind) * of_all, getattr(each, kind) * of_all
        before = getattr(proofs, kind) + getattr(forming, kind)
        cells += [f"{first:.1f}", f"{evaluated:.1f} + {before:.1f}", f"**{(evaluated + before) / first:.2f}**"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, default=5)
    options = parser.parse_args()
    print(f"LipConvnet-5, SOC, MaxMin, LLN; {describe_hardware(torch.device('cpu'))}; seconds for {options.images}")
    print(f"images, from the median of {options.batches} batches of {BATCH}; sound: evaluation + what is done once\n")
    print("| channels | threads | plain float32, wall | sound | ratio | plain, processor | sound | ratio |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for channels in options.channels:
        for threads in options.threads:
            print(row(channels, threads, options.images, options.batches), flush=True)


if __name__ == "__main__":
    main()
