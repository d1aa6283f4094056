"""Several processes certify and attack as one does; one that dies or hangs ends the others in words."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import Parameter

from lipscope.cli import run
from lipscope.files.adversarials import adversarials_path
from lipscope.files.results import results_path
from lipscope.processes.world import World, world

RANK = str(Path(__file__).with_name("rank.py"))
ATTACK = ("--limit", "10", "--batch", "3", "--steps", "2", "--restarts", "1", "--eps", "36/255")


@pytest.fixture(autouse=True)
def _no_data_elsewhere(no_data: Path) -> None:
    """The synthetic sets only."""


@pytest.fixture
def started(start, monkeypatch):
    """Start so many processes without torchrun, which would end the others by signals: each has to find out itself."""

    def begin(size, *arguments, what="nothing", patience=600):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        processes = []
        for rank in range(size):
            with monkeypatch.context() as patch:
                for name, value in (
                    ("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", size), ("MASTER_ADDR", "127.0.0.1"),
                    ("MASTER_PORT", port),
                ):  # fmt: skip
                    patch.setenv(name, str(value))
                processes.append(start(what, patience, *arguments, python=(RANK,)))
        return processes

    return begin


@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_partition_a_batch(size):
    batch = torch.randperm(12)
    shares = [World(rank, size, torch.device("cpu")).share(batch) for rank in range(size)]
    assert sorted(torch.cat(shares).tolist()) == list(range(12))
    assert {len(share) for share in shares} == {12 // size}


def test_alone_nothing_is_exchanged(monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_RANK", "RANK"):
        monkeypatch.delenv(name, raising=False)
    with world("cpu") as here:
        assert (here.rank, here.size, here.device) == (0, 1, torch.device("cpu"))
        assert not torch.distributed.is_initialized()
        weight = Parameter(torch.ones(2))
        weight.grad = torch.tensor([1.0, 3.0])
        with here.averaging([weight, Parameter(torch.ones(1))]):
            (weight * 2).sum().backward()
        assert weight.grad.tolist() == [3.0, 5.0]
        assert here.total(torch.tensor(5.0)) == 5.0
        assert here.any(True, False) == [True, False]


def test_alone_the_rows_come_batch_by_batch():
    alone = World(0, 1, torch.device("cpu"))
    found = list(alone.rows(lambda some: torch.arange(10.0)[some, None].double(), 1, 3, 10, 4))
    assert [some for some, _ in found] == [slice(3, 7), slice(7, 10)]
    assert torch.cat([rows for _, rows in found]).flatten().tolist() == list(range(3, 10))


def same_as_alone(model: Path, alone: Path) -> None:
    """Every radius, distance and adversarial image of two models' files, bit for bit: the batches are the same."""
    for place in (results_path, adversarials_path):
        ours, theirs = load_file(place(model)), load_file(place(alone))
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.fixture
def alone(tiny_model, tmp_path):
    """A model that one process certified and attacked."""
    (tmp_path / "alone").mkdir()
    path = Path(shutil.copy(tiny_model, tmp_path / "alone" / "model.safetensors"))
    assert run(["attack", str(path), *ATTACK]) == 0
    return path


def test_two_processes_certify_and_attack_as_one(started, tiny_model, alone, capsys):
    first, second = (process.finish() for process in started(2, "attack", tiny_model, *ATTACK, "--json"))
    assert first[0] == 0, first[2]
    assert second == (0, "", "")
    assert json.loads(first[1])["data"]["n"] == 10
    same_as_alone(tiny_model, alone)
    assert {path.name for path in tiny_model.parent.iterdir() if path.is_file()} == {
        path.name for path in alone.parent.iterdir()
    }
    # Answered from what is kept: nothing is shared, and nobody waits.
    first, second = (process.finish() for process in started(2, "attack", tiny_model, *ATTACK, "--json"))
    assert (first[0], second) == (0, (0, "", ""))
    assert "answered from the results file" in first[2]


def test_one_killed_in_certification_ends_the_others_in_words_and_the_run_resumes(started, tiny_model, alone):
    first, last = (process.finish() for process in started(2, "certify", tiny_model, what="killed"))
    assert last[0] == -signal.SIGKILL
    assert first[:2] == (1, "")
    assert "another process has ended" in first[2]
    assert "Traceback" not in first[2]
    assert not results_path(tiny_model).exists()
    assert run(["certify", str(tiny_model)]) == 0
    np.testing.assert_array_equal(
        load_file(results_path(tiny_model))["radius"], load_file(results_path(alone))["radius"]
    )


@pytest.mark.slow
def test_four_processes_certify_and_attack_as_one(started, tiny_model, alone):
    first, *others = (process.finish() for process in started(4, "attack", tiny_model, *ATTACK))
    assert first[0] == 0, first[2]
    assert others == [(0, "", "")] * 3
    same_as_alone(tiny_model, alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "words"), [("stopped", "process 3 has given no sign of life"), ("asleep", "process 3 hangs")]
)
def test_one_that_hangs_ends_the_others(started, tiny_model, what, words):
    *others, last = started(4, "certify", tiny_model, what=what, patience=20)
    for process in others:
        code, stdout, stderr = process.finish()
        assert (code, stdout) == (1, "")
        assert "Traceback" not in stderr
        assert words in stderr or "another process has ended" in stderr
    last.end()


@pytest.mark.slow
def test_one_that_is_slow_is_waited_for(started, tiny_model, alone):
    first, second = (process.finish() for process in started(2, "certify", tiny_model, what="busy", patience=10))
    assert first[0] == 0, first[2]
    assert second == (0, "", "")
    np.testing.assert_array_equal(
        load_file(results_path(tiny_model))["radius"], load_file(results_path(alone))["radius"]
    )
