from __future__ import annotations

import io
import json
import os
import pickle
import random
from dataclasses import replace

import pytest
import torch

from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.files.locks import BusyError
from lipscope.models.resnet import ResNetConfig
from lipscope.records import RunEvent
from lipscope.training.recipe import fast, paper
from lipscope.training.run import create_run, open_run
from lipscope.training.state import sealed
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


def test_a_run_that_is_refused_by_now_is_no_matter_of_options(tmp_path):
    run = create_run(tmp_path / "run", ResNetConfig(18, 2), replace(fast(), gamma=0.0))
    file = run.path / "run.json"
    content = json.loads(file.read_text())
    content["recipe"]["gamma"] = 0.1
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="cannot be trained on") as caught:
        open_run(run.path)
    assert caught.value.where == str(file)
    assert caught.value.next_step == "start a new run"


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
    for content in (
        b"",
        b"garbage",
        whole[:100],
        whole[:-1],
        whole[: len(whole) // 2],
        bytes(len(whole)),
        whole + b"x",
    ):
        damaged(run, content)
    for line in (b"[]", b"7", b"{}", b"[" * 100_000, b'{"schema": "lipscope.state/2"}', b"\xff"):
        damaged(run, line + whole[whole.index(b"\n") :])
    content = io.BytesIO()
    torch.save([1, 2], content)
    assert "holds a list" in damaged(run, sealed(content.getvalue(), (run.path / "run.json").read_bytes()))


def test_no_flipped_bit_of_a_state_is_continued(new_run):
    """Without a digest 289 of 600 such states were loaded, with other weights or counters."""
    run = new_run()
    run.save_state({"step": 3, "best": 0.5, "net": {"weight": torch.randn(200, generator=torch.Generator())}})
    whole = run.state.read_bytes()
    chance = random.Random(600)
    for _ in range(600):
        content = bytearray(whole)
        content[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        damaged(run, bytes(content))


def test_a_stray_state_is_not_continued(new_run):
    run, other = new_run(), new_run("other", seed=1)
    other.save_state({"step": 3})
    assert "another run" in damaged(run, other.state.read_bytes())
    other.state.rename(run.state)
    run.prepare(force=True)
    with pytest.raises(CheckpointError, match="another run"):
        run.load_state(CPU)


def test_a_state_without_a_digest_is_continued_only_when_asked_to(new_run):
    run = new_run()
    torch.save({"step": 3}, run.state)
    run.prepare(force=False)
    with pytest.raises(CheckpointError, match="an earlier version") as caught:
        run.load_state(CPU)
    assert f"lipscope train --resume {run.path} --force" in caught.value.next_step
    run.prepare(force=True)
    assert run.load_state(CPU) == {"step": 3}
    run.prepare(force=False)
    assert run.load_state(CPU) == {"step": 3}


def test_a_model_that_no_state_belongs_to_is_not_trained_over(new_run):
    run = new_run()
    run.model.write_text("precious")
    with pytest.raises(UsageError, match="there is a model already"):
        run.prepare(force=False)
    run.prepare(force=True)
    run.save_state({"step": 3})
    run.prepare(force=False)


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "metrics.jsonl", "layers.jsonl"])
def test_what_another_training_left_is_not_taken_over(tmp_path, name):
    (tmp_path / name).write_text("precious")
    (tmp_path / "progress.json").write_text("of the other")
    with pytest.raises(UsageError, match=f"{name} is there already"):
        create_run(tmp_path, TINY, fast())
    assert (tmp_path / name).read_text() == "precious"
    create_run(tmp_path, TINY, fast(), force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_is_trained_in_by_one_process(new_run):
    run = new_run()
    with run.held():
        with pytest.raises(BusyError, match="another process is training it"), run.held():
            pytest.fail("twice")
        with pytest.raises(BusyError):
            create_run(run.path, TINY, fast(), force=True)
    with run.held():
        pass


def test_what_a_line_is_added_to_is_a_file(new_run):
    run = new_run()
    precious = run.path / "precious"
    precious.write_text("precious")
    run.metrics.symlink_to("precious")
    os.mkfifo(run.layers)
    with pytest.raises(LipscopeError, match="symbolic link"):
        run.append(event(1))
    assert precious.read_text() == "precious"
    with pytest.raises(CheckpointError, match="symbolic link"):
        run.forget_after(0)
    run.metrics.unlink()
    with pytest.raises(CheckpointError, match="a pipe"):
        run.forget_after(0)


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
        written = io.BytesIO()
        torch.save({"step": Trap(sprung)}, written)
        content = written.getvalue()
    else:
        content = pickle.dumps({"step": Trap(sprung)}, protocol=2)
    content = sealed(content, (run.path / "run.json").read_bytes())
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
