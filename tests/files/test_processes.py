from __future__ import annotations

import platform
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from lipscope.files.processes import Process, has_ended, this_process
from lipscope.files.run_log import Progress, RunLog, standing_of


def test_a_process_is_known_to_be_gone_as_soon_as_it_is() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        there = replace(this_process(), number=child.pid, began=0)
        assert not has_ended(there)
        child.kill()
    assert has_ended(there)


@pytest.mark.skipif(not this_process().began, reason="no /proc here")
def test_a_number_that_was_given_again_is_another_process() -> None:
    me = this_process()
    assert has_ended(replace(me, began=me.began + 1))
    assert not has_ended(replace(me, began=0))


def test_of_other_machines_nothing_is_known() -> None:
    assert not has_ended(Process(2**31 - 2, f"not-{platform.node()}", 1))


@pytest.mark.parametrize("values", [{}, {"number": 0, "host": "a", "began": 0}, {"number": 1, "host": 2, "began": 0}])
def test_what_is_no_process(values: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError)):
        Process.from_json(values)


def test_a_killed_training_is_said_to_be_killed_at_once(tmp_path) -> None:
    me = this_process()
    assert Process.from_json(me.to_json()) == me
    log = RunLog(tmp_path, {}, {}, progress=Progress("running", None, me), written=time.time())
    assert standing_of(log, time.time()) == "running"
    gone = replace(log, progress=Progress("running", None, replace(me, number=2**31 - 2)))
    assert standing_of(gone, time.time()) == "killed"
    stopped = replace(log, progress=Progress("stopped", None, replace(me, number=2**31 - 2)))
    assert standing_of(stopped, time.time()) == "stopped"
