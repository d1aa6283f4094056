from lipscope.records import Bound, LayerReport
from lipscope.tui.app import InspectApp
from lipscope.tui.radii.pane import RadiiPane
from lipscope.tui.registry import entry
from lipscope.tui.widgets.long_list import LongList
from tests.tui.conftest import Script, finished, until, write_radii


def many() -> Script:
    reports = [LayerReport(f"stage{i}.conv", "kernel", None, None, Bound(1.5, "norm")) for i in range(100)]
    return Script(reports, bounds_only=True)


async def test_vi_keys_move_in_the_table(model):
    app = InspectApp(model, analyse=many())
    async with finished(app) as pilot:
        await pilot.press("2")
        await pilot.pause()
        table = app.query_one("#layers-list", LongList)
        half = table.size.height // 2
        for key, row in [("j", 1), ("j", 2), ("k", 1), ("ctrl+d", 1 + half), ("ctrl+u", 1), ("G", 99), ("j", 99)]:
            await pilot.press(key)
            assert table.place == row, key
        await pilot.press("g")
        assert table.place == 99
        await pilot.press("g")
        assert table.place == 0
        await pilot.press("k")
        assert table.place == 0


async def test_vi_keys_move_in_a_scroller(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app, (60, 20)) as pilot:
        pane = app.query_one("#overview-scroll")
        await pilot.press("G")
        await until(pilot, lambda: pane.scroll_y == pane.max_scroll_y > 0)
        await pilot.press("g", "g")
        await until(pilot, lambda: pane.scroll_y == 0)
        await pilot.press("j", "j", "k")
        await until(pilot, lambda: pane.scroll_y == 1)
        await pilot.press("ctrl+d")
        await until(pilot, lambda: pane.scroll_y == 1 + pane.size.height // 2)


async def test_in_the_help_too(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app, (60, 20)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        box = app.screen.query_one("#help")
        await pilot.press("G")
        await until(pilot, lambda: box.scroll_y == box.max_scroll_y > 0)


async def test_on_the_radii_h_and_l_move_eps_and_j_and_k_the_class(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press(entry("radii").key)
        await pilot.pause()
        pane = app.query_one(RadiiPane)
        before = pane.eps
        await pilot.press("l")
        assert pane.eps > before
        await pilot.press("h")
        assert pane.eps == before
        table = app.query_one("#radii-classes", LongList)
        for key, row in [("j", 1), ("down", 2), ("k", 1), ("up", 0), ("G", 9)]:
            await pilot.press(key)
            assert table.place == row


async def test_while_typing_they_are_letters(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("2")
        for key in ("j", "k", "G", "g", "ctrl+d", "ctrl+u", "h", "l"):
            await pilot.press("slash", "a", key)
            await pilot.pause()
            entry = app.query_one("#filter")
            assert app.focused is entry, key
            assert entry.value == {"ctrl+d": "a", "ctrl+u": ""}.get(key, f"a{key}"), key
            await pilot.press("escape")
            assert entry.value == "", key
