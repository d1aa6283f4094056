"""What some minutes of training come to: a table over data sets and minutes, and settings for lipscope.training.budget.

    python benchmarks/by_the_minute.py [--cell cifar10:4 --cell cifar100:27 ...] [--stages 64x3,128x3,256x3 --stem 4]
    python benchmarks/by_the_minute.py --table [--json FILE]

A cell is trained by ``lipscope train --minutes``, certified on all test images, and kept below runs/by-the-minute; one
that was stopped continues, one that is done is not done again. Without --stages the net is the one that lipscope picks.
``--table`` prints what is there, as Markdown and as rows for ``SETTINGS``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lipscope.commands.compare_layers import certified_run
from lipscope.files.run_log import read_run

RUNS, CERTIFIED = Path("runs/by-the-minute"), "model.certified.json"
CELLS = ("cifar10:5", "cifar10:30", "cifar10:120", "cifar100:5", "cifar100:30", "cifar100:120")
RATES = ("36/255", "72/255", "108/255")


def run_cell(cell: str, net: list[str]) -> None:
    """Train, or go on with, one cell, and certify it."""
    dataset, minutes = cell.split(":")
    folder = RUNS / "-".join([dataset, minutes, *(part for part in net if not part.startswith("--"))]).replace(",", "-")
    chosen = ["--model", "shiftnet", *net] if net else []
    certified_run(folder, ["--dataset", dataset, "--minutes", minutes, *chosen])


def row(folder: Path) -> dict[str, Any]:
    """What a finished cell came to."""
    run = read_run(folder)
    last, config = run.epochs[-1], run.config
    certified = json.loads((folder / CERTIFIED).read_text())
    return {
        "cell": folder.name,
        "dataset": config["dataset"],
        "minutes": run.recipe["minutes"],
        "took": last.seconds / 60,
        "stages": [f"{width}x{count}" for width, count in zip(config["widths"], config["blocks"], strict=True)],
        "stem": config["stem"],
        "images": last.step * run.recipe["batch_size"],
        "clean": certified["clean"]["rate"],
        **{one["eps"]: one["rate"] for one in certified["certified"] if one["eps"] in RATES},
    }


def line(one: dict[str, Any]) -> str:
    """The row in Markdown."""
    rates = " / ".join(f"{100 * one[name]:.1f}" for name in ("clean", *RATES))
    net = f"{','.join(one['stages'])}, patches of {one['stem']}"
    return (
        f"| {one['dataset']} | {one['minutes']:g} | {one['took']:.1f} | {net} | {one['images'] / 1e6:.2f}M | {rates} |"
    )


def main() -> None:
    """Train what is missing, or print what there is."""
    parser = argparse.ArgumentParser(description="What some minutes of training come to.")
    parser.add_argument("--cell", action="append", help="DATASET:MINUTES", metavar="CELL")
    parser.add_argument("--stages")
    parser.add_argument("--stem")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not arguments.table:
        given = (("--stages", arguments.stages), ("--stem", arguments.stem))
        for cell in arguments.cell or CELLS:
            run_cell(cell, [part for name, value in given if value for part in (name, value)])
    done = sorted(path.parent for path in RUNS.glob(f"*/{CERTIFIED}"))
    rows = sorted(map(row, done), key=lambda one: (one["dataset"], one["images"]))
    print("| data | minutes | took | net | images seen | clean / 36 / 72 / 108 over 255 |\n|---|---|---|---|---|---|")
    for one in rows:
        print(line(one))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
