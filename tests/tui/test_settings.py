from fractions import Fraction

from lipscope.tui.app import InspectApp
from lipscope.tui.settings import Remembered, remembered
from lipscope.tui.widgets.fold import FoldBar
from tests.tui.conftest import finished, until, write_radii


def test_what_is_kept_is_read_again(tmp_path):
    place = tmp_path / "folder" / "remembered.json"
    kept = Remembered("gruvbox", Fraction(8, 255), "radii", (), place).opened(tmp_path / "a.safetensors")
    kept.keep()
    assert remembered(place) == kept


def test_nonsense_is_as_if_it_were_not_there(tmp_path):
    place = tmp_path / "remembered.json"
    for text in (
        "",
        "[]",
        "{",
        '{"theme": 1, "eps": "9/0", "screen": "x", "recent": [3]}',
        '{"eps": 1}',
        "[" * 100_000,
    ):
        place.write_text(text)
        assert remembered(place) == Remembered(place=place)


async def test_eps_screen_and_file_are_there_again(model, script, tmp_path):
    write_radii(model)
    place = tmp_path / "remembered.json"
    app = InspectApp(model, analyse=script, remembered=Remembered(place=place))
    async with finished(app) as pilot:
        await pilot.press("4", "right")
        await pilot.pause()
    left = remembered(place)
    assert (left.eps, left.screen, left.recent) == (Fraction(37, 255), "radii", (model.absolute(),))
    again = InspectApp(model, analyse=script, remembered=left, screen=left.screen)
    async with finished(again):
        assert again.query_one("RadiiPane").eps == Fraction(37, 255)


async def test_a_pane_that_was_unfolded_by_a_click_is_open_again(model, script, tmp_path):
    write_radii(model)
    place = tmp_path / "remembered.json"

    def right_bar(app):
        return next(bar for bar in app.query_one("RadiiPane").query(FoldBar) if bar.side == "right")

    app = InspectApp(model, analyse=script, remembered=Remembered(place=place), screen="radii")
    async with finished(app, (90, 30)) as pilot:
        assert right_bar(app).folded
        await pilot.click(offset=(right_bar(app).region.x + 3, right_bar(app).region.y))
        await until(pilot, lambda: not right_bar(app).folded)
    assert remembered(place).folds == {"radii-pane.right": False}
    again = InspectApp(model, analyse=script, remembered=remembered(place), screen="radii")
    async with finished(again, (90, 30)):
        assert not right_bar(again).folded


def test_a_radius_of_zero_is_kept_too(tmp_path):
    place = tmp_path / "remembered.json"
    Remembered(eps=Fraction(0), place=place).keep()
    assert remembered(place).eps == 0
