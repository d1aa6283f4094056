import asyncio

import pytest
from textual.widgets import Static

from lipscope.files.found import found
from lipscope.tui.start import screen as start
from lipscope.tui.start.screen import StartApp
from lipscope.tui.widgets.long_list import LongList
from tests.tui.conftest import until
from tests.tui.runs import Run


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(start, "SECONDS", 0.01)


def test_what_is_trained_meanwhile_appears_and_the_cursor_stays_on_its_file(tmp_path):
    async def main():
        first = Run(tmp_path / "first")
        app = StartApp([tmp_path], [], None, None)
        async with app.run_test(size=(100, 20)) as pilot:
            listed = app.screen
            assert [one.path.name for one in listed._found] == ["first"]
            second = Run(tmp_path / "second")
            second.train(1, 3)
            await until(pilot, lambda: "second" in [one.path.name for one in listed._found])
            chosen = listed._found[listed.query_one(LongList).place]
            assert chosen.path == first.path
            second.train(4, 5)
            await until(pilot, lambda: any(one.standing == "5 of 8 epochs" for one in listed._found))
            await pilot.press("enter")
        assert app.return_value == first.path

    asyncio.run(main())


def test_an_empty_folder_says_what_makes_a_model_until_one_is_there(tmp_path):
    async def main():
        app = StartApp([tmp_path], [], None, None)
        async with app.run_test(size=(100, 20)) as pilot:
            nothing = app.screen.query_one("#open-nothing", Static)
            assert "lipscope train" in str(nothing.render())
            Run(tmp_path / "run")
            await until(pilot, lambda: not nothing.display or "lipscope train" not in str(nothing.render()))

    asyncio.run(main())


def test_what_goes_away_while_it_is_looked_at_ends_no_look(tmp_path, monkeypatch):
    looks = []

    def gone_once(folders, recent=()):
        looks.append(1)
        if len(looks) == 2:
            raise FileNotFoundError(2, "gone")
        return found(folders, recent)

    monkeypatch.setattr(start, "found", gone_once)

    async def main():
        app = StartApp([tmp_path], [], None, None)
        async with app.run_test(size=(100, 20)) as pilot:
            Run(tmp_path / "run")
            await until(pilot, lambda: "run" in [one.path.name for one in app.screen._found])

    asyncio.run(main())
