import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipscope.errors import CheckpointError
from lipscope.files.run_log import LayerState, Progress, RunLayers, is_run, read_run
from lipscope.records import RunEvent, StepEvent

DESCRIPTION = {"schema": "lipscope.run/1", "config": {"architecture": "lipconvnet"}, "recipe": {"epochs": 9}}


def event(epoch, **changes):
    values = {
        "epoch": epoch, "epochs": 9, "step": 10 * epoch, "loss": 1.5 / epoch, "train_accuracy": 0.5,
        "train_certified": 0.25, "validation_accuracy": None, "validation_certified": None, "learning_rate": 0.1,
        "images_per_second": 100.0, "seconds": 3.0 * epoch,
    }  # fmt: skip
    return RunEvent(**{**values, **changes})


def record(epoch):
    layers = (LayerState("conv", "SOC 3x3", 1.0, "by hand", 0.9), LayerState("head", "LLN", None, "row by row", None))
    return RunLayers(epoch, 10 * epoch, "16 held-out images", layers)


def line(value):
    return json.dumps(value.to_json()) + "\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(DESCRIPTION))
    return tmp_path


def test_what_is_written_is_read(folder):
    (folder / "metrics.jsonl").write_text(line(event(1)) + line(event(2, validation_accuracy=0.5)))
    (folder / "layers.jsonl").write_text(line(record(1)) + line(record(2)))
    report = StepEvent(3, 9, 25, 90, 1.25, 0.5, 0.25, 120.0, 60.0)
    (folder / "progress.json").write_text(json.dumps(Progress("running", report).to_json()))
    log = read_run(folder)
    assert log.epochs == (event(1), event(2, validation_accuracy=0.5))
    assert log.layers == (record(1), record(2))
    assert log.progress == Progress("running", report)
    assert (log.planned, log.finished, log.damage) == (9, False, ())
    assert (log.config, log.recipe) == (DESCRIPTION["config"], DESCRIPTION["recipe"])


def test_a_run_that_has_only_begun(folder):
    log = read_run(folder)
    assert (log.epochs, log.layers, log.progress, log.planned, log.finished) == ((), (), None, 9, False)
    assert is_run(folder)


def test_finished_after_the_last_epoch(folder):
    (folder / "metrics.jsonl").write_text("".join(line(event(epoch)) for epoch in range(1, 10)))
    assert read_run(folder).finished


def test_a_half_written_last_line_is_not_news_yet(folder):
    whole, half = line(event(1)), line(event(2))
    for cut in range(len(half)):
        (folder / "metrics.jsonl").write_text(whole + half[:cut])
        log = read_run(folder)
        assert log.epochs == (event(1),)
        assert log.damage == ()


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("garbage", "not JSON"),
        ("[]", ""),
        ("7", ""),
        ("{}", "without 'schema'"),
        (line(event(2)).replace("run/1", "run/2"), "not of schema lipscope.run/1"),
        (line(event(2)).replace('"loss": 0.75', '"loss": "low"'), "loss is not a number"),
        (line(event(2)).replace('"epoch": 2', '"epoch": true'), "epoch is not a whole number"),
        (line(event(2)).replace('"epoch": 2', '"epoch": -1'), "epoch is not a whole number"),
        (line(event(2)).replace('"step": 20, ', ""), "without 'step'"),
        (line(event(2, seconds=1e300)), "seconds is too large"),
        ("[" * 100_000, ""),
        ("\x00\x01", "not JSON"),
    ],
)
def test_damaged_lines_are_told_and_the_others_count(folder, bad, why):
    (folder / "metrics.jsonl").write_text(line(event(1)) + bad.strip() + "\n" + "{}\n" + line(event(3)))
    log = read_run(folder)
    assert [found.epoch for found in log.epochs] == [1, 3]
    (damage,) = log.damage
    assert (damage.file, damage.line, damage.count) == ("metrics.jsonl", 2, 2)
    assert str(damage).startswith(f"metrics.jsonl line 2 and 1 more: {why}")


def test_a_file_that_is_not_text(folder):
    (folder / "metrics.jsonl").write_bytes(b"\xff\xfe\n" + line(event(1)).encode())
    (folder / "layers.jsonl").write_bytes(bytes(10))
    log = read_run(folder)
    assert log.epochs == (event(1),)
    assert [damage.file for damage in log.damage] == ["metrics.jsonl"]


def test_the_later_line_of_an_epoch_counts(folder):
    """As when a run without its state was resumed: it begins again behind the lines that are there."""
    again = event(1, loss=7.0)
    (folder / "metrics.jsonl").write_text(line(event(1)) + line(event(2)) + line(again))
    assert read_run(folder).epochs == (again, event(2))


def test_the_newest_file_dates_the_run(folder):
    (folder / "metrics.jsonl").write_text(line(event(1)))
    os.utime(folder / "run.json", (1000, 1000))
    os.utime(folder / "metrics.jsonl", (2000, 2000))
    assert read_run(folder).written == 2000


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": "lipscope.run/2"}', "[" * 100_000])
def test_a_damaged_description(folder, content):
    (folder / "run.json").write_text(content)
    with pytest.raises(CheckpointError) as caught:
        read_run(folder)
    assert caught.value.where == str(folder / "run.json")


def test_no_run(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        assert not is_run(path)
        with pytest.raises(CheckpointError, match="no run is here"):
            read_run(path)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_make_it_fail(tmp_path_factory, metrics, layers, progress):
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.json").write_text(json.dumps(DESCRIPTION))
    for name, content in (("metrics.jsonl", metrics), ("layers.jsonl", layers), ("progress.json", progress)):
        (folder / name).write_bytes(content + b"\n")
    assert read_run(folder).epochs == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(record(1).to_json())), json_values)
def test_no_value_in_a_line_makes_it_fail(tmp_path_factory, key, value):
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.json").write_text(json.dumps(DESCRIPTION))
    (folder / "layers.jsonl").write_text(json.dumps({**record(1).to_json(), key: value}) + "\n")
    log = read_run(folder)
    assert len(log.layers) + sum(damage.count for damage in log.damage) == 1


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "layers.jsonl", "progress.json"])
def test_a_pipe_among_the_files_holds_nobody_up(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    if name == "run.json":
        with pytest.raises(CheckpointError, match="no run is here"):
            read_run(folder)
    else:
        assert read_run(folder).epochs == ()
