import pytest

from lipscope.files.checkpoint import Header
from lipscope.tui.app import InspectApp
from lipscope.tui.plots.bars import bar
from lipscope.tui.widgets.progress import Pace, ProgressLine
from lipscope.tui.work.state import Phase, State
from tests.tui.conftest import finished, screen_text, until


@pytest.mark.parametrize(
    ("done", "total", "drawn"),
    [(0, 8, ""), (1, 64, "▏"), (4, 8, "████"), (8, 8, "████████"), (9, 8, "████████")],
)
def test_bar(done, total, drawn):
    assert bar(done / total, 8) == drawn


def state(tmp_path, done: int, doing: str) -> State:
    return State(Header(tmp_path, 0, ()), Phase.RUNNING, done=done, total=10, doing=doing)


def test_the_time_left_is_that_of_steps_of_the_same_kind(tmp_path):
    now = 0.0
    pace = Pace(lambda: now)
    pace.take(state(tmp_path, 0, "bound of a"))
    assert pace.left(10) is None
    now = 1.0
    pace.take(state(tmp_path, 5, "singular values of a"))  # the bounds were fast: they say nothing of these
    assert pace.left(10) is None
    now = 21.0
    pace.take(state(tmp_path, 6, "singular values of b"))
    assert pace.left(10) == 80.0
    now = 31.0
    assert pace.left(10) == 70.0
    assert pace.share(10) == pytest.approx(0.65)
    pace.take(state(tmp_path, 0, "bound of a"))  # started again
    assert pace.left(10) is None


async def test_the_line_says_how_long_it_may_take(model, script):
    script.hold_at = 20
    app = InspectApp(model, analyse=script)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: " 20/25 " in screen_text(app))
        line = app.query_one(ProgressLine)
        began = line._pace._step_at
        line._pace._clock = lambda: began + 30.0
        line._pace._kind_at, line._pace._kind_done = began - 60.0, 5
        line.refresh()
        await until(pilot, lambda: " left" in screen_text(app))
        script.gate.set()


async def test_when_it_is_over_there_is_no_bar(model, script):
    app = InspectApp(model, analyse=script)
    async with finished(app):
        assert " left" not in screen_text(app).split("\n")[-2]
