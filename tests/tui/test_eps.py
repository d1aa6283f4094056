"""A change of eps is cheap: it redraws the screen in front, lays nothing out, and touches no other screen."""

from fractions import Fraction

import pytest
from textual.widget import Widget

from lipscope.tui.app import InspectApp
from lipscope.tui.overview.pane import OverviewPane
from lipscope.tui.registry import entry
from lipscope.tui.settings import Remembered, remembered
from lipscope.tui.widgets.at_eps import EpsPane
from lipscope.tui.widgets.eps_table import EpsTable
from lipscope.units import DEFAULT_EPS, format_eps
from tests.tui.conftest import finished, screen_text, until, write_radii


@pytest.mark.parametrize("screen", ["overview", "radii"])
async def test_moving_eps_lays_nothing_out_and_shows_no_other_screen(model, script, screen, monkeypatch):
    write_radii(model, n=10_000)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press(entry(screen).key, "right")
        await until(pilot, lambda: app.front_id == screen and app.front.eps == Fraction(37, 255))
        await pilot.pause()
        laid, shown, refresh = [], [], Widget.refresh

        def counted(self, *regions, layout=False, **how):
            laid.extend([self] if layout else [])
            return refresh(self, *regions, layout=layout, **how)

        monkeypatch.setattr(Widget, "refresh", counted)
        for pane in app.query(EpsPane):
            monkeypatch.setattr(pane, "show_eps", lambda pane=pane, show=pane.show_eps: (shown.append(pane.id), show()))
        await pilot.press("right", "right", "right")
        await until(pilot, lambda: app.front.eps == Fraction(40, 255))
        await pilot.pause()
        assert laid == []
        assert shown == [app.front.id] * 3
        await pilot.press(entry("images").key)
        await until(pilot, lambda: app.front.eps == Fraction(40, 255))


async def test_a_typed_radius_is_listed_from_then_on_and_a_fold_stays(model, script, tmp_path):
    write_radii(model)
    place = tmp_path / "remembered.json"
    app = InspectApp(model, analyse=script, remembered=Remembered(place=place))
    async with finished(app) as pilot:
        await pilot.press("4", "equals_sign", *"0.5", "enter", "right_square_bracket")
        await until(
            pilot, lambda: app.front.eps == Fraction(1, 2) and app.query_one("#radii-tables").has_class("-folded")
        )
    left = remembered(place)
    assert left.radii == (Fraction(1, 2),)
    assert left.folds == {"radii-pane.right": True}
    again = InspectApp(model, analyse=script, remembered=left)
    async with finished(again) as pilot:
        await pilot.press("4", "left")
        await until(pilot, lambda: Fraction(1, 2) in again.query_one("#radii-accuracy", EpsTable).radii(100))
        table = again.query_one("#radii-accuracy", EpsTable)
        # All columns are in 255ths, as their heading says; where there is less room those of the literature stay.
        assert "126.5" in table.render().plain.split("\n")[0]
        assert table.radii(50) == sorted({0, *DEFAULT_EPS, Fraction(253, 510)})
        assert again.query_one("#radii-tables").has_class("-folded")
        assert format_eps(Fraction(1, 2)) in [row["radius_above"] for row in again.front.sheet().rows]
        await pilot.press("minus")  # the radius chosen is another one: nothing is taken off
        assert Fraction(1, 2) in again.front.listed
        again.front.choose_eps(Fraction(1, 2))
        await pilot.press("minus")
        assert tuple(again.front.listed) == DEFAULT_EPS
        again.front.choose_eps(DEFAULT_EPS[1])
        await pilot.press("minus")
        assert tuple(again.front.listed) == DEFAULT_EPS
    assert remembered(place).radii == ()


async def test_the_arrows_beside_eps_move_it_and_a_press_between_them_types(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        pane = app.query_one(OverviewPane)
        await pilot.click("#overview-eps", offset=(2, 0))
        await until(pilot, lambda: pane.eps == Fraction(35, 255))
        button = len(" ◀ eps 35/255 ▶ ")
        await pilot.click("#overview-eps", offset=(button - 1, 0))
        await until(pilot, lambda: pane.eps == Fraction(36, 255))
        await pilot.click("#overview-eps", offset=(button // 2, 0))
        await until(pilot, lambda: pane.query_one("#eps-entry").display)


async def test_a_press_on_a_chip_keeps_its_images(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: "2,000 of 2,000: all images" in screen_text(app))
        line = next(text for text in screen_text(app).split("\n") if " wrong " in text)
        await pilot.click("#images-chips", offset=(line.index("wrong"), 0))
        await until(pilot, lambda: "classified wrongly" in screen_text(app))
