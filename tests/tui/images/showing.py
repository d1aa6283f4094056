"""The Images screen on a synthetic model, for the tests of what it shows and of what it lacks."""

from __future__ import annotations

from lipscope.tui.app import InspectApp
from lipscope.tui.images.pane import ImagesPane
from lipscope.tui.registry import entry
from lipscope.tui.work.worker import Means
from tests.tui.conftest import until
from tests.tui.pictured import Brightness


def app_on(model, script, **means) -> InspectApp:
    return InspectApp(model, analyse=Means(script, **{"evaluator": Brightness, **means}))


async def images(pilot) -> ImagesPane:
    """The screen with everything that it asks for."""
    app = pilot.app
    await pilot.press(entry("images").key)
    await until(pilot, lambda: app.state.images is not None and not app.state.images.reading)
    await answered(pilot)
    return app.query_one(ImagesPane)


async def answered(pilot) -> None:
    app, pane = pilot.app, pilot.app.query_one(ImagesPane)
    await until(pilot, lambda: app.state.answer is not None and app.state.answer.row == pane._row)
    await until(pilot, lambda: not app._repaint_pending)
