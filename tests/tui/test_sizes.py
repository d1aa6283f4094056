"""Nothing is cut off: every view of every screen, folded and unfolded, at every size a terminal may have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.scrollbar import ScrollBar
from textual.widget import Widget
from textual.widgets import Static

from lipscope.tui.app import InspectApp
from lipscope.tui.images.pane import ImagesPane
from lipscope.tui.registry import SCREENS, entry
from lipscope.tui.work.worker import Means
from tests.tui.conftest import Script, bounds, finished, screen_text, until, write_checkpoint
from tests.tui.pictured import Brightness, keep_adversarials, write_synthetic
from tests.tui.runs import Run

SIZES = [(60, 20)]
MORE = [
    (120, 36),
    (80, 24),
    (200, 60),
    (60, 50),
    (160, 40),
    (70, 20),
    (80, 60),
    (99, 30),
    (100, 30),
    (160, 20),
    (200, 22),
    (240, 48),
    (320, 90),
]

VIEWS: dict[str, tuple[str, ...]] = {
    "overview": (),
    "layers": ("down", "v", "v", "a", "v", "enter", "v", "v", "escape", "plus", "plus", "slash", "escape"),
    "gradients": ("down",),
    "radii": ("y", "b", "y", "b", "equals_sign", "escape"),
    "images": ("f", "f", "f", "f", "f", "v", "v", "s", "n", "t", "t", "slash", "escape", "equals_sign", "escape"),
    "training": ("y", "down"),
    "compare": ("v", "s", "d", "z", "z", "plus", "equals_sign", "escape"),
}
"""The keys that change what a screen shows, pressed one after another."""

FOLDING = ("left_square_bracket", "left_square_bracket", "right_square_bracket", "right_square_bracket")


def cut(widget: Widget) -> bool:
    """Whether a part of the widget lies where no scrolling brings it into sight."""
    if isinstance(widget, Static) and widget.styles.height is not None and widget.styles.height.is_auto:
        lines = widget.get_content_height(widget.app.size, widget.app.size, widget.content_size.width)
        if lines > widget.content_size.height and not widget.styles.max_height:
            return True
    here, around = widget.region, widget.parent
    if not isinstance(around, Widget) or not here.area:
        return False
    room = around.region
    across = around.styles.overflow_x in ("auto", "scroll") or (room.x <= here.x and here.right <= room.right)
    down = around.styles.overflow_y in ("auto", "scroll") or (room.y <= here.y and here.bottom <= room.bottom)
    return not (across and down)


def answered(app: InspectApp, screen: str) -> bool:
    """Whether the image in front has all that is known of it."""
    if screen != "images":
        return True
    row = app.query_one(ImagesPane)._row
    return row < 0 or (app.state.answer is not None and app.state.answer.row == row)


@pytest.fixture
def app(tmp_path: Path) -> InspectApp:
    """Two models with hostile names, attacked images, and a run."""
    run = Run(tmp_path / "run")
    run.train(1, 5)
    run.tell("running", 6, 25)
    hostile = bounds()
    hostile[1] = replace(hostile[1], name="\x1b[31m[red]" + "x" * 1000)
    classes = tuple(f"\x1b[31m[b]{'long' * 30}{k}" for k in range(10))
    model, other = run.path / "model.safetensors", tmp_path / "b.safetensors"
    for seed, path in enumerate((model, other)):
        write_checkpoint(path, channels=16 * (1 + seed))
        keep_adversarials(path, write_synthetic(path, seed=5 + seed, attacked=50, classes=classes))
    means = Means(Script(hostile), evaluator=Brightness)
    return InspectApp(model, analyse=means, other=other, run=run.path)


@pytest.mark.parametrize(
    "size",
    [*SIZES, *(pytest.param(size, marks=pytest.mark.slow) for size in MORE)],
    ids=["x".join(map(str, size)) for size in (*SIZES, *MORE)],
)
async def test_nothing_is_cut_off_at_any_size(app: InspectApp, size: tuple[int, int]) -> None:
    width, height = size
    async with finished(app, size) as pilot:
        for screen in SCREENS:
            for key in (entry(screen.id).key, *VIEWS[screen.id], *FOLDING):
                await pilot.press(key)
                await until(pilot, lambda screen=screen: not app._repaint_pending and answered(app, screen.id))
                where = f"{screen.id} after {key}"
                assert app.query_one("TabbedContent").active == screen.id, where
                for widget in app.screen.query("*"):
                    if widget.is_on_screen and not isinstance(widget, ScrollBar):
                        assert not cut(widget), f"{where}: {widget} {widget.region} in {widget.parent.region}"
                lines = screen_text(app).split("\n")
                assert [len(line) <= width for line in lines] == [True] * height, where
                assert all(one.key in lines[1] for one in SCREENS), where
                assert "\x1b" not in "".join(lines), where
                assert "analysis complete" in lines[-2], where
                assert "q Quit" in lines[-1] or key in ("equals_sign", "slash"), where
