from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import lipscope.data
from lipscope.cli import run
from lipscope.commands.train import stop_on_interrupt
from lipscope.files.checkpoint import read_header
from lipscope.files.run_log import read_run, standing_of
from lipscope.layers.activations import ACTIVATIONS
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.training import budget
from lipscope.training.run import open_run
from tests.commands.training import FEW, SHORT, metrics, train
from tests.training.test_processes import WATCHED

pytestmark = pytest.mark.usefixtures("no_data")


def without_clocks(folder: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in metrics(folder)]


def test_a_run_from_the_command_line(tmp_path, capsys, monkeypatch):
    loaded = []
    real = lipscope.data.load
    monkeypatch.setattr(lipscope.data, "load", lambda *a, **k: loaded.append(a[:2]) or real(*a, **k))
    out = tmp_path / "run"
    assert train(*SHORT, *FEW, "--epochs", 2, "--out", out, "--seed", 3, "--lr", 0.05, "--gamma", 0.3) == 0
    # The test set is never looked at.
    assert loaded == [("synthetic", "train")]
    stdout, stderr = capsys.readouterr()
    assert stdout == f"{out / 'model.safetensors'}\n"
    assert "recipe fast, because this is a CPU" in stderr
    assert "LipConvnet-5 (2 channels, SOC, MaxMin, LLN) on synthetic (5,000 images" in stderr
    line = r"^lipscope: epoch \d/2: loss .*certified@36/255.* of held-out ones; "
    assert len(re.findall(line, stderr, re.MULTILINE)) == 2
    assert "lipscope certify" in stderr
    training = read_header(out / "model.safetensors").training
    recipe = training["recipe"]
    assert (recipe["seed"], recipe["learning_rate"], recipe["gamma"], recipe["holdout"]) == (3, 0.05, 0.3, 4200)
    assert (recipe["bfloat16"], recipe["batch_size"], recipe["epochs"]) == (False, 100, 2)
    told = {"run.json", "metrics.jsonl", "layers.jsonl", "progress.json"}
    assert {path.name for path in out.iterdir()} == {*told, "state.pt", "model.safetensors"}


@pytest.mark.usefixtures("small")
def test_a_finished_run_resumes_to_nothing_and_a_second_one_is_refused(tmp_path, capsys):
    out = tmp_path / "run"
    assert train(*SHORT, "--epochs", 1, "--out", out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    for _ in range(2):
        assert train("--resume", out) == 0
        assert capsys.readouterr().out == f"{out / 'model.safetensors'}\n"
    assert train(*SHORT, "--epochs", 1, "--out", out) == 2
    assert f"lipscope train --resume {out}" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.usefixtures("small")
def test_the_run_folder_has_a_name_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train(*SHORT, "--epochs", 1, "--activation", "hh1", "--recipe", "offset") == 0
    stdout = capsys.readouterr().out.strip()
    assert re.fullmatch(r"runs/synthetic-soc2-hh1-offset-\d{8}-\d{6}/model\.safetensors", stdout)
    assert (tmp_path / stdout).exists()


def test_a_shiftnet_is_trained_along_the_manifold_and_certified(tmp_path, capsys):
    out = tmp_path / "run"
    options = ("--dataset", "synthetic", "--model", "shiftnet", "--stages", "8x2,16x1", "--stem", 4)
    assert train(*options, *FEW, "--batch", 100, "--epochs", 2, "--out", out) == 0
    description = json.loads((out / "run.json").read_text())
    assert description["recipe"]["optimizer"] == "manifold"
    assert (description["config"]["widths"], description["config"]["blocks"]) == ([8, 16], [2, 1])
    first, last = metrics(out)
    assert last["loss"] < first["loss"]
    assert run(["certify", str(out / "model.safetensors"), "--limit", "100", "--sound"]) == 0
    assert "certified @ 36/255" in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_a_training_by_the_clock_is_extended(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lipscope.training.loop.Stopwatch.seconds", lambda self: float(self._counters.step))
    first, longer = tmp_path / "first", tmp_path / "longer"
    options = ("--dataset", "synthetic", "--model", "shiftnet", "--stages", "8x2,16x1", "--stem", 4, "--batch", 100)
    assert train(*options, "--minutes", 0.1, "--out", first) == 0
    assert "0.1 minutes" in capsys.readouterr().err
    assert train("--extend", first, "--minutes", 0.2, "--out", longer) == 0
    assert metrics(longer)[-1]["step"] > metrics(first)[-1]["step"]
    for arguments, said in (
        (("--extend", first, "--out", tmp_path / "other"), "--extend needs --minutes"),
        (("--extend", first, "--minutes", 1, "--lr", 1), "--lr cannot change a run"),
        (("--extend", first, "--minutes", 1, "--out", longer), "a run is there already"),
    ):
        assert train(*arguments) == 2
        assert said in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_by_the_clock_a_net_is_chosen_and_what_to_expect_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(budget, "MEASURED_SECONDS", 0.01)
    assert train("--dataset", "cifar10", "--minutes", 0.01, "--batch", 50, "--out", tmp_path / "run") == 0
    said = capsys.readouterr().err
    assert "chosen for 0.01 minutes at" in said
    assert "certified at 36/255" in said
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (description["config"]["architecture"], description["recipe"]["minutes"]) == ("shiftnet", 0.01)
    assert description["config"]["widths"] == list(budget.SETTINGS["cifar10"][0].config.widths)
    assert train("--dataset", "synthetic", "--minutes", 0.01, "--batch", 50, "--out", tmp_path / "other") == 0
    assert "nothing was measured on synthetic" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_bare_on_a_cpu_it_trains_for_half_an_hour(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(budget, "MEASURED_SECONDS", 0.01)
    recipes = []
    monkeypatch.setattr("lipscope.training.loop.train", lambda run, *_, **__: recipes.append(run.recipe) or True)
    monkeypatch.chdir(tmp_path)
    assert train("--device", "cpu") == 0
    assert [(recipe.name, recipe.minutes) for recipe in recipes] == [("manifold", 30.0)]
    assert "chosen for 30 minutes" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_a_target_says_how_long_and_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(budget, "MEASURED_SECONDS", 0.01)
    monkeypatch.chdir(tmp_path)
    reached = budget.SETTINGS["cifar10"][-1].certified
    assert train("--target", f"{reached}@36/255") == 0
    stdout = capsys.readouterr().out
    minutes = re.search(r"about (\d+) minutes here, `lipscope train --dataset cifar10 --minutes \1`", stdout)
    assert minutes is not None
    assert not (tmp_path / "runs").exists()
    for options, said in (
        (("--target", "0.99@36/255"), "no setting is known to reach 99.0%"),
        (("--target", "0.2@72/255"), "settings are measured at 36/255 alone"),
        (("--target", "0.2", "--dataset", "synthetic"), "nothing was measured on this data set"),
        (("--target", "0.2", "--stages", "8x1"), "not of another stages"),
        (("--target", "0.2", "--recipe", "fast"), "not of another recipe"),
        (("--target", "0.2", "--temperature", "2"), "not of another temperature"),
    ):
        assert train(*options) == 2
        assert said in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_a_loss_comes_with_the_settings_of_its_paper(tmp_path, capsys):
    for name, options, expected in (
        ("annealed", (), (2.0, 0.75)),
        ("told", ("--offset", 0.5, "--temperature", 3), (0.5, 3.0)),
    ):
        out = tmp_path / name
        assert train(*SHORT, "--epochs", 1, "--loss", "logit-annealing", *options, "--out", out) == 0
        recipe = json.loads((out / "run.json").read_text())["recipe"]
        assert (recipe["loss"], recipe["offset"], recipe["temperature"]) == ("logit-annealing", *expected)
    capsys.readouterr()


@pytest.mark.usefixtures("small")
def test_a_finished_run_says_so(tmp_path, capsys):
    out = tmp_path / "run"
    assert train(*SHORT, "--epochs", 1, "--out", out) == 0
    told = capsys.readouterr()
    assert "finished already" not in told.err
    assert train("--resume", out) == 0
    again = capsys.readouterr()
    assert again.out == told.out
    assert "this run is finished already, after 1 epoch\n" in again.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_asks_a_training_to_stop(number):
    # Whoever started the tests may have it ignored, as nohup does.
    outside = signal.signal(number, signal.SIG_DFL)
    try:
        with stop_on_interrupt() as stopping:
            assert not stopping()
            os.kill(os.getpid(), number)
            assert stopping()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_interrupt() as stopping:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopping()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_a_shell_completes_can_be_built(name):
    assert LipConvnetConfig(conv=name).conv == name


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_that_a_shell_completes_can_be_built(name):
    assert LipConvnetConfig(channels=16, activation=name).activation == name


@pytest.mark.parametrize("options", [("--epochs", "9"), ("--lr", "0.1"), ("--float32",), ("--out", "elsewhere")])
def test_a_resumed_run_is_not_changed(tmp_path, capsys, options):
    assert train("--resume", tmp_path, *options) == 2
    assert f"{options[0]} cannot change a run that is resumed" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_killed_interrupted_and_resumed_is_bit_for_bit_the_same(start, tmp_path, monkeypatch, capsys):
    """SIGKILL after the first epoch, --resume, Ctrl-C in the next one, --resume: as if nothing had happened."""
    options = (*SHORT, "--batch", 20, "--holdout", 140, "--epochs", 4, "--seed", 9)
    broken, whole = tmp_path / "broken", tmp_path / "whole"

    def process(befalls, *arguments):
        with monkeypatch.context() as patch:
            patch.setenv(*befalls)
            return start(tmp_path, broken, *arguments, python=(str(WATCHED),)).finish()

    assert process(("KILL_AFTER", "10"), *options, "--out", broken)[0] == -signal.SIGKILL
    assert len(metrics(broken)) == 1
    assert standing_of(read_run(broken), time.time()) == "killed"

    code, stdout, stderr = process(("STOP_AFTER", "11"), "--resume", broken)
    assert (code, stdout) == (130, ""), stderr
    assert f"stopped and saved; continue with `lipscope train --resume {broken}`" in stderr
    assert stderr.endswith("lipscope: interrupted\n")
    assert "Traceback" not in stderr
    state = open_run(broken).load_state(torch.device("cpu"))
    assert state["step"] == 8 + 11

    for arguments, folder in ((("--resume", broken), broken), ((*options, "--out", whole), whole)):
        capsys.readouterr()
        assert train(*arguments) == 0
        assert capsys.readouterr().out == f"{folder / 'model.safetensors'}\n"
    assert [line["epoch"] for line in metrics(broken)] == [1, 2, 3, 4]
    assert without_clocks(broken) == without_clocks(whole)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (broken, whole))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_the_classes_are_those_of_the_data_set(tmp_path, capsys, monkeypatch, few_images):
    hundred = replace(few_images, classes=tuple(map(str, range(100))))
    monkeypatch.setattr(lipscope.data, "load", lambda *_: hundred)
    out = tmp_path / "run"
    assert train(*SHORT, "--epochs", 1, "--out", out) == 0
    assert json.loads((out / "run.json").read_text())["config"]["classes"] == 100
    capsys.readouterr()


@pytest.mark.usefixtures("small")
def test_force_replaces_a_run_and_continues_a_state_without_a_digest(tmp_path, capsys):
    out = tmp_path / "run"
    assert train(*SHORT, "--epochs", 1, "--out", out) == 0
    first = (out / "model.safetensors").read_bytes()
    assert train(*SHORT, "--epochs", 1, "--out", out, "--seed", 5, "--force") == 0
    assert (out / "model.safetensors").read_bytes() != first
    assert len(metrics(out)) == 1
    state = out / "state.pt"
    state.write_bytes(state.read_bytes().partition(b"\n")[2])  # as version 0.1 wrote it
    capsys.readouterr()
    assert train("--resume", out) == 4
    assert f"lipscope train --resume {out} --force" in capsys.readouterr().err
    assert train("--resume", out, "--force") == 0
    assert train("--resume", out) == 0
