"""What `lipscope train` refuses, in words, and leaves as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lipscope
import lipscope.data
from lipscope.training.run import open_run
from tests.commands.training import SHORT, train
from tests.full_disk import full_disk

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--epochs", 0), 2, "0 is not in the range x>=1"),
        (("--batch", 0), 2, "0 is not in the range x>=1"),
        (("--lr", "nan"), 2, "learning_rate must be positive"),
        (("--gamma", -1), 2, "-1.0 is not in the range 0<=x<=1e+30"),
        (("--offset", -1), 2, "-1.0 is not in the range"),
        (("--holdout", -5), 2, "-5 is not in the range x>=0"),
        (("--holdout", 300), 2, "fewer training images than are to be held out"),
        (("--seed", -1), 2, "-1 is not in the range 0<=x<=9223372036854775807"),
        (("--seed", 2**64), 2, "is not in the range 0<=x<=9223372036854775807"),
        (("--channels", 3), 2, "channels must be even"),
        (("--channels", 0), 2, "0 is not in the range x>=1"),
        (("--blocks", 9), 2, "--blocks"),
        (("--activation", "relu"), 2, "unknown activation 'relu'; choose from maxmin"),
        (("--dataset", "imagenet"), 2, "--dataset"),
        (("--device", "nonsense"), 2, "--device nonsense: not a device"),
        (("--lr", 1e308), 2, "1e+308 is not in the range 0<x<=1e+30"),
        (("--lr", 1e30), 1, "the training diverged: the loss is not finite"),
    ],
)
def test_what_cannot_be_trained(tmp_path, capsys, arguments, code, said):
    given = {"--dataset": "synthetic", "--channels": 2, "--batch": 50, "--epochs": 1, "--out": tmp_path / "run"}
    given |= dict([arguments])
    assert train("--float32", *(part for pair in given.items() for part in pair)) == code
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert said in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--conv", "gloro", "unknown conv 'gloro'"),
        ("--activation", "relu", "unknown activation 'relu'"),
        ("--channels", "3", "channels must be even"),
        ("--epochs", "0", "0 is not in the range x>=1"),
        ("--model=shiftnet", "--stages=64", "--stages 64 cannot be read"),
        ("--model=shiftnet", "--conv=soc", "--conv is for --model lipconvnet"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_data_set_is_looked_for(
    tmp_path, capsys, monkeypatch, option, value, said
):
    monkeypatch.setattr(lipscope.data, "load", lambda *_: pytest.fail("the data set was loaded"))
    assert train("--dataset", "cifar10", option, value, "--out", tmp_path / "run") == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert said in stderr
    assert not (tmp_path / "run").exists()


def test_no_data_set(tmp_path, capsys, no_data):
    given = tmp_path / "mine"
    assert train("--dataset", "cifar10", "--data-dir", given, "--out", tmp_path / "run") == 3
    stderr = capsys.readouterr().err
    assert "data set cifar10 not found" in stderr
    assert str(given) in stderr
    assert str(no_data) in stderr
    assert "lipscope data fetch cifar10" in stderr
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_made(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    for out in (blocked, blocked / "run"):
        assert train(*SHORT, "--out", out) == 1
        assert f"lipscope: {out}: cannot make the run folder" in capsys.readouterr().err
    assert blocked.read_text() == "mine"


@pytest.mark.usefixtures("small")
def test_a_full_disk(tmp_path, capsys):
    out = tmp_path / "run"
    with full_disk():
        assert train(*SHORT, "--epochs", 1, "--out", out) == 1
    stderr = capsys.readouterr().err
    # Before the first step, not after the first epoch.
    assert f"lipscope: {out / 'state.pt'}: cannot be written" in stderr
    assert "free space" in stderr
    # When there is space again, the run goes on.
    assert train("--resume", out) == 0


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "run.json").unlink(), "no run to resume"),
        (lambda folder: (folder / "run.json").write_text("{}"), "run.json: a run of another version"),
        (
            lambda folder: (folder / "state.pt").write_text("garbage"),
            "state.pt: the saved training state cannot be continued from",
        ),
        (lambda folder: (folder / "metrics.jsonl").write_text("garbage\n"), "metrics.jsonl: damaged"),
    ],
)
def test_damaged_runs(tmp_path, capsys, damage, said):
    out = tmp_path / "run"
    assert train(*SHORT, "--epochs", 1, "--out", out) == 0
    damage(out)
    capsys.readouterr()
    assert train("--resume", out) == 4
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert said in stderr


@pytest.mark.usefixtures("small")
def test_a_run_that_is_trained_is_not_resumed(tmp_path, capsys):
    out = tmp_path / "run"
    assert train(*SHORT, "--epochs", 1, "--out", out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    with open_run(out).held():
        assert train("--resume", out) == 1
        assert f"{out / 'run.json'}: another process is training it" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.fixture
def teacher(tmp_path):
    """A network that is no net of lipscope's."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).eval()
    lipscope.save(net, tmp_path / "teacher.safetensors", input_shape=(3, 32, 32))
    return tmp_path / "teacher.safetensors"


@pytest.mark.usefixtures("small")
def test_a_run_with_a_teacher_goes_on_with_that_teacher_only(tmp_path, capsys, teacher):
    out = tmp_path / "run"
    assert train(*SHORT, "--epochs", 1, "--teacher", teacher, "--teacher-temperature", 3, "--out", out) == 0
    assert f"asks {teacher} about every image first, at a temperature of 3" in capsys.readouterr().err
    assert train("--resume", out) == 2
    assert "not the --teacher that the run learns from" in capsys.readouterr().err
    assert train("--resume", out, "--teacher", out / "model.safetensors") == 2
    assert "not the --teacher that the run learns from" in capsys.readouterr().err
    assert train("--resume", out, "--teacher", teacher) == 0


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--teacher-temperature", 3), 2, "--teacher-temperature needs --teacher"),
        (("--teacher", "{teacher}", "--teacher-temperature", 0), 2, "0.0 is not in the range 0<x<=1e+30"),
        (("--teacher", "{teacher}", "--loss", "emma"), 2, "emma does not learn from a teacher"),
        (("--teacher", "{teacher}.not"), 4, "teacher.safetensors.not"),
        (("--teacher", "{teacher}", "--target", "0.5@36/255"), 2, "not of another teacher"),
    ],
)
def test_a_teacher_that_cannot_be_learnt_from(tmp_path, capsys, teacher, options, code, said):
    given = [str(option).format(teacher=teacher) for option in options]
    net = () if "--target" in given else SHORT
    assert train(*net, *given, "--out", tmp_path / "run") == code
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert said in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "run").exists()
