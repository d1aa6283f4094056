"""The figures of a certification for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lipscope.certify.summary import class_name
from lipscope.commands.messages import cut
from lipscope.files.results import REAL_ARITHMETIC, SOUND, Certificates
from lipscope.records import round_up
from lipscope.units import radius_text
from lipscope.visible import visible

KINDS = {
    REAL_ARITHMETIC: "real-arithmetic radii, float32 evaluation (proved Lipschitz bound)",
    SOUND: "sound radii, float64 evaluation, rounding errors subtracted (proved)",
}

BLOCKS = " ▁▂▃▄▅▆▇█"
HISTOGRAM_ROWS, HISTOGRAM_WIDTH = 12, 40
CURVE_ROWS, CURVE_STEP = 6, 4
"""Lines of the curve, and how many of its radii a column stands for."""

MOST_CLASSES = 20
"""With more classes, only the ten of the lowest certified accuracy have a line."""

LOWEST = 10
NAME = 14
"""Characters of a class's name."""

MOST_PAIRS = 6


def text(facts: dict[str, Any], certificates: Certificates, budget: Sequence[str] = ()) -> str:
    """The summary ``facts`` of ``certificates`` in lines, and at the end the table of the error budget."""
    n, model, data = facts["data"]["n"], facts["model"], facts["data"]
    lines = [
        f"model      {visible(model['path'])} ({model['architecture']}, sha256 {model['sha256'][:12]})",
        f"data       {visible(data['name'])} {data['split']}, {n} images",
        f"L          {round_up(certificates.lipschitz)}, proved: from [0, 1] pixels to features",
        f"kind       {KINDS.get(certificates.kind, certificates.kind)}",
        *_beside(facts),
        "",
    ]
    if not data["labelled"]:
        lines += [f"radius > {row['eps']:11s} {row['rate']:8.2%}  {row['count']:6d}" for row in facts["unchanging"]]
        lines += ["", f"mean radius                    {radius_text(facts['mean_radius'])}"]
        lines += [_quantiles(facts), "", *_nearest(facts, certificates), "", *_histogram(certificates)]
        lines += ["", *budget] if budget else []
        return "\n".join(lines)
    lines.append(_share("clean", facts["clean"]))
    lines += [_share(f"certified @ {row['eps']}", row) for row in facts["certified"]]
    lines += [
        f"[{facts['interval']['level']:.0%} {facts['interval']['method']} interval: an estimate for images like these]",
        "",
        f"average certified radius       {radius_text(facts['average_certified_radius'])}  (misclassified = 0)",
        f"mean radius of correct images  {radius_text(facts['mean_radius_of_correct'])}",
        *([_quantiles(facts)] if facts["clean"]["count"] else []),
        "",
        *_classes(facts["classes"]),
        "",
        *_nearest(facts, certificates),
        "",
        *_curve(facts["curve"]),
        "",
        *_histogram(certificates),
        *(["", *budget] if budget else []),
    ]
    return "\n".join(lines)


def set_text(models: Sequence[dict[str, Any]], eps: Sequence[str]) -> str:
    """One line a model, in the order given; models that failed say why at the end."""
    found = [facts for facts in models if "error" not in facts]
    width = max(len("model"), *(len(visible(facts["model"]["path"])) for facts in models))
    data = max([len("data"), *(len(_data(facts)) for facts in found)])
    head = f"{'model':{width}s}  {'data':{data}s} {'clean':>9s}" + "".join(f" {radius:>9s}" for radius in eps)
    lines = [f"{head} {'average radius':>15s}"]
    for facts in found:
        rates = "".join(f" {row['rate']:9.2%}" for row in (facts["clean"], *facts["certified"]))
        lines.append(
            f"{visible(facts['model']['path']):{width}s}  {_data(facts):{data}s}{rates} "
            f"{radius_text(facts['average_certified_radius']):>15s}"
        )
    lines += [
        f"{visible(facts['model']['path']):{width}s}  failed: {facts['error']['what']}"
        for facts in models
        if "error" in facts
    ]
    kinds = sorted({facts["kind"] for facts in found})
    lines += [
        "",
        f"certified accuracy by radius, sorted by {eps[0]}; {' and '.join(kinds) or 'no'} radii, proved, l2 in [0, 1]",
    ]
    return "\n".join(lines)


def _beside(facts: dict[str, Any]) -> list[str]:
    """The real-arithmetic counts on a line under the kind, where the radii are sound."""
    real = facts.get("real_arithmetic")
    if real is None:
        return []
    rows = real["certified"] or real["unchanging"]
    counts = ", ".join(f"{row['count']} @ {row['eps']}" for row in rows)
    return [f"beside     {counts}: {REAL_ARITHMETIC} radii, {real['evaluation']} evaluation"]


def _data(facts: dict[str, Any]) -> str:
    return f"{facts['data']['name']} {facts['data']['split']} {facts['data']['n']}"


def _share(name: str, row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return f"{name:20s} {row['rate']:8.2%}  {row['count']:6d}  [{low:7.2%}, {high:7.2%}]"


def _quantiles(facts: dict[str, Any]) -> str:
    rows, of = facts["radius_quantiles"]["values"], "of correct" if facts["data"]["labelled"] else "of all"
    shares = "/".join(f"{row['quantile'] * 100:.0f}" for row in rows)
    return f"radius at {shares}%".ljust(31) + " ".join(radius_text(row["radius"]) for row in rows) + f"  ({of})"


def _classes(rows: list[dict[str, Any]]) -> list[str]:
    """A line a class, with certified accuracy at each eps and the mean radius of its correct images."""
    shown = [row for row in rows if row["n"]]
    note = []
    if len(shown) > MOST_CLASSES:
        note = [f"(the {LOWEST} lowest of {len(shown)} classes; --json has all)"]
        shown = sorted(shown, key=_certified_rates)[:LOWEST]
    eps = "".join(f" {share['eps']:>8s}" for share in shown[0]["certified"])
    lines = [f"{'class':{NAME}s} {'n':>6s} {'clean':>8s}{eps}  mean radius"]
    for row in shown:
        rates = "".join(f" {share['rate']:8.2%}" for share in (row["clean"], *row["certified"]))
        mean = "-" if row["mean_radius_of_correct"] is None else radius_text(row["mean_radius_of_correct"])
        lines.append(f"{cut(row['name'], NAME):{NAME}s} {row['n']:6d}{rates} {mean:>12s}")
    return lines + note


def _certified_rates(row: dict[str, Any]) -> list[float]:
    return [share["rate"] for share in (*row["certified"][:1], row["clean"])]


def _nearest(facts: dict[str, Any], certificates: Certificates) -> list[str]:
    """The pairs of classes that decide the most radii."""
    pairs = facts["runner_up"]["pairs"][:MOST_PAIRS]
    lines = ["predicted            nearest other class   images"]
    for predicted, nearest, count in pairs:
        names = (cut(class_name(certificates, number), 20) for number in (predicted, nearest))
        lines.append(" ".join([*(f"{name:20s}" for name in names), f"{count:7d}"]))
    return lines


def _curve(curve: dict[str, Any]) -> list[str]:
    """The certified-accuracy curve in block characters, at every fourth of its radii."""
    rates = np.array(curve["rate"][::CURVE_STEP])
    largest = max(float(rates.max()), 1e-9)
    eighths = np.floor(rates / largest * CURVE_ROWS * 8).astype(int)
    lines = ["certified accuracy by radius"]
    for row in reversed(range(CURVE_ROWS)):
        heights = np.clip(eighths - 8 * row, 0, 8)
        label = f"{largest:7.2%}" if row == CURVE_ROWS - 1 else ""
        lines.append(f"{label:>8s} " + "".join(BLOCKS[height] for height in heights).rstrip())
    last = radius_text(curve["radius"][-1])
    return [*lines, f"{'radius 0':>9s}{last:>{len(rates)}s}"]


def _histogram(certificates: Certificates) -> list[str]:
    """Counts of images by radius, as bars of eighth blocks; misclassified images on a line of their own."""
    labelled = certificates.labelled
    radii = certificates.radius[certificates.correct] if labelled else certificates.radius
    wrong = [f"{'misclassified':>15s} {len(certificates) - len(radii):6d}"] if labelled else []
    if not len(radii):
        return wrong
    counts, edges = np.histogram(radii, bins=HISTOGRAM_ROWS, range=(0.0, float(radii.max()) or 1.0))
    largest = max(int(counts.max()), 1)
    lines = [f"certified radius  images ({'correct ones' if labelled else 'all'})"]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        eighths = round(int(count) / largest * HISTOGRAM_WIDTH * 8)
        bar = "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
        lines.append(f"{left:6.3f} - {right:6.3f} {count:6d} {bar}".rstrip())
    return lines + wrong
