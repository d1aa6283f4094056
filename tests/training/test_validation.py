"""Held-out images: never learnt from, and what chooses the model."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lipscope.files.checkpoint import read_header
from lipscope.training import loop
from lipscope.training.loop import Listeners, _generator, train
from tests.training.conftest import ALONE
from tests.training.runs import STEPS, StopAfter, lines


class Watched:
    """Stands for the augmentation and remembers which images it is given."""

    def __init__(self, augment):
        self.augment = augment
        self.batches = []
        self.draws = []
        self.settings = []

    def __call__(self, images, generator, *part, **settings):
        self.draws.append(torch.randint(2**40, (1,), generator=generator.clone_state()).item())
        self.batches.append([image.numpy().tobytes() for image in images])
        self.settings.append(settings)
        return self.augment(images, generator, *part, **settings)


def test_every_step_distorts_as_its_recipe_says(new_run, few_images, monkeypatch):
    strengths = []
    monkeypatch.setattr(loop, "distort", lambda images, _, strength, *part: strengths.append(strength) or images)
    run = new_run(distortion=1.0, end_distortion=0.0, schedule="one-cycle", warmup=0.0)
    assert train(run, few_images, ALONE)
    assert strengths == pytest.approx([1 - step / STEPS for step in range(1, STEPS + 1)])


def test_held_out_images_are_never_learnt_from(new_run, few_images, monkeypatch):
    watched = Watched(loop.crop_and_flip)
    monkeypatch.setattr(loop, "crop_and_flip", watched)
    run = new_run(epochs=2)
    assert train(run, few_images, ALONE)
    everything = {image.tobytes() for image in few_images.images}
    epochs = [[image for batch in watched.batches[6 * e : 6 * e + 6] for image in batch] for e in range(2)]
    for seen in epochs:
        assert len(set(seen)) == len(seen) == 240
        assert set(seen) <= everything
    assert set(epochs[0]) == set(epochs[1])  # the same 60 are kept apart in every epoch
    assert epochs[0] != epochs[1]  # in another order
    other = Watched(watched.augment)
    monkeypatch.setattr(loop, "crop_and_flip", other)
    train(new_run("other", epochs=1, seed=1), few_images, ALONE)
    assert {image for batch in other.batches for image in batch} != set(epochs[0])


@pytest.mark.parametrize("other", [(257, 0, 3), (1 + 2**32, 0, 3), (1, 1, 3), (1, 0, 4), (1, 0, 3 + 2**32)])
def test_every_bit_of_seed_purpose_and_number_counts(other):
    draw = partial(torch.randperm, 1000)
    assert torch.equal(draw(generator=_generator(1, 0, 3)), draw(generator=_generator(1, 0, 3)))
    assert not torch.equal(draw(generator=_generator(1, 0, 3)), draw(generator=_generator(*other)))


def test_every_step_draws_its_own_crops(new_run, few_images, monkeypatch):
    watched = Watched(loop.crop_and_flip)
    monkeypatch.setattr(loop, "crop_and_flip", watched)
    run = new_run(padding=4, end_padding=1, padding_mode="reflect", schedule="one-cycle", warmup=0.0)
    assert train(run, few_images, ALONE)
    assert len(set(watched.draws)) == STEPS
    assert [one["padding_mode"] for one in watched.settings] == ["reflect"] * STEPS
    assert [one["padding"] for one in watched.settings] == [round(4 - 3 * step / STEPS) for step in range(1, STEPS + 1)]
    first = list(watched.draws)
    assert train(new_run("other", seed=1), few_images, ALONE)
    assert len(set(watched.draws)) == 2 * STEPS
    assert train(new_run("again"), few_images, ALONE)
    assert watched.draws[-STEPS:] == first


def test_validation_sees_the_held_out_images_and_the_frozen_model(new_run, few_images, monkeypatch):
    calls = []

    def watching(net, split, world):
        calls.append((net.training, split))
        return 0.5, 0.5

    monkeypatch.setattr(loop, "validate", watching)
    watched = Watched(loop.crop_and_flip)
    monkeypatch.setattr(loop, "crop_and_flip", watched)
    assert train(new_run(epochs=1), few_images, ALONE)
    ((training, split),) = calls
    assert not training
    held = {image.numpy().tobytes() for image in split.held_images}
    assert len(held) == 60
    assert held.isdisjoint(image for batch in watched.batches for image in batch)


SCORES = [(0.5, 0.1), (0.4, 0.3), (0.9, 0.3), (0.8, 0.2)]
"""Validation of four epochs: the second is the first with the largest certified accuracy."""


def scripted(monkeypatch, scores):
    left = iter(scores)
    monkeypatch.setattr(loop, "validate", lambda net, split, world: next(left))


def test_the_model_is_that_of_the_best_epoch(new_run, few_images, monkeypatch):
    scripted(monkeypatch, SCORES)
    run = new_run(epochs=4)
    stored = []
    assert train(run, few_images, ALONE, Listeners(on_epoch=lambda event: stored.append(run.model.read_bytes())))
    assert stored[0] != stored[1] == stored[2] == stored[3] == run.model.read_bytes()
    assert read_header(run.model).training["epoch"] == 2
    assert [line["validation_certified"] for line in lines(run)] == [0.1, 0.3, 0.3, 0.2]


def test_the_best_score_survives_a_stop(new_run, few_images, monkeypatch):
    scripted(monkeypatch, SCORES)
    run = new_run(epochs=4)
    assert not train(run, few_images, ALONE, Listeners(should_stop=StopAfter(14)))
    best = run.model.read_bytes()
    assert train(run, few_images, ALONE)
    assert run.model.read_bytes() == best
    assert read_header(run.model).training["epoch"] == 2


def test_the_real_validation_picks_the_epoch_that_the_metrics_name(new_run, few_images):
    # A rate that stays large makes later epochs worse now and then.
    run = new_run(epochs=6, learning_rate=3.0, schedule="step")
    assert train(run, few_images, ALONE)
    scores = [line["validation_certified"] for line in lines(run)]
    assert read_header(run.model).training["epoch"] == 1 + scores.index(max(scores))
    assert max(scores) > scores[-1]  # else this test shows nothing


def test_without_held_out_images_the_last_epoch_is_stored(new_run, few_images):
    run = new_run(holdout=0)
    assert train(run, few_images, ALONE)
    assert read_header(run.model).training["epoch"] == 3
    assert [line["validation_certified"] for line in lines(run)] == [None] * 3
