"""What every state looks like, at fixed sizes, as SVG.

The pictures were looked at before they were accepted. After a change that is meant to be seen,
`pytest tests/tui/test_snapshots.py --snapshot-update`, and look at them again.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from lipscope.files.kept_analysis import Cache
from lipscope.records import Bound, Estimate, LayerReport, Verdict
from lipscope.tui.app import InspectApp
from lipscope.tui.registry import entry
from lipscope.tui.work.worker import Means
from tests.tui.conftest import Script, screen_text, until, write_checkpoint, write_radii

NARROW, SMALL, MIDDLE, LARGE = (60, 20), (80, 24), (120, 36), (200, 60)

Step = Callable[[Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, still_pace: None) -> None:
    """Nothing of this machine or of this version is in a picture: relative paths, no version, no settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("lipscope.tui.widgets.title.__version__", "lipscope.files.checkpoint.writing.__version__"):
        monkeypatch.setattr(name, "0.0.0")
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)


def app_on(script: Script, path: str = "model.safetensors", cache: Cache | None = None) -> InspectApp:
    """The app on a file of the working directory, with a clock on which every analysis takes 3.2 seconds."""
    clock = itertools.cycle([0.0, 3.2]).__next__
    return InspectApp(Path(path), analyse=Means(script, cache, clock, look_every=0.02))


@dataclass(frozen=True)
class Scene:
    """How to get to what is drawn.

    Args:
        keys: pressed once the analysis has come as far as it comes.
        screen: shown first.
        until: what must be on the screen at the end.
    """

    screen: str = "overview"
    keys: tuple[str, ...] = ()
    until: str = ""

    def play(self, script: Script) -> Step:
        """What the pilot does."""

        async def steps(pilot: Pilot[None]) -> None:
            app = pilot.app
            assert isinstance(app, InspectApp)
            await until(pilot, lambda: app.state.sha256 is not None and not app.state.results.reading)
            if script.hold_at is None:
                await until(pilot, lambda: app.settled)
            else:
                await until(pilot, lambda: app.state.done == script.hold_at)
            await pilot.press(entry(self.screen).key)
            await pilot.pause()
            await pilot.press(*self.keys)
            await until(pilot, lambda: self.until in screen_text(app))
            app.screen.refresh()  # whoever looked at a dialog has left it drawn without the screen behind it
            await pilot.pause()
            await until(pilot, lambda: not app._repaint_pending)

        return steps


def compare(snap_compare, script: Script, scene: Scene, size: tuple[int, int], app: InspectApp | None = None) -> bool:
    drawn = app_on(script) if app is None else app
    try:
        return bool(snap_compare(drawn, terminal_size=size, run_before=scene.play(script)))
    finally:
        script.gate.set()


@pytest.mark.parametrize("size", [NARROW, SMALL, MIDDLE], ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize(
    "scene",
    [Scene(), Scene("layers", until="stage5"), Scene("gradients", until="├"), Scene("radii", until="eps 36/255")],
    ids=lambda scene: scene.screen,
)
def test_complete(snap_compare, scene: Scene, size: tuple[int, int]) -> None:
    write_radii(write_checkpoint(Path("model.safetensors")))
    assert compare(snap_compare, Script(), scene, size)


# The states on the way


@pytest.mark.parametrize("screen", ["overview", "layers"])
def test_loading_with_nothing_but_the_header(snap_compare, screen: str) -> None:
    write_checkpoint(Path("model.safetensors"))
    assert compare(snap_compare, Script(hold_at=0), Scene(screen), SMALL)


def test_cancelled(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    assert compare(snap_compare, Script(hold_at=5), Scene("layers", ("X",), "cancelled after 5 of 25"), SMALL)


def test_violated(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    verdict = Verdict("violated", 1.5, "stage2.block1.conv moves two points apart by 1.5 times their distance")
    assert compare(snap_compare, Script(verdict=verdict), Scene(), SMALL)


# What may be wrong with the files


@pytest.mark.parametrize("screen", ["overview"])
def test_stale_results(snap_compare, screen: str) -> None:
    write_radii(write_checkpoint(Path("model.safetensors")), sha256="ab" * 32)
    assert compare(snap_compare, Script(), Scene(screen, until="STALE"), MIDDLE)


@pytest.mark.parametrize("screen", ["overview", "layers"])
def test_unknown_architecture(snap_compare, screen: str) -> None:
    write_unknown(Path("resnet.safetensors"))
    reports = [
        LayerReport(name, "kernel 3x3", None, None, Bound(2.5, "frequency grid"), role="tensor",
                    sigma_max=Estimate(2.25, "dense SVD"))
        for name in ("conv1.weight", "layer1.0.conv1.weight", "layer1.10.conv1.weight", "layer1.2.conv1.weight")
    ]  # fmt: skip
    verdict = Verdict("not-proved", None, "lipscope has no model for this file")
    script = Script(reports, verdict=verdict, bounds_only=True)
    assert compare(snap_compare, script, Scene(screen), MIDDLE, app_on(script, "resnet.safetensors"))


def write_unknown(path: Path) -> None:
    from safetensors.numpy import save_file

    names = ("conv1.weight", "layer1.0.conv1.weight", "layer1.2.conv1.weight", "layer1.10.conv1.weight")
    save_file({name: np.zeros((4, 4, 3, 3), np.float32) for name in names}, path, {"format": "pt"})


# What one can open


def test_a_kernel(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    assert compare(snap_compare, Script(), Scene("layers", ("G", "v", "v", "enter"), "head.weight"), SMALL)


def test_help_here_leaves_the_app_visible(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    assert compare(snap_compare, Script(), Scene("layers", ("f1",), "Needs the analysis"), MIDDLE)
