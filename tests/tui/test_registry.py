import re
import subprocess
import sys

import pytest
from textual.widgets import TabbedContent, TabPane

from lipscope.tui.app import InspectApp
from lipscope.tui.keys.bindings import BINDINGS
from lipscope.tui.panes import Pane
from lipscope.tui.registry import SCREENS, ScreenEntry, entry
from tests.tui.conftest import finished
from tests.waiting import GENEROUS


def test_keys_and_ids_are_unique_and_every_word_is_there():
    assert len({screen.key for screen in SCREENS}) == len({screen.id for screen in SCREENS}) == len(SCREENS)
    for screen in SCREENS:
        assert re.fullmatch(r"[1-9]", screen.key)
        assert screen.title
        assert screen.tooltip
        assert screen.needs
    assert [screen.key for screen in SCREENS] == sorted(screen.key for screen in SCREENS)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.id)
def test_every_screen_names_its_pane(screen: ScreenEntry):
    assert issubclass(screen.load(), Pane)


def test_an_unknown_screen_is_a_key_error():
    with pytest.raises(KeyError):
        entry("nowhere")


def test_the_table_of_screens_imports_no_pane():
    code = "import sys; import lipscope.tui.registry; print(*[m for m in sys.modules if '.pane' in m or m == 'numpy'])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=GENEROUS, check=True)
    assert answer.stdout.split() == []


async def test_every_screen_has_its_tab_its_number_key_and_its_line_in_the_palette(model, script):
    assert {f"show.{screen.id}" for screen in SCREENS} <= {binding.id for binding in BINDINGS["Everywhere"]}
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        commands = {command.title for command in app.get_system_commands(app.screen)}
        for screen in reversed(SCREENS):
            await pilot.press(screen.key)
            await pilot.pause()
            assert app.query_one(TabbedContent).active == screen.id
            assert isinstance(app.query_one(f"#{screen.id}", TabPane).children[0], screen.load())
            assert screen.title in commands
