"""What the Training screen says and lists. Pure functions of the state."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipscope.files.run_log import RunLayers, RunLog, seconds_left
from lipscope.records import allowed
from lipscope.tui.overview.answers import short
from lipscope.tui.panes import Sheet, of
from lipscope.tui.plots.bars import bar, sparkline
from lipscope.tui.work.run_watch import RunView
from lipscope.tui.work.state import State
from lipscope.visible import duration, harmless

TREND = 8
"""Cells of the small curve of a layer."""

ROOMY, WIDE = 76, 104
"""Columns from which on words are not cut short, and a line holds what else takes two."""

STAYS = 1e-3
"""Relative; a layer that changes by less stays."""


@dataclass(frozen=True)
class LayerRow:
    """One layer through the training."""

    name: str  # of the layer
    bounds: NDArray[np.float64]  # as the log has it after each measured epoch; NaN where it has none
    gradients: NDArray[np.float64]  # the mean gradient ratio, an estimate; NaN where it was not measured

    @property
    def moves(self) -> bool:
        """Whether its bound or its gradient changed in the training by more than a thousandth, or is unknown."""
        return any(bool(np.isnan(values[-1])) or _span(values) > STAYS for values in (self.bounds, self.gradients))


def _span(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float((finite.max() - finite.min()) / max(abs(finite.max()), 1e-300)) if len(finite) else 0.0


def layer_rows(layers: Sequence[RunLayers]) -> list[LayerRow]:
    """The layers of the latest record, in forward order, each with its values in all records."""
    if not layers:
        return []
    found = [{layer.name: layer for layer in record.layers} for record in layers]
    states = {layer.name: [record.get(layer.name) for record in found] for layer in layers[-1].layers}
    return [LayerRow(name, column(seen, "bound"), column(seen, "gradient")) for name, seen in states.items()]


def ends(values: NDArray[np.float64]) -> tuple[float, float]:
    """The first and the last finite value; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite[0]), float(finite[-1])) if len(finite) else (math.nan, math.nan)


NUMBER = 10

WIDE_LIST = 70
"""Columns from which on a list of layers has room for how the numbers went."""


def layer_line(row: LayerRow, width: int) -> list[tuple[str, str]]:
    """Name, the last bound, the first and the last gradient; beside each how it went where there is room.

    Anybody can write a log, so its bounds are claims: no sign and no green of what is proved here.
    """
    first, last = (f"{value:.4f}" if math.isfinite(value) else "–" for value in ends(row.gradients))
    bound = ends(row.bounds)[1]
    shown = short(bound) if math.isfinite(bound) else "not proved"
    cells = [(f"{shown:>{NUMBER}} ", "" if bound <= allowed(1) else "$text-warning"),
             (f"{sparkline(row.bounds.tolist(), TREND):{TREND}} ", "$foreground 60%"),
             (f"{first:>6} → {last:>6} ", ""),
             (f"{sparkline(row.gradients.tolist(), TREND):{TREND}}", "$foreground 60%")]  # fmt: skip
    if width < WIDE_LIST:
        cells = [cells[0], cells[2]]
    name = max(width - sum(len(text) for text, _ in cells) - 1, 8)
    return [(f"{harmless(row.name, name, keep='end'):{name}} ", ""), *cells]


def layer_heading(width: int) -> str:
    """The names of the columns."""
    trends = width >= WIDE_LIST
    gap = " " * (TREND + 1) if trends else ""
    columns = f"{'? bound ≤':>{NUMBER}} {gap}{'~ gradient kept':>16}{gap}"
    return f"{'layer':{max(width - len(columns), 8)}}{columns}"


def column(records: Sequence[object], name: str) -> NDArray[np.float64]:
    """One field of all records; NaN where it, or the record, is None."""
    values = (of(record, name) for record in records)
    return np.array([math.nan if value is None else float(value) for value in values])


def progress_words(view: RunView, width: int) -> str:
    """``RUNNING  epoch 3 of 8, step 410 of 1,560  ████▎      26 %  7 min left``, as much of it as fits."""
    log = view.log
    word = view.standing.upper()
    if log is None:
        return word
    event = log.progress.event if log.progress is not None else None
    done = log.epochs[-1] if log.epochs else None
    if event is not None and (done is None or event.step > done.step):
        epoch, planned, share = event.epoch, event.epochs, event.step / max(event.steps, 1)
        of = " of " if width >= ROOMY else "/"
        where = f"epoch {epoch}{of}{planned}, step {event.step:,}{of}{event.steps:,}"
    elif done is not None:
        share = done.epoch / max(done.epochs, 1)
        where = f"epoch {done.epoch} of {done.epochs} done, step {done.step:,}"
    else:
        share, where = 0.0, f"no epoch of {log.planned or '?'} is done"
    left = seconds_left(log) if view.standing == "running" else None
    after = f"{duration(left)} left" if left is not None else ""
    start = f"{word}  {where}"
    percent = f"{min(share, 1.0):4.0%}"
    room = width - len(start) - len(percent) - len(after) - 6
    cells = min(room, 30)
    drawn = f"▕{bar(share, cells):{cells}}▏" if room >= 6 else ""
    return "  ".join(part for part in (start, f"{drawn}{percent}", after) if part)


def figures(log: RunLog, width: int) -> list[str]:
    """Up to four lines: the running epoch, the last one, then time, speed and learning rate."""
    done = log.epochs[-1] if log.epochs else None
    event = log.progress.event if log.progress is not None else None
    lines = []
    if event is not None and (done is None or event.step > done.step):
        now = f"so far: loss {event.loss:.3f}, clean ~{event.accuracy:.1%}, certified ~{event.certified:.1%}"
        speed_now = f"; {event.images_per_second:,.0f} images/s" if width >= WIDE else ""
        lines.append(f"{now} of training images{speed_now}" if width >= ROOMY else now)
    if done is not None:
        start, loss, clean = f"epoch {done.epoch}", f"loss {done.loss:.3f}", f"clean ~{done.train_accuracy:.1%}"
        if width >= ROOMY:
            line = f"{start} by the log: {loss}; training: {clean}, certified ~{done.train_certified:.1%}"
        else:
            line = f"{start}, log: {loss}, {clean}, cert. ~{done.train_certified:.1%}"
        held = ""
        if done.validation_accuracy is not None and done.validation_certified is not None:
            held = f"held out: clean ~{done.validation_accuracy:.1%}, certified ~{done.validation_certified:.1%}"
        lines += [f"{line}; {held}"] if held and width >= len(line) + len(held) + 2 else filter(None, (line, held))
        rate, speed = column(log.epochs, "learning_rate"), column(log.epochs, "images_per_second")
        name = "learning rate" if width >= ROOMY else "rate"
        words = (
            f"{duration(done.seconds)}  {done.images_per_second:,.0f} images/s ",
            f"{name} {done.learning_rate:.3g} ",
        )
        cells = min(max((width - sum(map(len, words)) - 2) // 2, 0), 16)
        lines.append(
            f"{words[0]}{sparkline(speed.tolist(), cells)}  {words[1]}{sparkline(rate.tolist(), cells)}".rstrip()
        )
    return lines


def notice(state: State) -> str:
    """Why there is nothing to see, or what the user should know about what is seen; empty when all is well."""
    view = state.run
    if view is None:
        return (
            "No run folder: this model was opened by itself. `lipscope inspect runs/NAME` shows the training of a "
            "run, live or finished; `lipscope train --ui` trains and shows it."
        )
    folder = harmless(shlex.quote(str(view.path)), 80, keep="end")
    if view.log is None:
        return f"The run cannot be read: {harmless(view.error or 'reading it …')}."
    words = []
    if view.error is not None:
        words.append(f"The run can no longer be read: {harmless(view.error)}. What is shown was read before.")
    resume, silent = f"`lipscope train --resume {folder}`", f" for {duration(view.silent)}" if view.silent else ""
    said = {
        "stalled": f"No news{silent}: the training may have been killed, or wait for something. If it is dead, "
        f"{resume} goes on from its last save.",
        "killed": f"Its process is gone: it was killed. {resume} goes on from its last save.",
        "stopped": f"Stopped and saved; {resume} goes on.",
        "failed": f"The training ended with an error; {resume} tries again.",
        "not started": f"Nothing has been trained yet{silent}: curves appear after the first epoch.",
    }
    words += [said[view.standing]] if view.standing in said else []
    words += [f"DAMAGED: {harmless(damage)}; the other lines are shown." for damage in view.log.damage]
    return " ".join(words)


COLUMNS = {
    "epoch": "epoch", "step": "step", "loss": "loss",
    "clean, training (estimate)": "train_accuracy",
    "certified at 36/255, training (estimate)": "train_certified",
    "clean, held out (estimate)": "validation_accuracy",
    "certified at 36/255, held out (estimate)": "validation_certified",
    "learning rate": "learning_rate", "images/s": "images_per_second", "seconds": "seconds",
}  # fmt: skip
"""Names of the columns of a sheet, and the fields of an epoch."""


def training_sheet(state: State) -> Sheet:
    """One row an epoch; the run's description and the layers, epoch by epoch, among the facts."""
    log = state.run.log if state.run is not None else None
    if log is None or state.run is None:
        return Sheet(facts={"notice": notice(state)})
    rows = [{name: getattr(event, field) for name, field in COLUMNS.items()} for event in log.epochs]
    facts = {
        "run": str(state.run.path),
        "standing": state.run.standing,
        "config": dict(log.config),
        "recipe": dict(log.recipe),
        "layers": [record.to_json() for record in log.layers],
        "notice": notice(state),
    }
    return Sheet(rows, facts)
