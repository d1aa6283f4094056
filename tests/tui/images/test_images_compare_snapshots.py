"""What the Images and Compare screens look like in every state, as SVG; looked at before they were accepted."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from lipscope.errors import DataError
from lipscope.files.violation import Pair, violation_path, write_pair
from lipscope.tui.app import InspectApp
from lipscope.tui.images.pane import ImagesPane
from lipscope.tui.registry import SCREENS, entry
from lipscope.tui.work.worker import Means
from tests.tui.conftest import Script, screen_text, until, write_checkpoint
from tests.tui.pictured import Brightness, keep_adversarials, synthetic_images, write_synthetic

SIZES = [(60, 20), (80, 24), (120, 36), (200, 60)]
A, B = Path("model.safetensors"), Path("b.safetensors")

named = pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))


@pytest.fixture(autouse=True)
def same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine or of this version is in a picture."""
    monkeypatch.chdir(tmp_path)
    for name in ("lipscope.tui.widgets.title.__version__", "lipscope.files.checkpoint.writing.__version__"):
        monkeypatch.setattr(name, "0.0.0")
    monkeypatch.setattr("lipscope.tui.app.SCREENS", SCREENS[:7])
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)
    write_checkpoint(A)


def drawn(
    snap_compare, screen: str, said: str, size, *keys: str, later: tuple[str, ...] = (), other: Path | None = None
) -> bool:
    """Whether the screen looks as it did, once everything is computed and some words stand there.

    The later keys are pressed when what the selected image needs has been read.
    """
    clock = itertools.cycle([0.0, 3.2]).__next__
    means = Means(Script(), clock=clock, look_every=0.02, evaluator=Brightness)
    app = InspectApp(A, analyse=means, other=other)

    async def steps(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.state.sha256 is not None and not any(app._active) and not app.busy)
        await pilot.press(entry(screen).key, *keys)
        if later:
            await until(pilot, lambda: "v: next" in screen_text(app))
            await pilot.press(*later)
        await until(pilot, lambda: said in screen_text(app))
        if screen == "images" and app.state.results.certificates is not None and "Reading" not in said:
            await until(pilot, lambda: app.state.answer is not None and not app.busy)
            await until(pilot, lambda: app.state.answer.row == app.query_one(ImagesPane)._row)
        await until(pilot, lambda: not app._repaint_pending)
        await until(pilot, lambda: app.focused is not None and app.query_one(f"#{screen}") in app.focused.ancestors)
        await pilot.pause()  # until what the last message changed is laid out

    return bool(snap_compare(app, terminal_size=size, run_before=steps))


@named
def test_images(snap_compare, size) -> None:
    write_synthetic(A, attacked=300)
    assert drawn(snap_compare, "images", "logits", size)


def test_images_with_what_an_attack_kept(snap_compare) -> None:
    certificates = write_synthetic(A, attacked=1000)
    row = int(np.argmin(certificates.radius))
    image = synthetic_images().images[row]
    noise = np.random.default_rng(0).normal(size=image.shape) / 50
    point = (image / 255 + noise).clip(0, 1).astype(np.float32)
    told = {"index": row, "adversarial_class": 4, "distance": float(np.linalg.norm(point - image / 255))}
    write_pair(violation_path(A.parent, A, row), Pair(image, point, told, certificates.model_sha256))
    assert drawn(snap_compare, "images", "adversarial", (200, 60))


@named
def test_images_with_the_nearest_adversarial(snap_compare, size) -> None:
    keep_adversarials(A, write_synthetic(A, attacked=300))
    keys = ("v",) if size[0] < 200 else ()
    assert drawn(snap_compare, "images", "adversarial:", size, *"fffff", later=keys)


def test_images_with_stale_adversarials(snap_compare) -> None:
    keep_adversarials(A, write_synthetic(A, attacked=300), model_sha256="ab" * 32)
    assert drawn(snap_compare, "images", "model.adversarial.", (120, 36), *"fffff")


def test_images_filtered(snap_compare) -> None:
    write_synthetic(A)
    assert drawn(snap_compare, "images", "classified wrongly, class", (120, 36), "f", "n", "n", "S")


def test_images_without_colours(snap_compare, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    write_synthetic(A)
    assert drawn(snap_compare, "images", "logits", (80, 24))


def test_images_without_results(snap_compare) -> None:
    assert drawn(snap_compare, "images", "No results beside", (80, 24))


def test_images_without_the_data(snap_compare, monkeypatch) -> None:
    def missing(self, name, split):
        raise DataError("data set synthetic not found", next_step="run `lipscope data fetch synthetic`")

    monkeypatch.setattr(Means, "read_images", missing)
    write_synthetic(A)
    assert drawn(snap_compare, "images", "No pictures", (120, 36))


def test_images_while_the_data_is_read(snap_compare, monkeypatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(Means, "read_images", lambda *_: (gate.wait(60), synthetic_images())[1])
    write_synthetic(A)
    try:
        assert drawn(snap_compare, "images", "Reading the data set", (80, 24))
    finally:
        gate.set()


def test_images_of_another_fingerprint(snap_compare) -> None:
    write_synthetic(A, data_fingerprint="e" * 64)
    assert drawn(snap_compare, "images", "No pictures", (80, 24))


@named
def test_compare(snap_compare, size) -> None:
    write_synthetic(A)
    write_synthetic(write_checkpoint(B, channels=32), seed=6)
    assert drawn(snap_compare, "compare", "only B", size, other=B)


def test_compare_certified_alone(snap_compare) -> None:
    write_synthetic(A)
    write_synthetic(write_checkpoint(B, channels=32), seed=6)
    keys = ("right_square_bracket", "left_square_bracket")
    assert drawn(snap_compare, "compare", "certified by both", (80, 24), *keys, other=B)


@pytest.mark.parametrize("size", [(60, 20), (120, 36)], ids=lambda size: "x".join(map(str, size)))
def test_compare_both_curves_enlarged(snap_compare, size) -> None:
    write_synthetic(A)
    write_synthetic(write_checkpoint(B, channels=32), seed=6)
    assert drawn(snap_compare, "compare", "A dotted line, B letters", size, "enter", other=B)


def test_compare_one_model(snap_compare) -> None:
    assert drawn(snap_compare, "compare", "One model is open", (80, 24))


def test_compare_without_results(snap_compare) -> None:
    write_synthetic(A)
    write_checkpoint(B, channels=32)
    assert drawn(snap_compare, "compare", "No results beside B", (120, 36), other=B)


def test_compare_other_data_and_stale(snap_compare) -> None:
    write_synthetic(A, model_sha256="ab" * 32)
    write_synthetic(write_checkpoint(B, channels=32), data_name="cifar100")
    assert drawn(snap_compare, "compare", "different data sets", (120, 36), other=B)
