from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import lipscope.data
from lipscope.cli import run
from lipscope.training import loop
from lipscope.training.run import open_run

WATCHED = Path(__file__).with_name("watched_rank.py")
OPTIONS = (
    "--dataset", "synthetic", "--channels", "2", "--activation", "hh1", "--float32", "--epochs", "2",
    "--batch", "40", "--holdout", "100", "--seed", "4",
)  # fmt: skip


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def train_alone(out: Path, logs: Path, monkeypatch, few_images) -> None:
    """This process alone on the same images; the weights after each epoch as the others leave theirs."""
    validate, epochs = loop.validate, iter(range(1, 100))

    def watched(net, split, world):
        torch.save(net.state_dict(), logs / f"rank0.epoch{next(epochs)}.pt")
        return validate(net, split, world)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "validate", watched)
        patch.setattr(lipscope.data, "load", lambda name, split, data_dir: few_images)
        assert run(["train", "--out", str(out), *OPTIONS]) == 0


@pytest.fixture
def trained(start, tmp_path, monkeypatch, few_images, capsys):
    """Two processes under torchrun, and this one alone, on the same batches.

    The two are interrupted in mid-epoch, by a signal that only one of them hears, and resumed.
    """
    logs = {name: tmp_path / f"logs-{name}" for name in ("two", "one")}
    for folder in logs.values():
        folder.mkdir()

    def watched(name, *arguments):
        return start(logs[name], tmp_path / name, *arguments, python=(*TORCHRUN, str(WATCHED)))

    with monkeypatch.context() as patch:
        patch.setenv("STOP_AFTER", "3")
        code, stdout, stderr = watched("two", "--out", tmp_path / "two", *OPTIONS).finish()
    assert code != 0
    assert stdout == ""
    assert stderr.count("stopped and saved") == 1
    assert stderr.count("recipe fast, because") == 1
    state = open_run(tmp_path / "two").load_state(torch.device("cpu"))
    assert state["step"] == 3
    resumed = watched("two", "--resume", tmp_path / "two")
    train_alone(tmp_path / "one", logs["one"], monkeypatch, few_images)
    ended = {"one": (0, *capsys.readouterr()), "two": resumed.finish()}
    for name, (code, stdout, stderr) in ended.items():
        assert code == 0, stderr
        assert stdout.strip() == str(tmp_path / name / "model.safetensors")
        assert stderr.count("epoch 2/2") == 1
    return logs


def test_two_processes(trained, tmp_path):
    two, one = open_run(tmp_path / "two"), open_run(tmp_path / "one")

    # Only rank 0 writes.
    writes = [(trained["two"] / f"rank{rank}.writes").read_text().splitlines() for rank in (0, 1)]
    assert writes[1] == []
    assert any("model.safetensors" in line for line in writes[0])
    told = {"run.json", "metrics.jsonl", "layers.jsonl", "progress.json"}
    names = {*told, "state.pt", "model.safetensors"}
    assert {path.name for path in two.path.iterdir()} == names

    # Both hold the same weights, bit for bit, and those that are stored are the better epoch's.
    for epoch in (1, 2):
        ranks = [torch.load(trained["two"] / f"rank{rank}.epoch{epoch}.pt", weights_only=True) for rank in (0, 1)]
        assert ranks[0].keys() == ranks[1].keys()
        for name, tensor in ranks[0].items():
            assert torch.equal(tensor, ranks[1][name]), name
        # Averaged gradients are those of the whole batch, up to the order of summation.
        alone = torch.load(trained["one"] / f"rank0.epoch{epoch}.pt", weights_only=True)
        for name, tensor in alone.items():
            torch.testing.assert_close(ranks[0][name], tensor, rtol=2e-3, atol=2e-4, msg=name)

    lines = [[json.loads(line) for line in each.metrics.read_text().splitlines()] for each in (two, one)]
    assert [line["epoch"] for line in lines[0]] == [1, 2]
    for ours, theirs in zip(*lines, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["train_accuracy"] == pytest.approx(theirs["train_accuracy"], abs=0.01)
        assert ours["validation_accuracy"] == pytest.approx(theirs["validation_accuracy"], abs=0.011)  # one image
    best = 1 + max(range(2), key=lambda epoch: lines[0][epoch]["validation_certified"])
    stored = load_file(two.model)
    for name, tensor in torch.load(trained["two"] / f"rank1.epoch{best}.pt", weights_only=True).items():
        assert torch.equal(stored[name], tensor), name


@pytest.mark.slow
def test_a_killed_process_ends_the_others_in_words_and_the_run_resumes(start, tmp_path, monkeypatch):
    """Without torchrun, which would end the others by signals: as on another host, they only lose the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    out, processes = tmp_path / "run", []
    for rank in range(2):
        with monkeypatch.context() as patch:
            for name, value in (
                ("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", 2), ("MASTER_ADDR", "127.0.0.1"),
                ("MASTER_PORT", port), ("KILL_AFTER", 4),
            ):  # fmt: skip
                patch.setenv(name, str(value))
            processes.append(start(tmp_path, out, "--out", out, *OPTIONS, python=(str(WATCHED),)))
    (code, _, stderr), (killed, _, _) = (process.finish() for process in processes)
    assert killed == -signal.SIGKILL
    assert code == 1
    assert "another process has ended" in stderr
    assert "Traceback" not in stderr
    code, _, stderr = start(tmp_path, out, "--resume", out, python=(str(WATCHED),)).finish()
    assert code == 0, stderr
    assert (out / "model.safetensors").exists()
