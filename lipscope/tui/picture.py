"""One screen of the app as an SVG, drawn without a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from textual.pilot import Pilot

from lipscope.errors import UsageError
from lipscope.tui.app import InspectApp
from lipscope.tui.config import Config
from lipscope.tui.dialogs.report import as_html, as_markdown, report_parts
from lipscope.tui.registry import entry
from lipscope.tui.work.state import Phase
from lipscope.tui.work.worker import Means
from lipscope.visible import harmless

SIZE = (120, 36)
LOOK_EVERY = 0.05
"""Seconds between two looks whether the analysis is complete."""

QUIET = 8
"""Looks in a row at which nothing is computed: then nothing more comes."""


def picture(
    path: Path,
    means: Means,
    *,
    screen: str,
    size: tuple[int, int] = SIZE,
    keys: Iterable[str] = (),
    theme: str = "",
    other: Path | None = None,
    run: Path | None = None,
) -> str:
    """Open the app on a file, wait until everything is computed, and draw one screen.

    ``keys`` are pressed on the screen before it is drawn; the folder ``run`` need not hold a model yet.

    Raises:
        LipscopeError: the file cannot be read, or the analysis failed.
    """
    app = InspectApp(path, analyse=means, config=Config(theme or None), other=other, run=run)

    async def drawn() -> str:
        async with app.run_test(size=size) as pilot:
            await _computed(app)
            await pilot.press(entry(screen).key)
            await pilot.pause(4 * LOOK_EVERY)
            for key in keys:
                await pilot.press(key)
            await quiet(app, pilot)
            return app.export_screenshot(title=f"lipscope inspect {harmless(path, 80, keep='end')}")

    return asyncio.run(drawn())


def whole_report(path: Path, means: Means, run: Path | None = None) -> tuple[str, str]:
    """Every number of a model as Markdown, and with the pictures of the screens as HTML.

    Raises:
        LipscopeError: the file cannot be read, or the analysis failed.
    """
    app = InspectApp(path, analyse=means, run=run)

    async def made() -> tuple[str, str]:
        async with app.run_test(size=SIZE):
            await _computed(app)
            parts = await report_parts(app)
            return as_markdown(app.state, parts), as_html(app.state, parts)

    return asyncio.run(made())


async def _computed(app: InspectApp) -> None:
    while not app.settled:
        await asyncio.sleep(LOOK_EVERY)
    if app.state.phase is Phase.FAILED and app.state.failure is not None:
        raise app.session.crash or app.state.failure


async def quiet(app: InspectApp, pilot: Pilot[None]) -> None:
    """Wait until nothing is computed: a screen may ask for more once it is in front, and again when it has that."""
    looks = 0
    while looks < QUIET:
        await pilot.pause(LOOK_EVERY)
        looks = looks + 1 if app.settled else 0


def parse_size(text: str) -> tuple[int, int]:
    """Columns and rows.

    Raises:
        UsageError: not two numbers with an x between them, or out of reason.

    >>> parse_size("120x36")
    (120, 36)
    """
    columns, x, rows = text.partition("x")
    if x and columns.isdecimal() and rows.isdecimal() and len(text) < 10:
        size = int(columns), int(rows)
        if 20 <= size[0] <= 1000 and 10 <= size[1] <= 1000:
            return size
    raise UsageError("not a size of a window", where=harmless(text, 40), next_step="write columns x rows, as in 120x36")
