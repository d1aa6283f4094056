import json
import threading
import time
from itertools import pairwise

import pytest

from lipscope.errors import CheckpointError
from lipscope.files.run_log import patience, read_run, standing_of
from lipscope.tui.work.run_watch import Child, RunWatch
from tests.tui.runs import EPOCHS, Run
from tests.waiting import wait_until


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


def standing(run, later=0.0):
    log = read_run(run.path)
    return standing_of(log, log.written + later)


def test_where_a_training_stands(run):
    assert standing(run) == "not started"
    run.tell("running", 1, 5)
    assert standing(run) == "running"
    assert standing(run, 119) == "running"
    assert standing(run, 121) == "stalled"
    run.train(1, 2)
    run.tell("stopped", 3, 20)
    assert standing(run, 1e6) == "stopped"
    run.tell("failed", 3, 20)
    assert standing(run) == "failed"
    run.train(3, EPOCHS)
    assert standing(run, 1e6) == "finished"


def test_patience_is_as_long_as_an_epoch(run):
    line = json.dumps({**run.event(1).to_json(), "seconds": 3000.0}) + "\n"
    run.write("metrics.jsonl", line)
    assert patience(read_run(run.path)) == 9000  # a run that writes no progress has news once an epoch
    run.tell("running", 2, 5)
    assert patience(read_run(run.path)) == 3000


def look(run, later=0.0, child=None):
    log = read_run(run.path)
    return RunWatch(run.path, lambda view: None, now=lambda: log.written + later, child=child).look()


def test_silence_is_told_where_it_matters_to_the_minute(run):
    run.tell("running", 1, 5)
    assert look(run, 59).silent == 0
    assert look(run, 754).silent == 720
    assert look(run, 754).standing == "stalled"


def test_a_child_knows_best_whether_it_runs(run):
    run.train(1, 2)
    run.tell("stopped", 3, 20)
    for code, expected in ((None, "running"), (130, "stopped"), (1, "failed")):
        child = Child(lambda: ("lipscope: hello",), lambda code=code: code)
        view = look(run, child=child)
        assert (view.standing, view.said) == (expected, ("lipscope: hello",))


def test_it_reads_only_what_has_changed(run, monkeypatch):
    reads = []
    monkeypatch.setattr("lipscope.tui.work.run_watch.read_run", lambda path: reads.append(path) or read_run(path))
    watch = RunWatch(run.path, lambda view: None)
    first = watch.look()
    assert watch.look() == first
    assert len(reads) == 1
    run.train(1, 1)
    assert len(watch.look().log.epochs) == 1
    assert len(reads) == 2


def test_a_run_that_vanishes_is_still_shown(run):
    watch = RunWatch(run.path, lambda view: None)
    run.train(1, 1)
    before = watch.look()
    (run.path / "run.json").unlink()
    view = watch.look()
    assert view.log == before.log
    assert isinstance(view.error, CheckpointError)


def test_the_thread_tells_changes_and_ends(run):
    told = []
    watch = RunWatch(run.path, told.append, look_every=0.005)
    assert watch._thread.ident is None
    watch.start()
    for epoch in range(1, 4):
        run.train(epoch, epoch)
        wait_until(lambda epoch=epoch: told and told[-1].log is not None and len(told[-1].log.layers) >= epoch)
    watch.close()
    wait_until(lambda: not any(thread.name == "lipscope-run" for thread in threading.enumerate()))
    assert all(one != other for one, other in pairwise(told))  # nothing is told twice
    count = len(told)
    run.train(4, 4)
    time.sleep(0.05)
    assert len(told) == count
