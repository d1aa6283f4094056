from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest
import torch

from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.records import RunEvent
from lipscope.train.recipe import fast, paper
from lipscope.train.run import create_run, open_run
from tests.conftest import TINY
from tests.full_disk import full_disk

CPU = torch.device("cpu")


def event(epoch):
    return RunEvent(epoch, 9, 10 * epoch, 1.5, 0.5, 0.25, None, None, 0.1, 100.0, 3.0)


def test_what_is_created_is_opened(tmp_path):
    recipe = replace(paper(), seed=5, holdout=17)
    made = create_run(tmp_path / "a" / "b", TINY, recipe)
    assert made == open_run(tmp_path / "a" / "b")
    assert (made.config, made.recipe) == (TINY, recipe)
    assert json.loads((made.path / "run.json").read_text())["schema"] == "lipscope.run/1"
    assert made.load_state(CPU) is None


def test_an_earlier_run_is_not_overwritten(new_run):
    run = new_run()
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(UsageError) as caught:
        create_run(run.path, TINY, paper())
    assert f"--resume {run.path}" in caught.value.next_step
    assert (run.path / "run.json").read_bytes() == before


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_where_the_folder_should_be(tmp_path, inside):
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    with pytest.raises(LipscopeError, match="cannot make the run folder") as caught:
        create_run(blocked / "run" if inside else blocked, TINY, fast())
    assert caught.value.exit_code == 1
    assert blocked.read_text() == "mine"


DESCRIPTION = {"schema": "lipscope.run/1", "config": TINY.to_json(), "recipe": fast().to_json()}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        json.dumps({**DESCRIPTION, "schema": "lipscope.run/2"}),
        json.dumps({"schema": "lipscope.run/1"}),
        json.dumps({**DESCRIPTION, "config": []}),
        json.dumps({**DESCRIPTION, "config": {**TINY.to_json(), "channels": 3}}),
        json.dumps({**DESCRIPTION, "config": {**TINY.to_json(), "unheard": 3}}),
        json.dumps({**DESCRIPTION, "recipe": {}}),
        json.dumps({**DESCRIPTION, "recipe": {**fast().to_json(), "epochs": "many"}}),
        json.dumps({**DESCRIPTION, "recipe": {**fast().to_json(), "warmup": 1}}),
    ],
)
def test_damaged_descriptions(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(CheckpointError) as caught:
        open_run(tmp_path)
    assert str(tmp_path / "run.json") in caught.value.where


def test_no_run_to_open(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CheckpointError, match="no run to resume"):
            open_run(path)
    (tmp_path / "run.json").mkdir()
    with pytest.raises(CheckpointError, match="no run to resume"):
        open_run(tmp_path)


def test_the_state_comes_back(new_run):
    run = new_run()
    state = {"step": 3, "net": {"weight": torch.arange(6.0).reshape(2, 3)}, "best": float("-inf")}
    run.save_state(state)
    loaded = run.load_state(CPU)
    assert loaded["step"] == 3
    assert loaded["best"] == float("-inf")
    assert torch.equal(loaded["net"]["weight"], state["net"]["weight"])
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []


def damaged(run, content):
    run.state.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        run.load_state(CPU)
    assert caught.value.where == str(run.state)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_states(new_run):
    run = new_run()
    run.save_state({"step": 3, "weight": torch.zeros(1000)})
    whole = run.state.read_bytes()
    for content in (b"", b"garbage", whole[:100], whole[:-1], whole[: len(whole) // 2], bytes(len(whole))):
        damaged(run, content)
    torch.save([1, 2], run.state)
    damaged(run, run.state.read_bytes())


class Trap:
    """Pickled code that would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_no_pickled_code_runs(new_run, tmp_path, zipped):
    run, sprung = new_run(), tmp_path / "sprung"
    if zipped:
        torch.save({"step": Trap(sprung)}, run.state)
        content = run.state.read_bytes()
    else:
        content = pickle.dumps({"step": Trap(sprung)}, protocol=2)
    assert "weights_only" not in damaged(run, content)  # no advice to let it run
    assert not sprung.exists()


def test_lines_are_appended_and_forgotten(new_run):
    run = new_run()
    run.forget_after(0)
    assert not run.metrics.exists()
    for epoch in (1, 2, 3):
        run.append(event(epoch))
    run.forget_after(3)
    assert [json.loads(line) for line in run.metrics.read_text().splitlines()] == [
        event(k).to_json() for k in (1, 2, 3)
    ]
    with run.metrics.open("a") as file:
        file.write('{"epoch": 1')
    run.forget_after(1)
    assert run.metrics.read_text() == json.dumps(event(1).to_json()) + "\n"


@pytest.mark.parametrize("line", ["nonsense\n", "{}\n", "[3]\n", '{"epoch": "one"}\n', "\n"])
def test_damaged_metrics_are_kept_and_named(new_run, line):
    run = new_run()
    run.append(event(1))
    with run.metrics.open("a") as file:
        file.write(line)
    before = run.metrics.read_text()
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: damaged"):
        run.forget_after(1)
    assert run.metrics.read_text() == before


def test_a_full_disk_is_named_and_the_old_state_stays(new_run):
    run = new_run()
    run.save_state({"step": 1})
    before = run.state.read_bytes()
    with full_disk(), pytest.raises(LipscopeError, match="cannot be written") as caught:
        run.save_state({"step": 2, "weight": torch.zeros(100_000)})
    assert caught.value.exit_code == 1
    assert caught.value.where == str(run.state)
    assert run.state.read_bytes() == before
    assert {path.name for path in run.path.iterdir()} == {"run.json", "state.pt"}


def test_a_full_disk_under_the_metrics(new_run):
    run = new_run()
    run.append(event(1))
    with run.metrics.open("a") as file:
        file.write(" " * 20_000)
    with full_disk(), pytest.raises(LipscopeError, match=r"metrics\.jsonl: cannot be written"):
        run.append(event(2))
