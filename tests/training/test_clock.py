"""Trainings by the clock, and those that are extended."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from lipscope.errors import UsageError
from lipscope.files.checkpoint import read_header
from lipscope.training import loop
from lipscope.training.loop import Listeners, train
from lipscope.training.run import extend_run, open_run
from tests.training.conftest import ALONE
from tests.training.runs import assert_same_outcome, lines, train_in_pieces


@pytest.fixture
def one_step_a_second(monkeypatch):
    """A clock that only steps move."""
    monkeypatch.setattr(loop.Stopwatch, "seconds", lambda self: float(self._counters.step))


@pytest.mark.usefixtures("one_step_a_second")
@pytest.mark.parametrize("piece", [4, 9])
def test_by_the_clock_it_decays_and_resumes_bit_for_bit(new_run, few_images, piece):
    run, other = new_run("unbroken", minutes=14 / 60, decay=0.5), new_run("stopped", minutes=14 / 60, decay=0.5)
    rates = []
    assert train(run, few_images, ALONE, Listeners(on_epoch=lambda event: rates.append(event.learning_rate)))
    train_in_pieces(other, few_images, piece)
    assert_same_outcome(run, other)
    *_, before, last = lines(run)
    # 6 steps are an epoch: 7 stable ones, 7 of the decay, so that the last epoch has 2.
    assert (before["step"], last["step"], last["epoch"], last["epochs"]) == (12, 14, 3, 3)
    assert rates[-1] < rates[-2]
    assert read_header(run.model).training["steps"] in (6, 12, 14)


def test_a_machine_that_becomes_slower_in_the_decay_keeps_to_its_time(new_run, few_images, monkeypatch):
    """30 steps in 30 seconds, then each takes two."""
    monkeypatch.setattr(
        loop.Stopwatch, "seconds", lambda self: float(max(self._counters.step, self._counters.step * 2 - 30))
    )
    run = new_run(minutes=1.0, decay=0.5, holdout=0, batch_size=50)
    assert train(run, few_images, ALONE)
    last = lines(run)[-1]
    assert (last["step"], last["learning_rate"] > 0) == (45, True)


@pytest.mark.usefixtures("one_step_a_second")
def test_resuming_what_the_clock_ended_within_an_epoch_changes_nothing(new_run, few_images):
    for seconds in (3, 14):
        run = new_run(f"after-{seconds}", minutes=seconds / 60, decay=0.5)
        assert train(run, few_images, ALONE)
        before = {path.name: path.read_bytes() for path in run.path.iterdir()}
        assert lines(run)
        assert train(run, few_images, ALONE)
        assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


@pytest.mark.usefixtures("one_step_a_second")
def test_the_last_part_of_an_epoch_is_counted_over_its_own_images(new_run, few_images):
    run = new_run(minutes=8 / 60, decay=0.5, holdout=0)
    assert train(run, few_images, ALONE)
    last = lines(run)[-1]
    assert last["step"] == 8
    counted = last["train_accuracy"] * ((8 - 300 // 40) * 40)
    assert counted == pytest.approx(round(counted), abs=1e-9)


@pytest.mark.usefixtures("one_step_a_second")
@pytest.mark.parametrize("seconds", [12, 20, 28], ids=["in the decay", "at its beginning", "before it"])
def test_an_extended_run_keeps_the_weights_and_has_the_learning_rates_of_the_longer_one(
    seconds, new_run, few_images, tmp_path
):
    short, long = (new_run(name, minutes=s / 60, decay=0.5, holdout=0) for name, s in (("a", 10), ("b", seconds)))
    assert train(short, few_images, ALONE)
    assert train(long, few_images, ALONE)
    extended = extend_run(short, tmp_path / "extended", seconds / 60)
    assert open_run(extended.path) == extended
    before, after = (run.load_state(torch.device("cpu"))["net"] for run in (short, extended))
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())

    assert train(extended, few_images, ALONE)
    assert not torch.equal(load_file(short.model)["head.weight"], load_file(extended.model)["head.weight"])
    assert [line["step"] for line in lines(extended)] == [line["step"] for line in lines(long)]
    rates = [[line["learning_rate"] for line in lines(run) if line["step"] > 10] for run in (extended, long)]
    assert rates[0] == pytest.approx(rates[1])
    # The epoch that the clock cut off is whole now, and counted over its own images.
    cut = lines(extended)[1]
    assert cut["step"] == min(14, seconds)
    counted = cut["train_accuracy"] * (cut["step"] - 7) * 40
    assert counted == pytest.approx(round(counted), abs=1e-9)
    assert counted >= lines(short)[-1]["train_accuracy"] * 3 * 40


@pytest.mark.usefixtures("one_step_a_second")
def test_a_run_that_cannot_be_extended(new_run, few_images, tmp_path):
    by_epochs = new_run("epochs")
    assert train(by_epochs, few_images, ALONE)
    with pytest.raises(UsageError, match="cannot be extended"):
        extend_run(by_epochs, tmp_path / "more", 3.0)
    short = new_run("short", minutes=10 / 60, decay=0.5)
    assert train(short, few_images, ALONE)
    with pytest.raises(UsageError, match="too few to extend"):
        extend_run(short, tmp_path / "more", 10 / 60)
    assert not (tmp_path / "more").exists()
