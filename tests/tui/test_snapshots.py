"""What every state looks like, at fixed sizes, as SVG.

The pictures were looked at before they were accepted. After a change that is meant to be seen,
`pytest tests/tui/test_snapshots.py --snapshot-update`, and look at them again.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from lipscope.errors import CheckpointError
from lipscope.files.kept_analysis import Cache
from lipscope.files.results import results_path, write_results
from lipscope.records import Bound, Estimate, LayerReport, Spectrum, Verdict
from lipscope.tui.app import InspectApp
from lipscope.tui.registry import SCREENS, entry
from lipscope.tui.work.state import Phase
from lipscope.tui.work.worker import Means
from tests.tui.conftest import FAILURE, Script, bounds, screen_text, until, write_checkpoint, write_radii

NARROW, SMALL, MIDDLE, LARGE = (60, 20), (80, 24), (120, 36), (200, 60)

Step = Callable[[Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine or of this version is in a picture: relative paths, no version, no settings.

    Screens that come later would change the tabs of all pictures; theirs are in their own tests.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("lipscope.tui.widgets.title.__version__", "lipscope.files.checkpoint.writing.__version__"):
        monkeypatch.setattr(name, "0.0.0")
    monkeypatch.setattr("lipscope.tui.app.SCREENS", SCREENS[:4])
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
                await until(pilot, lambda: not app.state.phase.active and not app.busy)
            else:
                await until(pilot, lambda: app.state.done == script.hold_at)
            await pilot.press(entry(self.screen).key)
            await pilot.pause()
            await pilot.press(*self.keys)
            await until(pilot, lambda: self.until in screen_text(app))
            await until(pilot, lambda: not app._repaint_pending)

        return steps


def compare(snap_compare, script: Script, scene: Scene, size: tuple[int, int], app: InspectApp | None = None) -> bool:
    drawn = app_on(script) if app is None else app
    try:
        return bool(snap_compare(drawn, terminal_size=size, run_before=scene.play(script)))
    finally:
        script.gate.set()


@pytest.mark.parametrize("size", [NARROW, SMALL, MIDDLE, LARGE], ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize(
    "scene",
    [Scene(), Scene("layers", ("down",), "stage1"), Scene("radii", until="eps 36/255")],
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


def test_loading_in_the_middle(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    assert compare(snap_compare, Script(hold_at=16), Scene("layers", ("down",)), MIDDLE)


def test_cancelled(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    assert compare(snap_compare, Script(hold_at=5), Scene("layers", ("x",), "cancelled after 5 of 25"), SMALL)


@pytest.mark.parametrize(
    ("screen", "size"),
    [("overview", MIDDLE), ("layers", SMALL), ("layers", NARROW)],
    ids=["overview", "layers", "layers-narrow"],
)
def test_failed(snap_compare, screen: str, size: tuple[int, int]) -> None:
    write_checkpoint(Path("model.safetensors"))
    assert compare(snap_compare, Script(failure=FAILURE, failure_first=True), Scene(screen), size)


def test_nan_weights(snap_compare) -> None:
    """A tensor that is not finite: no bound, no spectrum, and the words for it."""
    nan = float("nan")
    broken = replace(
        bounds()[3],
        bound=Bound.unproved("the kernel holds values that are not finite"),
        sigma_max=Estimate(nan, "Lanczos"),
        sigma_min=Estimate(nan, "Lanczos"),
        spectrum=Spectrum((nan,), (1.0,), 1, "dense SVD", True),
        notes=("17 of 36,864 stored values are NaN.",),
    )
    reports = [*bounds()[:3], broken, *bounds()[4:]]
    verdict = Verdict("not-proved", None, "stage2.block1.conv: the kernel holds values that are not finite")
    write_checkpoint(Path("model.safetensors"))
    script = Script(reports, verdict=verdict, bounds_only=True)
    assert compare(snap_compare, script, Scene("layers", ("down",) * 3, "17 of 36,864"), MIDDLE)


def test_violated(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    verdict = Verdict("violated", 1.5, "stage2.block1.conv moves two points apart by 1.5 times their distance")
    assert compare(snap_compare, Script(verdict=verdict), Scene(), SMALL)


def test_from_cache(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    cache, script = Cache(Path("user").absolute()), Script()
    kept = app_on(script, cache=cache)

    async def finish(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: kept.state.phase is Phase.DONE and not kept.busy)
        pilot.app.exit()

    kept.run(headless=True, auto_pilot=finish)
    assert compare(snap_compare, script, Scene(until="from cache"), SMALL, app_on(script, cache=cache))
    assert script.runs == 1


# What may be wrong with the files


def test_no_results(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    assert compare(snap_compare, Script(), Scene("radii"), SMALL)


@pytest.mark.parametrize("screen", ["overview", "radii"])
def test_stale_results(snap_compare, screen: str) -> None:
    write_radii(write_checkpoint(Path("model.safetensors")), sha256="ab" * 32)
    assert compare(snap_compare, Script(), Scene(screen, until="STALE"), MIDDLE)


def test_damaged_results(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    Path("model.certified.safetensors").write_bytes(b"damaged")
    assert compare(snap_compare, Script(), Scene("radii", until="cannot be used"), SMALL)


def test_attack_distances(snap_compare) -> None:
    plain = write_radii(write_checkpoint(Path("model.safetensors")))
    both = replace(
        plain,
        attack_distance=plain.radius + 0.05,
        attack={"name": "by hand"},
    )
    write_results(results_path(Path("model.safetensors")), both, {})
    assert compare(snap_compare, Script(), Scene("radii", until="attack"), MIDDLE)


@pytest.mark.parametrize("screen", ["overview", "layers", "radii"])
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


def test_a_file_of_no_tensors(snap_compare) -> None:
    header = b'{"__metadata__":{"format":"pt"}}'
    Path("empty.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    verdict = Verdict("not-proved", None, "the file holds no tensor")
    script = Script([], verdict=verdict, bounds_only=True)
    assert compare(snap_compare, script, Scene("layers"), SMALL, app_on(script, "empty.safetensors"))


@pytest.mark.parametrize(("word", "size"), [("REPLACED", SMALL), ("GONE", NARROW)], ids=["replaced", "gone"])
def test_the_file_changes_while_open(snap_compare, word: str, size: tuple[int, int]) -> None:
    path = write_checkpoint(Path("model.safetensors"))
    script = Script()
    before = Scene().play(script)

    async def change(pilot: Pilot[None]) -> None:
        await before(pilot)
        if word == "GONE":
            path.unlink()
        else:
            write_checkpoint(Path("other.safetensors"), channels=99).replace(path)
        await until(pilot, lambda: f"FILE {word}" in screen_text(pilot.app))

    assert snap_compare(app_on(script), terminal_size=size, run_before=change)


# What one can open


@pytest.mark.parametrize(
    ("name", "scene", "size"),
    [
        ("tree", Scene("layers", ("t", "j", "j", "j"), "stage1"), MIDDLE),
        ("filtered", Scene("layers", ("s", "slash", "c", "o", "n", "v", "enter"), "5 of 12 layers"), SMALL),
        ("enlarged", Scene("layers", ("down", "enter"), "singular values"), NARROW),
        ("unfolded", Scene("layers", ("down", "right_square_bracket"), "proved by"), SMALL),
        ("folded-left", Scene("radii", ("left_square_bracket",), "unfolds"), MIDDLE),
        ("log-axis", Scene("radii", ("y",), "eps 36/255"), SMALL),
        ("help-here", Scene("layers", ("f1",), "Needs the analysis"), MIDDLE),
        ("copy", Scene("layers", ("down", "C"), "copy one value"), SMALL),
        ("export", Scene("radii", ("e",), "export what is shown"), SMALL),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_opened(snap_compare, name: str, scene: Scene, size: tuple[int, int]) -> None:
    write_radii(write_checkpoint(Path("model.safetensors")))
    assert compare(snap_compare, Script(), scene, size)


@pytest.mark.parametrize("size", [NARROW, SMALL, MIDDLE, LARGE], ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize(("view", "said"), [("vv", "as stored"), ("v", "sorted σ")], ids=["kernel", "curve"])
def test_a_layer_seen_otherwise(snap_compare, view: str, said: str, size: tuple[int, int]) -> None:
    write_checkpoint(Path("model.safetensors"))
    if size == LARGE:  # histogram and curve stand together from the start
        view = view[1:]
    keys = ("down", *view, "enter")
    assert compare(snap_compare, Script(), Scene("layers", keys, said), size)


def test_a_layer_without_a_kernel(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    scene = Scene("layers", ("down", "down", "v", "v", "right_square_bracket"), "No kernel")
    assert compare(snap_compare, Script(), scene, SMALL)


def test_a_kernel_with_nan(snap_compare) -> None:
    from safetensors.numpy import save_file

    weight = np.random.default_rng(0).normal(size=(16, 24)).astype(np.float32)
    weight[3, 5], weight[11, :4], weight[7] = np.nan, np.inf, 0
    save_file({"fc.weight": weight}, "model.safetensors")
    report = LayerReport("fc.weight", "matrix 16x24", None, None, Bound.unproved("not finite"), role="tensor")
    script = Script([report], verdict=Verdict("not-proved", None, "by hand"), bounds_only=True)
    assert compare(snap_compare, script, Scene("layers", ("v", "v"), "5 not finite"), MIDDLE)


def test_learned_angles(snap_compare) -> None:
    rng = np.random.default_rng(3)
    angles = {
        "theta0": tuple(rng.normal(1.57, 0.2, 64).tolist()),
        "theta1": tuple(rng.normal(3.14, 0.4, 64).tolist()),
        "theta2": tuple(rng.uniform(0, 0.5, 64).tolist()),
    }
    reports = [
        replace(report, kind="Householder, order 2", angles=angles) if "activation" in report.name else report
        for report in bounds()
    ]
    write_checkpoint(Path("model.safetensors"))
    scene = Scene("layers", ("down", "down", "a"), "theta1 in degrees")
    assert compare(snap_compare, Script(reports, bounds_only=True), scene, MIDDLE)


def test_an_error_with_hostile_words(snap_compare) -> None:
    write_checkpoint(Path("model.safetensors"))
    failure = CheckpointError("[red]not\x1b[31m red", where="[/]" * 40, why="a\nb\tc", next_step="[link=x]y[/link]")
    assert compare(snap_compare, Script(failure=failure, failure_first=True), Scene(), SMALL)
