import json
import shutil

import pytest

from lipscope.cli import run as lipscope
from lipscope.files.run_log import read_run
from tests.tui.runs import EPOCHS, LAYERS, Run

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


def report(capsys, *arguments) -> dict:
    assert lipscope(["inspect", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_the_facts_of_a_run_before_there_is_a_model(run, capsys):
    run.train(1, 3)
    run.tell("running", 4, 25)
    found = report(capsys, run.path)
    assert found["schema"] == "lipscope.run-report/1"
    assert found["inspect"] is None
    facts = found["run"]
    assert (facts["path"], facts["standing"]) == (str(run.path), "running")
    assert (facts["epochs_done"], facts["epochs"], facts["best_epoch"]) == (3, EPOCHS, 3)
    assert facts["seconds_left"] == 425.0
    assert facts["metrics"] == [run.event(epoch).to_json() for epoch in (1, 2, 3)]
    bounds = [layer["bound"] for line in facts["layers"] for layer in line["layers"]]
    assert [bound["value"] for bound in bounds] == [layer.bound for n in (1, 2, 3) for layer in run.layers(n).layers]
    assert {(bound["proved"], bound["label"]) for bound in bounds} == {(False, "claimed by the log, not proved here")}
    assert facts["progress"]["report"]["step"] == 325
    assert "estimate" in facts["labels"]["train_certified"]
    assert facts["damage"] == []


def test_beside_those_of_its_model(run, capsys, tiny_model):
    shutil.copy(tiny_model, run.path / "model.safetensors")
    run.train(1, EPOCHS)
    found = report(capsys, run.path)
    assert (found["schema"], found["run"]["standing"]) == ("lipscope.run-report/1", "finished")
    assert found["run"]["seconds_left"] is None
    alone = report(capsys, run.path / "model.safetensors")
    assert alone["schema"] == "lipscope.inspect/1"
    assert found["inspect"]["model"] == alone["model"]
    assert found["inspect"]["verdict"] == alone["verdict"]
    assert found["inspect"].keys() == alone.keys()


def test_in_words(run, capsys, tiny_model):
    run.train(1, 2)
    run.append("metrics.jsonl", "\x1b[31mgarbage\n")
    assert lipscope(["inspect", str(run.path)]) == 0
    text = capsys.readouterr().out
    assert f"run      {run.path}: RUNNING, epoch 2 of {EPOCHS} done, step 200" in text
    assert "epoch 2: loss 1.7678; training images: clean 45.00%, certified at 36/255 30.00%; held out: clean" in text
    assert "(estimates, by the log)" in text
    assert "logged bound, epoch 1" in text
    assert "claimed by the log, not proved here" in text
    assert "proved bound" not in text
    assert "est. grad, epoch 1" in text
    assert text.count("stage") == len(LAYERS) - 2
    assert "not proved" in text
    assert "DAMAGED  metrics.jsonl line 3: not JSON" in text
    assert "none yet: the first epoch of the training writes it" in text
    assert "\x1b" not in text
    shutil.copy(tiny_model, run.path / "model.safetensors")
    assert lipscope(["inspect", str(run.path)]) == 0
    assert "verdict  PROVED" in capsys.readouterr().out


def test_a_loss_that_is_no_number_is_null(run, capsys):
    run.append("metrics.jsonl", json.dumps({**run.event(1).to_json(), "loss": float("inf")}) + "\n")
    assert read_run(run.path).epochs[0].loss == float("inf")
    assert report(capsys, run.path)["run"]["metrics"][0]["loss"] is None


def test_the_best_epoch_is_the_first_of_the_best_on_held_out_images(run, capsys):
    for epoch, certified in enumerate((0.1, 0.4, 0.4, 0.2), 1):
        run.append(
            "metrics.jsonl", json.dumps({**run.event(epoch).to_json(), "validation_certified": certified}) + "\n"
        )
    assert report(capsys, run.path)["run"]["best_epoch"] == 2


def test_a_check_needs_a_model(run, capsys):
    assert lipscope(["inspect", str(run.path), "--check"]) == 4
    assert "no such file" in capsys.readouterr().err


def test_a_damaged_description_and_a_folder_that_is_no_run(run, capsys, tmp_path):
    run.write("run.json", "{}")
    assert lipscope(["inspect", str(run.path)]) == 4
    assert "run.json: a run of another version" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert lipscope(["inspect", str(tmp_path / "empty")]) == 4
    assert "folder" in capsys.readouterr().err


def test_the_screen_is_drawn_also_before_there_is_a_model(run, capsys, tmp_path):
    run.train(1, 3)
    target = tmp_path / "out.svg"
    assert lipscope(["inspect", str(run.path), "--screen", "training", "--screenshot", str(target)]) == 0
    assert "epoch&#160;3&#160;of&#160;8&#160;done" in target.read_text()
    capsys.readouterr()
