"""Trainings that are stopped, resumed, killed and go wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lipscope.errors import CheckpointError, LipscopeError, UsageError
from lipscope.files.locks import BusyError
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.stored import load_model
from lipscope.processes.world import World
from lipscope.training import loop
from lipscope.training.loop import Listeners, train
from lipscope.training.recipe import schedule_at
from lipscope.training.step import take_step
from tests.conftest import TINY
from tests.training.conftest import ALONE, new_run_in
from tests.training.runs import STEPS, StopAfter, assert_same_outcome, lines, train_in_pieces


@pytest.fixture(scope="module")
def unbroken(few_images, tmp_path_factory):
    run = new_run_in(tmp_path_factory.mktemp("unbroken"))
    assert train(run, few_images, ALONE)
    return run


@pytest.mark.parametrize("piece", [4, 6, 10, 17])
def test_stopped_and_resumed_is_bit_for_bit_the_same(new_run, few_images, unbroken, piece):
    run = new_run("stopped")
    assert train_in_pieces(run, few_images, piece) == (STEPS - 1) // piece
    assert_same_outcome(run, unbroken)


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (replace(TINY, activation="hh2", head="orthogonal"), {"offset": 0.5}),
        (replace(TINY, conv="cayley", blocks=2, head="orthogonal"), {"bfloat16": True}),
        (replace(TINY, activation="hh1", blocks=2), {"bfloat16": True, "holdout": 0, "seed": 7, "gamma": 0.0}),
    ],
)
def test_other_models_and_recipes_resume_alike(new_run, few_images, config, changes):
    unbroken, run = (new_run(name, config, epochs=2, **changes) for name in ("unbroken", "stopped"))
    assert train(unbroken, few_images, ALONE)
    train_in_pieces(run, few_images, 5)
    assert_same_outcome(run, unbroken)


def test_stopped_before_the_first_step(new_run, few_images, unbroken):
    run = new_run("stopped")
    assert not train(run, few_images, ALONE, Listeners(should_stop=lambda: True))
    assert run.state.exists()
    assert not run.model.exists()
    assert train(run, few_images, ALONE)
    assert_same_outcome(run, unbroken)


def test_saves_within_an_epoch(new_run, few_images, unbroken, monkeypatch):
    """Killed between two steps, a run goes on from the last save by the clock."""
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    run = new_run("killed")

    def die(event):
        if event.step == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "REPORT_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(run, few_images, ALONE, Listeners(on_step=die))
    state = run.load_state(ALONE.device)
    assert state["step"] == 8
    assert train(run, few_images, ALONE)
    assert_same_outcome(run, unbroken)


@pytest.mark.parametrize("fatal", ["append", "save_state"])
def test_killed_while_an_epoch_is_being_written(new_run, few_images, unbroken, monkeypatch, fatal):
    """Model, metrics and state are written one after the other; a kill between any two loses and doubles nothing."""
    run = new_run("killed")
    kind, calls = type(run), 0
    real = getattr(kind, fatal)

    def dies_in_the_second_epoch(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kind, fatal, dies_in_the_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            train(run, few_images, ALONE)
    assert train(run, few_images, ALONE)
    assert_same_outcome(run, unbroken)


def test_a_line_cut_off_by_the_kill_is_written_again(new_run, few_images, unbroken):
    run = new_run("killed")
    assert not train(run, few_images, ALONE, Listeners(should_stop=StopAfter(8)))
    with run.metrics.open("a") as file:
        file.write('{"schema": "lipscope.run/1", "epo')
    assert train(run, few_images, ALONE)
    assert_same_outcome(run, unbroken)


def test_resuming_a_finished_run_changes_nothing(few_images, unbroken):
    before = {path.name: path.read_bytes() for path in unbroken.path.iterdir()}
    steps = []
    assert train(unbroken, few_images, ALONE, Listeners(on_step=steps.append, on_epoch=steps.append))
    assert steps == []
    assert {path.name: path.read_bytes() for path in unbroken.path.iterdir()} == before


def test_the_seed_decides_everything(new_run, few_images, unbroken):
    again, other = new_run("again"), new_run("other", seed=1)
    for run in (again, other):
        assert train(run, few_images, ALONE)
    assert_same_outcome(again, unbroken)
    ours, theirs = load_file(unbroken.model), load_file(other.model)
    assert not torch.equal(ours["stage1.block1.conv.kernel"], theirs["stage1.block1.conv.kernel"])


def test_large_seeds(new_run, few_images):
    run = new_run(seed=2**63 - 1, epochs=1)
    assert train(run, few_images, ALONE)


def test_metrics_and_listeners_tell_the_same(new_run, few_images):
    run = new_run()
    epochs, steps = [], []
    assert train(run, few_images, ALONE, Listeners(on_step=steps.append, on_epoch=epochs.append))
    parsed = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert parsed == [event.to_json() for event in epochs]
    assert [line["epoch"] for line in parsed] == [1, 2, 3]
    assert [line["step"] for line in parsed] == [6, 12, 18]
    assert [line["learning_rate"] for line in parsed] == [
        run.recipe.learning_rate * math.prod(schedule_at(run.recipe, progress)) for progress in (6 / 18, 12 / 18, 1.0)
    ]
    for line in parsed:
        assert line["schema"] == "lipscope.run/1"
        assert 0 <= line["train_certified"] <= line["train_accuracy"] <= 1
        assert (line["train_accuracy"] * 240) == pytest.approx(round(line["train_accuracy"] * 240))
        assert (line["validation_accuracy"] * 60) == pytest.approx(round(line["validation_accuracy"] * 60))
    assert steps[-1].step == steps[-1].steps == STEPS
    assert steps[-1].loss == pytest.approx(parsed[-1]["loss"])
    seconds = [line["seconds"] for line in parsed]
    assert seconds == sorted(seconds)


def test_it_learns(new_run, few_images):
    run = new_run(config=replace(TINY, channels=4), epochs=8, holdout=0)
    assert train(run, few_images, ALONE)
    losses = [line["loss"] for line in lines(run)]
    assert losses[-1] < losses[0] - 0.2
    # Chance is 0.1 with a standard deviation of 0.017 over 300 images.
    assert lines(run)[-1]["train_accuracy"] > 0.17


def test_the_stored_model_is_proved_and_says_what_it_claims(unbroken):
    stored = load_model(unbroken.model)
    assert LipConvnetConfig.from_json(stored.header.config) == TINY
    assert stored.header.training["recipe"] == unbroken.recipe.to_json()
    assert stored.header.training["processes"] == 1
    for name, layer, shape in stored.net.layers():
        if name not in ("normalize", "head"):
            assert layer.bound(shape).proved
            assert layer.bound(shape).value == 1.0
    lengths = np.linalg.norm(stored.net.head.weight.double().numpy(), axis=1)
    np.testing.assert_allclose(lengths, 1.0, rtol=1e-6)


def test_the_state_holds_no_more_than_it_takes(unbroken):
    state = unbroken.load_state(ALONE.device)
    assert set(state) == {"step", "sums", "best", "seconds", "decay", "net", "optimizer"}
    assert state["step"] == STEPS


def test_a_diverged_training_is_named(new_run, few_images):
    run = new_run(learning_rate=1e30, schedule="step")
    with pytest.raises(LipscopeError) as caught:
        train(run, few_images, ALONE)
    assert (caught.value.exit_code, caught.value.where) == (1, str(run.path))
    assert "not finite" in caught.value.what
    assert "epoch 1" in caught.value.why
    assert not run.model.exists()
    assert not run.metrics.exists()


def test_batches_larger_than_the_images_left(new_run, few_images):
    run = new_run(batch_size=10_000, epochs=2)
    assert train(run, few_images, ALONE)
    assert [line["step"] for line in lines(run)] == [1, 2]


def test_a_batch_that_cannot_be_shared(new_run, few_images):
    with pytest.raises(UsageError, match="a batch of 40 cannot be shared by 3 processes"):
        train(new_run(), few_images, World(0, 3, torch.device("cpu")))


@pytest.mark.parametrize("damage", [{"net": {}}, {"step": None, "extra": 1}, {"optimizer": {"state": {}}}])
def test_a_state_that_does_not_fit(new_run, few_images, damage):
    run = new_run()
    assert not train(run, few_images, ALONE, Listeners(should_stop=StopAfter(2)))
    run.save_state({**run.load_state(ALONE.device), **damage})
    with pytest.raises(CheckpointError, match="the saved training state cannot be continued from"):
        train(run, few_images, ALONE)
    assert train(new_run("another", epochs=1), few_images, ALONE)


def test_a_state_of_another_version_is_not_called_damaged(new_run, few_images):
    run = new_run()
    assert not train(run, few_images, ALONE, Listeners(should_stop=StopAfter(2)))
    first, _, rest = run.state.read_bytes().partition(b"\n")
    run.state.write_bytes(first.replace(b"lipscope.state/2", b"lipscope.state/1") + b"\n" + rest)
    with pytest.raises(CheckpointError, match=r"cannot be continued from \(another version wrote it\)"):
        train(run, few_images, ALONE)


def test_a_second_process_is_refused_and_changes_nothing(new_run, few_images):
    """The folder still says what the first does."""
    run = new_run()
    run.tell("running", None)
    with run.held():
        before = {path: path.read_bytes() for path in run.path.iterdir()}
        with pytest.raises(BusyError, match="another process is training it"):
            train(run, few_images, ALONE)
        assert {path: path.read_bytes() for path in run.path.iterdir()} == before
    assert train(run, few_images, ALONE)


def test_weights_that_overflow_in_the_last_step_are_not_stored(new_run, few_images, monkeypatch):
    """The loss is of the weights before the step."""
    real, run = loop.take_step, new_run(epochs=1)
    steps = iter(range(1, 100))

    def overflow(net, *rest):
        result = real(net, *rest)
        if next(steps) == STEPS // 3:
            next(net.parameters()).data.flatten()[0] = torch.inf
        return result

    monkeypatch.setattr(loop, "take_step", overflow)
    monkeypatch.setattr(loop, "validate", lambda net, split, world: (0.5, 0.5))
    with pytest.raises(LipscopeError, match="NaN or infinite"):
        train(run, few_images, ALONE)
    assert not run.model.exists()
    assert run.load_state(ALONE.device)["step"] == 0


def test_every_step_is_at_the_temperature_and_weight_of_its_time(new_run, few_images, monkeypatch):
    seen = []

    def step(net, optimizer, batch, recipe, *rest):
        seen.append((recipe.temperature, recipe.gamma))
        return take_step(net, optimizer, batch, recipe, *rest)

    monkeypatch.setattr(loop, "take_step", step)
    run = new_run(temperature=2.0, end_temperature=1.0, gamma=0.0, end_gamma=0.9, schedule="one-cycle", warmup=0.0)
    assert train(run, few_images, ALONE)
    assert [at for at, _ in seen] == pytest.approx([2 - step / 18 for step in range(1, 19)])
    assert [weight for _, weight in seen] == pytest.approx([step / 20 for step in range(1, 19)])
