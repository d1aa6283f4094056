"""Draw docs/minutes.svg: certified accuracy at 36/255 over the minutes of one thread, a line for each family of layers.

python docs/minutes.py

The points are the committed models (minutes from the file, accuracy counted from the radii beside it) and the rows of
docs/compare-layers.json, which `lipscope compare-layers --json` printed.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

from lipscope.files.checkpoint import read_header
from lipscope.files.results import read_results, results_path

DOCS = Path(__file__).parent
MODELS = (DOCS.parent / "checkpoints", DOCS.parent / "lipscope" / "demo")
NAMES = {"shiftnet": "ShiftNet", "lipconvnet": "SOC"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 460, 60, 150, 20, 50
MINUTES, PERCENT = (1, 400), (0, 65)
PAPER = 62.96
"""At 36/255 on CIFAR-10, the best of ICLR 2022: quoted, after 200 epochs on a GPU."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#000000")

Points = dict[str, list[tuple[float, float]]]
"""By the name of a line: minutes and per cent."""


def committed() -> Points:
    """The models that lie in the repository."""
    points: Points = defaultdict(list)
    for folder in MODELS:
        for path in sorted(folder.glob("*.safetensors")):
            if ".certified" not in path.name:
                header, certified = read_header(path), read_results(results_path(path))
                config = header.config or {}
                name = NAMES[str(config["architecture"])] + ("" if certified.data_name == "cifar10" else ", CIFAR-100")
                points[name].append((header.training["wall_seconds"] / 60, 100 * certified.accuracy("36/255")))
    return points


def compared(path: Path, points: Points) -> Points:
    """Also the rows of a comparison of layers."""
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []:
        points[row["title"]].append((row["minutes"], 100 * row["certified"][0]["rate"]))
    return points


def place(minutes: float, percent: float) -> tuple[float, float]:
    """Where a point is drawn; minutes are logarithmic."""
    across = math.log(minutes / MINUTES[0]) / math.log(MINUTES[1] / MINUTES[0])
    up = (percent - PERCENT[0]) / (PERCENT[1] - PERCENT[0])
    return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#444444") -> str:
    """A piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def drawn(points: Points) -> str:
    """The picture."""
    left, low = place(MINUTES[0], PERCENT[0])
    right, high = place(MINUTES[1], PERCENT[1])
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    for percent in range(PERCENT[0], PERCENT[1], 10):
        y = place(1, percent)[1]
        parts += [f'<path d="M{left} {y:.1f}H{right}" stroke="#e4e4e4"/>', text(left - 8, y + 4, f"{percent}%", "end")]
    for minutes in (1, 2, 5, 10, 30, 60, 120, 300):
        x = place(minutes, 0)[0]
        parts += [f'<path d="M{x:.1f} {low}V{high}" stroke="#e4e4e4"/>', text(x, low + 18, str(minutes), "middle")]
    parts.append(text((left + right) / 2, HEIGHT - 8, "minutes of one CPU thread", "middle"))
    best = place(1, PAPER)[1]
    parts.append(f'<path d="M{left} {best:.1f}H{right}" stroke="#888888" stroke-dasharray="2 4"/>')
    parts.append(text(right + 6, best + 4, "paper's best (quoted)"))
    taken: list[tuple[float, float]] = []
    ends = sorted(points.items(), key=lambda item: -max(item[1])[1])
    for colour, (name, of) in zip(COLOURS * 3, ends, strict=False):
        line = [place(*point) for point in sorted(of)]
        dash = ' stroke-dasharray="6 3"' if "CIFAR-100" in name else ""
        way = "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        parts.append(f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in line]
        x, y = line[-1][0] + 8, line[-1][1] + 4
        while any(abs(x - a) < RIGHT and abs(y - b) < 13 for a, b in taken):
            y += 1  # names of lines that end close together stand one below the other
        taken.append((x, y))
        parts.append(text(x, y, name, colour=colour))
    font = 'font-family="sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {font}>'
    return "\n".join([head, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    target = DOCS / "minutes.svg"
    target.write_text(drawn(compared(DOCS / "compare-layers.json", committed())), encoding="utf-8")
    print(target)
