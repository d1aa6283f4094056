from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.theme import BUILTIN_THEMES

from lipscope.records import Verdict
from lipscope.tui.app import InspectApp
from lipscope.tui.config import Config
from lipscope.tui.registry import SCREENS
from tests.tui.conftest import Script, finished, screen_text, until, write_radii


def test_there_are_the_21_themes_that_the_readme_promises():
    assert len(BUILTIN_THEMES) >= 21


async def settled(pilot: Pilot[None], key: str) -> str:
    """What a screen says once everything that it reads in the background has come."""
    await pilot.press(key)
    app = pilot.app
    await until(pilot, lambda: app.settled)
    said = ""
    while said != (now := screen_text(app)):
        said = now
        await pilot.pause(0.4)
    return said


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
async def test_every_theme_draws_the_same_words(model, script, every):
    """Each theme one screen, in turn: what a screen says does not depend on colours. A third of them every day."""
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (100, 30)) as pilot:
        plain = {}
        for screen in SCREENS:
            plain[screen] = await settled(pilot, screen.key)
        for number, theme in enumerate(list(BUILTIN_THEMES)[::every]):
            screen = SCREENS[number % len(SCREENS)]
            app.theme = theme
            await pilot.press(screen.key)
            await until(pilot, lambda screen=screen: app.settled and screen_text(app) == plain[screen])
            assert app.export_screenshot().startswith("<svg")


async def test_a_theme_of_the_settings_is_worn(model, script):
    app = InspectApp(model, analyse=script, config=Config("gruvbox"))
    async with finished(app, (80, 24)):
        assert app.theme == "gruvbox"


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        (Verdict("proved", 1.0, "all layers"), "✔ YES, PROVED   L ≤ 1"),
        (Verdict("violated", 1.5, "in stage1"), "✘ NO, VIOLATED"),
        (Verdict("not-proved", None, "no rule"), "? NOT PROVED"),
    ],
)
async def test_without_colour_every_meaning_is_in_words(model, monkeypatch, verdict, word):
    monkeypatch.setenv("NO_COLOR", "1")
    write_radii(model, sha256="ab" * 32)
    app = InspectApp(model, analyse=Script(verdict=verdict))
    async with finished(app) as pilot:
        colours = {
            (segment.style.color, segment.style.bgcolor)
            for strip in app.screen._compositor.render_strips()
            for segment in strip.apply_filter(app._filters[-1], app.current_theme and app.screen.background_colors[1])
            if segment.style is not None and segment.style.color is not None and segment.style.color.triplet is not None
        }
        assert all(len(set(colour.triplet)) == 1 for pair in colours for colour in pair if colour and colour.triplet)
        text = screen_text(app)
        assert word in text
        assert "STALE" in text
        for screen in SCREENS:
            await pilot.press(screen.key)
            # The tab in front is marked by its underline and by reverse video, not by a colour.
            tab = app.query_one("TabbedContent").get_tab(screen.id)
            await until(pilot, lambda tab=tab: tab.styles.text_style.reverse)
