"""Keys that come faster than the app can follow: none is lost, and none ends on the screen before."""

import asyncio
from fractions import Fraction
from itertools import cycle

import pytest
from textual import events
from textual.widgets import Input

from lipscope.tui.app import InspectApp
from lipscope.tui.layers.rows import SORTS
from lipscope.tui.registry import SCREENS, entry
from lipscope.tui.widgets.long_list import LongList
from tests.tui.conftest import finished, until, write_radii


def place(app: InspectApp) -> int | None:
    """Of the cursor in the list of layers, once that is there."""
    return next((one.place for one in app.query("#layers-list").results(LongList)), None)


def typed(app: InspectApp, *keys: str) -> None:
    """All keys in one go, as a terminal hands them over after the app was busy."""
    for key in keys:
        app.post_message(events.Key(key, {"slash": "/"}.get(key, key if len(key) == 1 else None)))


@pytest.mark.parametrize(
    ("keys", "moments"),
    [
        *((keys, range(2 * first, 40, 6)) for first, keys in enumerate(["34", "42", "25"])),
        *(pytest.param(keys, range(0, 40, 2), marks=pytest.mark.slow) for keys in ("34", "42", "25")),
    ],
)
async def test_a_number_key_at_any_moment_of_the_change_before_stays_in_front(model, script, keys, moments):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        last = next(screen.id for screen in SCREENS if screen.key == keys[1])
        for turns in moments:
            typed(app, keys[0])
            for _ in range(turns):
                await asyncio.sleep(0)
            typed(app, keys[1])
            for _ in range(3):
                await pilot.pause()
            assert app.query_one("TabbedContent").active == last, f"{turns} turns of the loop between the keys"
            assert app.focused in app.query_one(f"#{last}").query("*")


async def test_all_number_keys_end_on_the_last(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        typed(app, *"1234567", *"1234567", "4")
        for _ in range(3):
            await pilot.pause()
        assert app.query_one("TabbedContent").active == "radii"


async def test_keys_right_after_a_number_key_work_on_the_new_screen(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        typed(app, "2", "home", "j", "j")
        await until(pilot, lambda: place(app) == 2)
        typed(app, entry("radii").key, "right", "right", "l")
        await until(pilot, lambda: getattr(app.front, "eps", 0) * 255 == 39)
        assert place(app) == 2


async def test_escape_and_a_number_key_in_one_go(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        typed(app, "5", "escape", "2", "home", "j")
        await until(pilot, lambda: place(app) == 1)
        assert app.query_one("TabbedContent").active == "layers"


async def test_a_filter_typed_in_one_go_with_its_key(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        typed(app, "2", "slash", *"conv", "enter")
        await until(pilot, lambda: getattr(app.focused, "id", "") == "layers-list" and app.focused.count == 5)
        assert app.query_one("#layers Input", Input).value == "conv"
        assert app.query_one("TabbedContent").active == "layers"


ORDERS = [*(words for _, words in SORTS.values()), "forward order"]


def order(app: InspectApp) -> str:
    """In which the layers are listed, in words."""
    return str(app.query_one("#table-side").border_subtitle)


async def test_a_letter_right_after_escape_is_no_longer_typed(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("2")
        for turns, following in zip([0, *range(1, 40, 3)], cycle(ORDERS), strict=False):
            await pilot.press("slash", *"conv")
            typed(app, "escape")
            for _ in range(turns):
                await asyncio.sleep(0)
            typed(app, "s")
            await until(pilot, lambda following=following: order(app).startswith(following))
            assert app.query_one("#filter", Input).value == "", f"{turns} turns of the loop between the keys"


async def test_letters_right_after_enter_are_no_longer_typed(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("2")
        for turns, following in zip([0, 5, 14, 30], ORDERS, strict=False):
            await pilot.press("slash")
            typed(app, *"conv", "enter")
            for _ in range(turns):
                await asyncio.sleep(0)
            typed(app, "s", "S")
            await until(pilot, lambda following=following: order(app) == f"{following}, reversed")
            assert app.query_one("#filter", Input).value == "conv", f"{turns} turns of the loop between the keys"
            await pilot.press("slash", "escape")
            assert app.query_one("#filter", Input).value == ""


async def test_an_eps_typed_in_one_go_with_its_key_leads_to_no_other_screen(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        typed(app, "4", "equals_sign", *"72", "slash", *"255", "enter")
        await until(pilot, lambda: getattr(app.front, "eps", 0) * 255 == 72)
        assert app.query_one("TabbedContent").active == "radii"


@pytest.mark.parametrize("screen", ["radii", "images"])
async def test_every_step_of_eps_counts(model, script, screen):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        typed(app, entry(screen).key, *["right"] * 9, "left")
        await until(pilot, lambda: getattr(app.front, "eps", 0) * 255 == 44)
        for turns in range(0, 40, 2):
            typed(app, "right")
            for _ in range(turns):
                await asyncio.sleep(0)
            typed(app, "left")
        for _ in range(3):
            await pilot.pause()
        for other in (screen, *(one.id for one in SCREENS)):  # those without eps have nothing to tell
            typed(app, entry(other).key)
            await until(pilot, lambda other=other: app.front_id == other)
            assert getattr(app.front, "eps", Fraction(44, 255)) == Fraction(44, 255)


async def test_a_step_counts_after_a_typed_radius_and_on_the_next_screen(model, script):
    write_radii(model)
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        await pilot.press("4")
        app.front.choose_eps(Fraction(72, 255), typed=True)
        app.front.action_move(1)
        for _ in range(3):
            await pilot.pause()
        assert app.front.eps * 255 == 73
        assert Fraction(72, 255) in app.front.listed
        for turns in range(0, 40, 8):
            typed(app, "5", "left")
            for _ in range(turns):
                await asyncio.sleep(0)
            typed(app, "4", "right", "right", "5", "left")
            for _ in range(3):
                await pilot.pause()
            assert app.front_id == "images"
            assert app.front.eps * 255 == 73, f"{turns} turns of the loop between the keys"
