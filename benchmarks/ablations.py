"""The paper's comparisons at a scale that fits two CPU cores: one table, mean and standard deviation over seeds.

    python benchmarks/ablations.py train [--workers 2] [--only SOC --only BCOP ...]
    python benchmarks/ablations.py table [--json FILE] [--markdown FILE]

``train`` trains, certifies and inspects every cell that is missing below runs/ablations, one thread a worker; stopped
at any time, it continues where it was. ``table`` also measures the training speed of every cell, so run it on an idle
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lipscope.environment import environment
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.training.hardware import describe_hardware

RUNS = Path("runs/ablations")
SEEDS = (1, 2)
EPOCHS = 5
CHANNELS = 8
EPS = ("36/255", "72/255", "108/255")


@dataclass(frozen=True)
class Cell:
    """One row of the table: a net and how it is trained, where it differs from SOC, MaxMin, LLN, gamma 0.1, depth 5.

    Args:
        group: the comparison that it belongs to; a cell may stand in several.
        options: of ``lipscope train``.
    """

    group: tuple[str, ...]
    options: dict[str, str]


CELLS = {
    "SOC": Cell(("convolution", "activation", "certificate regularisation", "depth"), {}),
    "BCOP": Cell(("convolution",), {"conv": "bcop"}),
    "BCOP, 12 epochs": Cell(("convolution",), {"conv": "bcop", "epochs": "12"}),
    "Cayley": Cell(("convolution",), {"conv": "cayley"}),
    "Cayley, 24 epochs": Cell(("convolution",), {"conv": "cayley", "epochs": "24"}),
    "HH1": Cell(("activation",), {"activation": "hh1"}),
    "HH2": Cell(("activation",), {"activation": "hh2"}),
    "gamma 0": Cell(("certificate regularisation",), {"gamma": "0"}),
    "LLN, CIFAR-100": Cell(("last layer",), {"dataset": "cifar100"}),
    "orthogonal, CIFAR-100": Cell(("last layer",), {"dataset": "cifar100", "head": "orthogonal"}),
    "depth 10": Cell(("depth",), {"blocks": "2"}),
    "depth 20": Cell(("depth",), {"blocks": "4"}),
}
"""In the time of SOC's 5 epochs, 5.5 minutes of one thread, BCOP takes 12 and Cayley 24."""

COLUMNS = ("clean", "36/255", "72/255", "108/255", "gradient kept", "tightness", "proved L", "images/s")


def folder_of(name: str, seed: int) -> Path:
    """Where a cell's run lies."""
    return RUNS / f"{name.lower().replace(', ', '-').replace(' ', '-')}-seed{seed}"


def lipscope(*arguments: str) -> str:
    """Run the command line tool with one thread; its stdout."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lipscope", *arguments]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **threads}
    ).stdout


def train(name: str, seed: int) -> None:
    """Train one cell, or continue it; then certify and inspect it, unless that was done for these very weights."""
    folder = folder_of(name, seed)
    if (folder / "run.json").exists():
        lipscope("train", "--resume", str(folder))
    else:
        options = {
            "recipe": "fast", "epochs": str(EPOCHS), "channels": str(CHANNELS), "gamma": "0.1", "seed": str(seed),
            "out": str(folder), "device": "cpu", **CELLS[name].options,
        }  # fmt: skip
        lipscope("train", *(part for key, value in options.items() for part in (f"--{key}", value)))
    model = str(folder / "model.safetensors")
    (folder / "certify.json").write_text(lipscope("certify", model, "--json", "--device", "cpu"))
    (folder / "inspect.json").write_text(lipscope("inspect", model, "--json"))
    print(f"{name}, seed {seed}: done", flush=True)


def figures(name: str, seed: int) -> dict[str, float]:
    """What one trained cell came to."""
    folder = folder_of(name, seed)
    certified = json.loads((folder / "certify.json").read_text())
    inspected = json.loads((folder / "inspect.json").read_text())
    rates = {row["eps"]: row["rate"] for row in certified["certified"]}
    first = next(layer for layer in inspected["layers"] if layer["role"] == "body")
    return {
        "clean": 100 * certified["clean"]["rate"],
        **{eps: 100 * rates[eps] for eps in EPS},
        "gradient kept": first["gradient_norm_cumulative"]["mean"],
        "tightness": inspected["tightness"]["mean"],
        "proved L": inspected["verdict"]["lipschitz"],
    }


def speed(name: str) -> float:
    """Images a second of whole training steps, one thread."""
    from throughput import training_rate

    torch.set_num_threads(1)
    options = CELLS[name].options
    hundred = options.get("dataset") == "cifar100"
    config = LipConvnetConfig(
        blocks=int(options.get("blocks", "1")),
        channels=CHANNELS,
        activation=options.get("activation", "maxmin"),
        head=options.get("head", "lln"),
        conv=options.get("conv", "soc"),
        classes=100 if hundred else 10,
        dataset="synthetic100" if hundred else "synthetic",
    )
    return training_rate(config, torch.device("cpu"), bfloat16=True)


def row(name: str) -> dict[str, Any]:
    """Mean and standard deviation of every figure over the seeds that are done."""
    done = [seed for seed in SEEDS if (folder_of(name, seed) / "inspect.json").exists()]
    all_figures = [figures(name, seed) for seed in done]
    result: dict[str, Any] = {"cell": name, "group": list(CELLS[name].group), "seeds": done}
    for column in COLUMNS[:-1]:
        values = [one[column] for one in all_figures]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        result[column] = {"mean": statistics.fmean(values), "std": deviation, "values": values} if values else None
    if done:
        seconds = [
            json.loads((folder_of(name, s) / "metrics.jsonl").read_text().splitlines()[-1])["seconds"] for s in done
        ]
        result["seconds"] = seconds
        result["images/s"] = {"mean": speed(name), "std": None}
    return result


def text_of(row: dict[str, Any], column: str) -> str:
    """A figure with its deviation; L rounded up to ten decimals."""
    figure = row.get(column)
    if not figure or figure["mean"] is None:
        return "–"
    if column == "proved L":
        return f"1 + {max(0.0, max(figure['values']) - 1):.1e}"
    digits = {"gradient kept": 3, "tightness": 3, "images/s": 0}.get(column, 2)
    deviation = "" if figure["std"] is None else f" ± {figure['std']:.{digits}f}"
    return f"{figure['mean']:.{digits}f}{deviation}"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, one block a comparison."""
    groups = list(dict.fromkeys(group for cell in CELLS.values() for group in cell.group))
    lines = [f"| comparison | cell | {' | '.join(COLUMNS)} |", "|" + "---|" * (len(COLUMNS) + 2)]
    for group in groups:
        lines += [
            f"| {group} | {one['cell']} | " + " | ".join(text_of(one, column) for column in COLUMNS) + " |"
            for one in rows
            if group in one["group"]
        ]
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, or print what there is."""
    parser = argparse.ArgumentParser(description="The paper's comparisons at a scale that fits two CPU cores.")
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("--workers", type=int, default=2)
    training.add_argument("--only", action="append", choices=list(CELLS))
    printing = commands.add_parser("table")
    printing.add_argument("--json", type=Path)
    printing.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "train":
        wanted = [(name, seed) for seed in SEEDS for name in arguments.only or CELLS]
        missing = [(name, seed) for name, seed in wanted if not (folder_of(name, seed) / "inspect.json").exists()]
        with ThreadPoolExecutor(arguments.workers) as pool:
            list(pool.map(lambda job: train(*job), missing))
        return
    rows = [row(name) for name in CELLS]
    text = table(rows)
    print(text)
    about = {
        "hardware": describe_hardware(torch.device("cpu")), "environment": environment(),
        "channels": CHANNELS, "epochs": EPOCHS, "seeds": list(SEEDS),
    }  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
