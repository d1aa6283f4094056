import pytest
from hypothesis import strategies as st

from lipscope.tui.app import InspectApp
from lipscope.tui.dialogs.help import HelpScreen
from lipscope.tui.keys.footer import GAP, IMPORTANT, Hint, KeysLine, fitting
from tests.always import always
from tests.tui.conftest import finished, screen_text, until

NAMES = [*IMPORTANT, "export", "palette", "analysis.reload", "a", "b", "c"]


def a_hint(name: str) -> st.SearchStrategy[Hint]:
    return st.text("w", min_size=1, max_size=9).map(lambda words: Hint(name, ((name[0], "k"),), words))


HINTS = st.lists(st.sampled_from(NAMES), unique=True).flatmap(lambda names: st.tuples(*map(a_hint, names)))


@always(hints=HINTS, width=st.integers(0, 120))
def test_what_fits_is_in_order_and_the_important_ones_go_last(hints, width):
    kept = fitting(list(hints), width)
    assert kept == [hint for hint in hints if hint in kept]
    total = sum(hint.width + GAP for hint in kept) - GAP
    assert total <= width or not kept
    if any(hint.id in IMPORTANT for hint in set(hints) - set(kept)):
        assert all(hint.id in IMPORTANT for hint in kept)


async def test_a_click_presses_the_key(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app) as pilot:
        line = screen_text(app).split("\n")[-1]
        await pilot.click(KeysLine, offset=(line.index("? Help") + 3, 0))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_quit_and_help_are_always_there(model, script, width):
    script.hold_at = 3
    app = InspectApp(model, analyse=script)
    async with app.run_test(size=(width, 24)) as pilot:
        await until(pilot, lambda: app.state.done == 3)
        for key in "1234":
            await pilot.press(key)
            await pilot.pause()
            line = screen_text(app).split("\n")[-1]
            assert all(word in line for word in ("X Cancel", "? Help", "q Quit")), line
