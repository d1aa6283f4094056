"""A tiny checkpoint, its results, and a scripted analysis that a test can hold in mid-computation."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from textual.app import App
from textual.pilot import Pilot

from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files.checkpoint import metadata_for, sha256_of, with_sorted_metadata
from lipscope.files.results import results_path, write_results
from lipscope.records import AnalysisEvent, Bound, Estimate, GradientNorms, LayerReport, Spectrum, Verdict
from lipscope.records.certificates import Certificates
from lipscope.tui.app import REPAINT_SECONDS, InspectApp
from lipscope.tui.widgets.long_list import LongList
from lipscope.tui.widgets.progress import Pace
from tests.waiting import GENEROUS

CONFIG = {
    "architecture": "lipconvnet", "blocks": 1, "channels": 16, "activation": "maxmin", "head": "lln",
    "terms": 12, "classes": 10, "dataset": "cifar10", "mean": [0.4914, 0.4822, 0.4465],
    "std": [0.2507, 0.2507, 0.2507],
}  # fmt: skip
TRAINING = {
    "recipe": {"name": "fast", "epochs": 8, "batch_size": 128, "gamma": 0.1, "learning_rate": 0.1},
    "seed": 0, "epochs": 8, "steps": 2816, "hardware": "2 CPU cores", "wall_seconds": 605.2,
}  # fmt: skip
STAGES = 5


def write_checkpoint(path: Path, **config: object) -> Path:
    """A file with the names and metadata of a LipConvnet, and small tensors."""
    rng = np.random.default_rng(0)
    tensors = {}
    for stage in range(1, STAGES + 1):
        name = f"stage{stage}.block1"
        channels = 4 * stage
        size = 3 if stage < STAGES else 1
        tensors[f"{name}.conv.kernel"] = rng.normal(size=(channels, channels, size, size)).astype(np.float32)
        tensors[f"{name}.conv.bias"] = np.zeros(channels, np.float32)
        tensors[f"{name}.activation.theta"] = np.full(channels // 2, np.pi / 2, np.float32)
    tensors["head.weight"] = rng.normal(size=(10, 32)).astype(np.float32)
    tensors["head.bias"] = np.zeros(10, np.float32)
    save_file(tensors, path, metadata_for({**CONFIG, **config}, TRAINING))
    path.write_bytes(with_sorted_metadata(path.read_bytes()))  # the same bytes, and so the same SHA-256, every time
    return path


def write_radii(model: Path, *, n: int = 2000, sha256: str | None = None, claimed: bool = False) -> Certificates:
    """A results file beside the model: 60% correct, radii like those of a small net."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 10, n)
    correct = rng.random(n) < 0.6
    radius = np.where(correct, rng.gamma(2.0, 0.14, n), rng.gamma(1.2, 0.08, n))
    predicted = np.where(correct, label, (label + 1) % 10)
    certificates = Certificates(
        index=np.arange(n), label=label, predicted=predicted, runner_up=(predicted + 3) % 10, radius=radius,
        margin=radius * 5.6, standing="proved", model_sha256=sha256 or sha256_of(model), architecture="lipconvnet",
        data_name="cifar10", data_split="test", data_fingerprint="0" * 64, lipschitz=3.9889,
        environment={"device": "cpu"},
    )  # fmt: skip
    write_results(results_path(model), certificates, {})
    if claimed:
        place = results_path(model)
        place.write_bytes(place.read_bytes()[:-1] + b"\0")
    return certificates


def bounds() -> list[LayerReport]:
    """The first reports: every layer with its bound."""
    reports = [
        LayerReport("normalise", "input normalisation", (3, 32, 32), (3, 32, 32),
                    Bound(3.98883127, "1 / smallest std"), role="normalisation"),
    ]  # fmt: skip
    size, channels = 32, 16
    for stage in range(1, STAGES + 1):
        name = f"stage{stage}.block1"
        inside, outside = (channels, size, size), (2 * channels, size // 2, size // 2)
        reports += [
            LayerReport(
                f"{name}.conv", f"SOC {3 if stage < STAGES else 1}x{3 if stage < STAGES else 1}, stride 2",
                inside, outside,
                Bound(1 + stage * 1.3e-10, "skew kernel, ||A|| ≤ 2.07 on the frequency grid, Taylor degree 12"),
                notes=("The stored kernel is skew to the last bit.",),
            ),
            LayerReport(f"{name}.activation", "MaxMin", outside, outside, Bound(1.0, "permutation of pairs")),
        ]  # fmt: skip
        size, channels = size // 2, channels * 2
    reports.append(
        LayerReport("head", "last layer normalisation", (512,), (10,),
                    Bound.unproved("its rows enter the radii one by one"), role="head")
    )  # fmt: skip
    return reports


def measured(report: LayerReport, seed: int) -> LayerReport:
    """The same report with singular values and gradient norms."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(report.output_shape or (1,)))
    values = np.sort(1 - 2.3e-6 * rng.beta(0.5, 0.5, min(size, 2048)))[::-1]
    linear = "conv" in report.name
    mean = 1 - 0.004 * seed
    return replace(
        report,
        sigma_max=Estimate(float(values[0]), "Lanczos", 40, 3e-9) if linear else None,
        sigma_min=Estimate(float(values[-1]), "Lanczos", 40, 2e-7) if linear else None,
        spectrum=Spectrum(tuple(values.tolist()), (size / len(values),) * len(values), size, "dense SVD", False)
        if linear else None,
        gradient_norm=GradientNorms(mean, mean - 0.01, min(mean + 0.004, 1), mean - 0.005, mean + 0.002,
                                    "64 images of cifar10 test"),
    )  # fmt: skip


VERDICT = Verdict("proved", 1.0000000003, "the product of 10 layers, each proved on the stored bytes")


class Script:
    """An ``analyse`` that plays events; before event ``hold_at`` it waits until it is released.

    Args:
        reports: the layers with their bounds; measured afterwards unless ``bounds_only``.
        verdict: after the bounds.
        hold_at: the number of the event to wait before; None plays to the end.
        failure: raised at the end, or before the first event.
    """

    def __init__(
        self,
        reports: list[LayerReport] | None = None,
        *,
        verdict: Verdict = VERDICT,
        hold_at: int | None = None,
        failure: BaseException | None = None,
        failure_first: bool = False,
        bounds_only: bool = False,
    ) -> None:
        self.reports = bounds() if reports is None else reports
        self.verdict = verdict
        self.hold_at = hold_at
        self.failure = failure
        self.failure_first = failure_first
        self.bounds_only = bounds_only
        self.gate = threading.Event()
        self.runs = 0
        self.waiting = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, path: Path) -> Iterator[AnalysisEvent]:
        self.runs += 1
        self.threads.append(threading.current_thread())
        if self.failure is not None and self.failure_first:
            raise self.failure
        n = len(self.reports)
        events = [
            AnalysisEvent(i, 2 * n + 1, f"bound of {report.name}", layer=report)
            for i, report in enumerate(self.reports, 1)
        ]
        events.append(AnalysisEvent(n + 1, 2 * n + 1, "singular values", verdict=self.verdict))
        if not self.bounds_only:
            events += [
                AnalysisEvent(n + 1 + i, 2 * n + 1, f"singular values of {report.name}", layer=measured(report, i))
                for i, report in enumerate(self.reports, 1)
            ]
        for number, event in enumerate(events):
            if number == self.hold_at:
                self.waiting.set()
                self.gate.wait(GENEROUS)
            yield event
        if self.failure is not None:
            raise self.failure


@pytest.fixture(autouse=True)
def _no_idle_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses in which a user's keys would be answered only hold up a test, and so do long looks for a last message."""
    monkeypatch.setattr("lipscope.tui.app.LONGEST_PAUSE", REPAINT_SECONDS)
    monkeypatch.setattr("lipscope.tui.images.pane.ANSWER_AFTER", 0.02)
    monkeypatch.setattr("lipscope.tui.picture.LOOK_EVERY", 0.02)
    monkeypatch.setattr("textual._wait.SLEEP_GRANULARITY", 0.005)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model.safetensors")


@pytest.fixture
def script() -> Iterator[Script]:
    """A script that plays to the end; set ``hold_at`` to hold it. Released at the end of the test."""
    scripted = Script()
    yield scripted
    scripted.gate.set()
    for thread in scripted.threads:
        thread.join(GENEROUS)


FAILURE: LipscopeError = CheckpointError(
    "the weights are not finite", where="model.safetensors", why="NaN in stage2.block1.conv.kernel",
    next_step="train it again with a lower learning rate",
)  # fmt: skip


@pytest.fixture
def still_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of progress says nothing of how long the steps take on this machine."""
    monkeypatch.setattr("lipscope.tui.widgets.progress.Pace", partial(Pace, lambda: 0.0))


def screen_text(app: App[None]) -> str:
    """What stands on the screen, line by line."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def words(app: App[None], selector: str) -> str:
    """The words inside a widget, whatever lines they are broken into."""
    region = app.screen.query_one(selector).region
    lines = screen_text(app).split("\n")[region.y : region.bottom]
    inside = " ".join(line[region.x : region.right] for line in lines)
    return " ".join(re.sub("[\u2500-\u259f]", " ", inside).split())  # box drawing and blocks: frames and scrollbars


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Let the app work until the condition holds."""
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, screen_text(pilot.app)
        await asyncio.sleep(0.02)  # pilot.pause would paint the whole screen at every look
    await pilot.pause()


@asynccontextmanager
async def finished(app: InspectApp, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Pilot[None]]:
    """The app with everything computed, read and painted."""
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.settled)
        yield pilot


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """A safetensors file with the names of a ResNet and no metadata of lipscope."""
    path = tmp_path / "resnet.safetensors"
    tensors = {
        "conv1.weight": np.zeros((4, 3, 7, 7), np.float32),
        "layer1.0.conv1.weight": np.zeros((4, 4, 3, 3), np.float32),
        "layer1.0.bn1.running_mean": np.zeros(4, np.float32),
        "fc.weight": np.zeros((10, 4), np.float32),
    }
    save_file(tensors, path, {"format": "pt"})
    return path


def listed(app: App, selector: str) -> list[str]:
    """Every line of a list, also those out of sight."""
    shown = app.screen_stack[0].query_one(selector, LongList)
    lines = (shown._line(place, shown._width) for place in range(shown.count))
    return [line if isinstance(line, str) else "".join(text for text, _ in line) for line in lines]
