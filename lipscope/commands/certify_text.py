"""The figures of a certification for a person."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lipscope.bounds.rounding import printed_up
from lipscope.certification.summary import class_name
from lipscope.commands.names import column_of
from lipscope.records import round_up
from lipscope.records.certificates import ADJECTIVES, WORDS, Certificates
from lipscope.units import radius_text
from lipscope.visible import counted, visible

HISTOGRAM_ROWS, HISTOGRAM_WIDTH = 12, 40
CURVE_SIZE = (72, 13)
"""Columns and rows, axes included."""

MOST_CLASSES = 20
"""With more classes, only the ten of the lowest certified accuracy have a line."""

LOWEST = 10
NAME = 14
"""Columns of a class's name on a terminal."""

MOST_PAIRS = 6


def text(facts: dict[str, Any], certificates: Certificates) -> str:
    """The summary ``facts`` of ``certificates`` in lines."""
    n, model, data = facts["data"]["n"], facts["model"], facts["data"]
    lines = [
        f"model      {visible(model['path'])} ({model['architecture']}, sha256 {model['sha256'][:12]})",
        f"data       {visible(data['name'])} {data['split']}, {counted(n, 'image')}",
        f"L          {round_up(certificates.lipschitz)}, {_told(facts)}: from [0, 1] pixels to features",
        f"radii      {WORDS[certificates.standing]}",
        *_rounding(facts),
        "",
    ]
    if not data["labelled"]:
        lines += [f"radius > {row['eps']:11s} {row['rate']:8.2%}  {row['count']:6d}" for row in facts["unchanging"]]
        lines += ["", f"mean radius                    {radius_text(facts['mean_radius'])}"]
        lines += [_quantiles(facts), "", *_nearest(facts, certificates), "", *_histogram(certificates)]
        return "\n".join(lines)
    lines.append(_share("clean", facts["clean"]))
    called = ADJECTIVES[certificates.standing]
    lines += [_share(f"{called} @ {row['eps']}", row) for row in facts["certified"]]
    lines += [
        f"[{facts['interval']['level']:.0%} {facts['interval']['method']} interval: an estimate for images like these]",
        "",
        f"average {called} radius       {radius_text(facts['average_certified_radius'])}  (misclassified = 0)",
        f"mean radius of correct images  {radius_text(facts['mean_radius_of_correct'])}",
        *([_quantiles(facts)] if facts["clean"]["count"] else []),
        "",
        *_classes(facts["classes"]),
        "",
        *_nearest(facts, certificates),
        "",
        *curve_lines(facts["curve"], called),
        "",
        *_histogram(certificates),
    ]
    return "\n".join(lines)


def set_text(models: Sequence[dict[str, Any]], eps: Sequence[str]) -> str:
    """One line per model, in the order given; models that failed say why at the end."""
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
    lines += ["", f"certified accuracy by radius (l2 in [0, 1]), sorted by {eps[0]}"]
    lines += sorted({WORDS[facts["standing"]] for facts in found})
    return "\n".join(lines)


def _told(facts: dict[str, Any]) -> str:
    return "proved" if facts["lipschitz"]["proved"] else "as kept"


def _rounding(facts: dict[str, Any]) -> list[str]:
    """The rounding error that was subtracted, where it was just computed."""
    if facts["budget"] is None:
        return []
    error = printed_up(facts["budget"]["margin"])
    return [f"rounding   <= {error} of a margin, proved, subtracted {facts['budget']['times_paid']} times"]


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
    """A line per class, with certified accuracy at each eps and the mean radius of its correct images."""
    shown = [row for row in rows if row["n"]]
    note = []
    if len(shown) > MOST_CLASSES:
        note = [f"(the {LOWEST} lowest of {len(shown)} classes; --json has all)"]
        shown = sorted(shown, key=_certified_rates)[:LOWEST]
    eps = "".join(f" {share['eps']:>8s}" for share in shown[0]["certified"])
    names = column_of((row["name"] for row in shown), width=NAME)
    lines = [*names.above, f"{'class':{names.width}s} {'n':>6s} {'clean':>8s}{eps}  mean radius"]
    for row in shown:
        rates = "".join(f" {share['rate']:8.2%}" for share in (row["clean"], *row["certified"]))
        mean = "-" if row["mean_radius_of_correct"] is None else radius_text(row["mean_radius_of_correct"])
        lines.append(f"{names[row['name']]} {row['n']:6d}{rates} {mean:>12s}")
    return lines + note


def _certified_rates(row: dict[str, Any]) -> list[float]:
    return [share["rate"] for share in (*row["certified"][:1], row["clean"])]


def _nearest(facts: dict[str, Any], certificates: Certificates) -> list[str]:
    """The pairs of classes that decide the most radii."""
    pairs = facts["runner_up"]["pairs"][:MOST_PAIRS]
    called = [tuple(class_name(certificates, number) for number in pair[:2]) for pair in pairs]
    names = column_of(itertools.chain(*called), width=20)
    lines = [*names.above, f"{'predicted':{names.width}s} {'nearest other class':{names.width}s}  images"]
    lines += [f"{names[a]} {names[b]} {pair[2]:7d}" for (a, b), pair in zip(called, pairs, strict=True)]
    return lines


def curve_lines(curve: dict[str, Any], called: str) -> list[str]:
    """Accuracy over the radius as plotext draws it, on axes from 0."""
    import plotext

    largest = curve["radius"][-1]
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limit_size(False, False)
    plotext.plotsize(*CURVE_SIZE)
    plotext.plot(curve["radius"], [100 * rate for rate in curve["rate"]], marker="hd", fillx=True)
    plotext.ylim(0, 100)
    plotext.yticks([0, 25, 50, 75, 100], ["0%", "25%", "50%", "75%", "100%"])
    if largest > 0:
        plotext.xlim(0, largest)
        ticks = [math.floor(100 * largest * part / 4) / 100 for part in range(5)]
        plotext.xticks(ticks, [f"{tick:.2f}" for tick in ticks])
    drawn: str = plotext.uncolorize(plotext.build())
    return [f"{called} accuracy by radius", *(line.rstrip() for line in drawn.splitlines())]


def _histogram(certificates: Certificates) -> list[str]:
    """Counts of images by radius, as bars of eighth blocks; misclassified images on a line of their own."""
    labelled = certificates.labelled
    radii = certificates.radius[certificates.correct] if labelled else certificates.radius
    wrong = [f"{'misclassified':>15s} {len(certificates) - len(radii):6d}"] if labelled else []
    if not len(radii):
        return wrong
    counts, edges = np.histogram(radii, bins=HISTOGRAM_ROWS, range=(0.0, float(radii.max()) or 1.0))
    largest = max(int(counts.max()), 1)
    lines = [f"{ADJECTIVES[certificates.standing]} radius  images ({'correct ones' if labelled else 'all'})"]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        eighths = round(int(count) / largest * HISTOGRAM_WIDTH * 8)
        bar = "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
        lines.append(f"{radius_text(left)} - {radius_text(right)} {count:6d} {bar}".rstrip())
    return lines + wrong
