import os
import shutil
import threading

from lipscope.tui.app import InspectApp
from lipscope.tui.work.state import Phase
from lipscope.tui.work.watch import stamp_of, watch
from lipscope.tui.work.worker import Means
from tests.tui.conftest import finished, screen_text, until, write_checkpoint, write_radii
from tests.waiting import wait_until

SOON = 0.02


def watched(model, script) -> InspectApp:
    return InspectApp(model, analyse=Means(script, look_every=SOON))


def replace_file(model, **config) -> None:
    """Another file takes the place of the model in one step, as a training does it."""
    other = write_checkpoint(model.with_name("other.safetensors"), **config)
    other.replace(model)


async def test_a_replaced_file_is_told_and_r_reads_it(model, script):
    app = watched(model, script)
    async with finished(app) as pilot:
        before = app.state.sha256
        replace_file(model, channels=99)
        await until(pilot, lambda: "FILE REPLACED" in screen_text(app))
        assert app.state.sha256 == before
        assert "r reads the new ones" in screen_text(app)
        await pilot.press("r")
        await until(pilot, lambda: app.state.sha256 not in (None, before) and "FILE REPLACED" not in screen_text(app))
        await until(pilot, lambda: "99" in screen_text(app))


async def test_a_file_touched_or_copied_over_itself_is_the_same(model, script):
    app = watched(model, script)
    async with finished(app) as pilot:
        shutil.copy(model, model.with_name("copy"))
        model.with_name("copy").replace(model)
        os.utime(model, (1, 1))
        await pilot.pause(20 * SOON)
        assert app.state.on_disk == "same"
        assert "FILE" not in screen_text(app)


async def test_a_file_changed_in_its_place_with_its_old_time_is_another(model, script):
    app = watched(model, script)
    async with finished(app) as pilot:
        before, content = model.stat(), model.read_bytes()
        with model.open("r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"\0\1\2\3")
        os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (model.stat().st_mtime_ns, model.stat().st_size) == (before.st_mtime_ns, len(content))
        await until(pilot, lambda: "FILE REPLACED" in screen_text(app))


async def test_a_file_that_is_gone_and_back(model, script):
    app = watched(model, script)
    async with finished(app, (60, 20)) as pilot:
        kept = model.read_bytes()
        model.unlink()
        await until(pilot, lambda: "FILE GONE" in screen_text(app))
        model.write_bytes(kept)
        await until(pilot, lambda: "FILE GONE" not in screen_text(app))


async def test_replaced_in_mid_computation(model, script):
    script.hold_at = 5
    app = watched(model, script)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.state.done == 5 and app.state.sha256 is not None)
        replace_file(model, channels=99)
        await until(pilot, lambda: "FILE REPLACED" in screen_text(app))
        script.gate.set()
        await until(pilot, lambda: app.state.phase is Phase.DONE)
        assert app.state.on_disk == "replaced"


async def test_results_that_arrive_later_are_shown_by_themselves(model, script):
    app = watched(model, script)
    async with finished(app) as pilot:
        assert app.state.results.certificates is None
        write_radii(model, n=70)
        await until(pilot, lambda: app.state.results.certificates is not None)
        assert len(app.state.results.certificates) == 70
        await until(pilot, lambda: "certified" in screen_text(app))


async def test_watching_goes_on_after_a_cancel_and_ends_with_the_app(model, script):
    script.hold_at = 5
    app = watched(model, script)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.state.done == 5 and app.state.sha256 is not None)
        await pilot.press("X")
        replace_file(model, channels=99)
        await until(pilot, lambda: "FILE REPLACED" in screen_text(app))
    script.gate.set()
    watchers = app.session._work._watchers
    wait_until(lambda: not any(thread.is_alive() for thread in watchers))


def test_a_stamp_counts_once_it_has_held(tmp_path):
    """A file that is being written grows between two looks: only its last size is news."""
    path = tmp_path / "file"
    path.write_text("a")
    seen, looks = [], iter(["ab", "abc", "abc", None, None, "abcd"])
    before = "a"

    class Clock(threading.Event):
        def wait(self, timeout=None):
            nonlocal before
            text = next(looks, "end")
            if text == "end":
                return True
            if text is None:
                path.unlink(missing_ok=True)
            elif text != before:
                path.write_text(text)
            before = text
            return False

    watch(path, stamp_of(path), seen.append, Clock(), SOON)
    assert [stamp and stamp[1] for stamp in seen] == [3, None]
