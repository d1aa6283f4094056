import pytest

from lipscope.tui.app import InspectApp
from lipscope.tui.registry import entry
from lipscope.tui.widgets.fold import FoldBar
from tests.tui.conftest import finished, screen_text, until, write_radii

PANES = {
    "layers": ("#table-side", "#detail"),
    "radii": ("#radii-plots", "#radii-tables"),
}


def seen(app, selector: str) -> bool:
    return bool(app.query_one(selector).region.area)


@pytest.mark.parametrize("screen", ["radii"])
async def test_the_right_pane_folds_under_100_columns_and_stacks_under_80(model, script, screen):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    left, right = PANES[screen]
    async with finished(app, (120, 36)) as pilot:
        await pilot.press(entry(screen).key)
        await pilot.pause()
        assert seen(app, left)
        assert seen(app, right)
        for width in (99, 80, 79, 60):
            await pilot.resize_terminal(width, 30)
            await until(pilot, lambda: not seen(app, right))
            assert seen(app, left)
            assert "▸" in screen_text(app)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: seen(app, right))
        below = app.query_one(right).region.y >= app.query_one(left).region.bottom
        assert below, "under 80 columns the panes stand one under the other"
        await pilot.resize_terminal(120, 36)
        await pilot.pause()
        assert seen(app, right)


@pytest.mark.parametrize("screen", PANES)
async def test_by_hand_either_pane_folds_and_one_always_stays(model, script, screen):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    left, right = PANES[screen]
    async with finished(app, (120, 36)) as pilot:
        await pilot.press(entry(screen).key)
        await pilot.pause()
        for key, expected in [
            ("right_square_bracket", (True, False)),
            ("right_square_bracket", (True, True)),
            ("left_square_bracket", (False, True)),
            ("right_square_bracket", (True, False)),  # the left one unfolds rather than leave nothing
            ("left_square_bracket", (False, True)),
            ("left_square_bracket", (True, True)),
        ]:
            await pilot.press(key)
            await until(pilot, lambda expected=expected: (seen(app, left), seen(app, right)) == expected)


async def test_a_click_on_the_line_unfolds(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (90, 30)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        bar = next(bar for bar in app.query_one("#layers-pane").query(FoldBar) if bar.side == "right")
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: bar.region.area)
        await pilot.click(offset=(bar.region.x + 3, bar.region.y))
        await until(pilot, lambda: seen(app, "#detail"))
        assert not bar.region.area


async def test_the_line_says_what_is_folded(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (90, 30)) as pilot:
        await pilot.press("2", "up", "right_square_bracket")
        await until(pilot, lambda: "selected: stage5.block1.conv, bound ≤ 1" in screen_text(app))
        await pilot.press(entry("radii").key)
        await until(pilot, lambda: "radii: 36/255 44.70%" in screen_text(app))
