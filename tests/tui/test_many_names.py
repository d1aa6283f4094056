"""100,000 names, in one file and in shards: keys are answered while the tensors are read, and `q` ends it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.many_names import write_names
from lipscope.commands.app import means_for
from lipscope.files.checkpoint import header as headers
from lipscope.files.checkpoint import read_header
from lipscope.tui.app import InspectApp
from lipscope.tui.widgets.long_list import LongList
from tests.tui.conftest import screen_text, until

NAMES = 100_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 1], ids=["single", "sharded"])
async def test_the_keys_of_a_file_of_100_000_names(tmp_path: Path, kind: int) -> None:
    app = InspectApp(write_names(tmp_path, NAMES)[kind], analyse=means_for(None, None, no_keep=True))
    async with app.run_test(size=(120, 36)) as pilot:

        async def press(key: str, shows: str) -> float:
            """Seconds of this thread's processor until it is seen; other threads and programs do not count."""
            started = time.thread_time()
            await pilot.press(key)
            await until(pilot, lambda: shows in screen_text(app))
            return time.thread_time() - started

        assert await press("2", "bound ≤") < 6  # with all screens, and whatever else comes first
        await until(pilot, lambda: len(app.state.layers) == NAMES)
        assert app.state.phase.active
        # Runs of like rows are one line of the list; how many tensors there are stands above it.
        await until(pilot, lambda: f"{NAMES:,} tensors" in screen_text(app))
        for key, shows in (("1", "IS IT"), ("2", "bound ≤")):
            assert await press(key, shows) < 3, key
        # In the order of the names the last line stays the last; sorted, it moves as more becomes known.
        rows = app.query_one("#layers-list", LongList)
        started = time.thread_time()
        await pilot.press("G")
        await until(pilot, lambda: rows.place == rows.count - 1)
        assert time.thread_time() - started < 3
        assert await press("s", "largest first") < 3
        started = time.thread_time()
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
        assert time.thread_time() - started < 3


def test_no_header_is_parsed_again_for_a_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lipscope.analysis.tensors import analyse_tensor

    for path in write_names(tmp_path, 16):
        header = read_header(path)
        monkeypatch.setattr(headers, "_entries", lambda *_: pytest.fail("it is parsed again"))
        for info in header.tensors:
            assert analyse_tensor(header, info).bound.value == pytest.approx(1)
        monkeypatch.undo()
