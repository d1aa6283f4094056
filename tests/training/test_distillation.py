"""A training that learns what another network makes of the images."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import lipscope
from lipscope.errors import LipscopeError, UsageError
from lipscope.files.checkpoint import read_header
from lipscope.files.run_log import read_run, standing_of
from lipscope.models.stored import StoredModel
from lipscope.processes.world import World
from lipscope.training import loop
from lipscope.training.distillation import open_teacher, soft_labels
from lipscope.training.loop import Listeners, train
from lipscope.training.recipe import fast
from tests.conftest import TINY
from tests.training.conftest import ALONE


def network(classes: int = 10) -> nn.Sequential:
    """Not 1-Lipschitz, and nothing of lipscope's."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, classes)).eval()


@pytest.fixture
def file(tmp_path) -> Path:
    """A network that was saved."""
    lipscope.save(network(), tmp_path / "teacher.safetensors", input_shape=(3, 32, 32))
    return tmp_path / "teacher.safetensors"


@pytest.fixture
def teacher(file, few_images) -> StoredModel:
    """That network, as a training reads it."""
    return open_teacher(file, few_images)


def by_hand(images: torch.Tensor, temperature: float) -> torch.Tensor:
    """Softmax of the mean of the logits of each image and its mirror image, in float64."""
    net, x = network().double(), images.double() / 255
    with torch.no_grad():
        scaled = (net(x) + net(x.flip(3))).div(2 * temperature).exp()
    return scaled / scaled.sum(1, keepdim=True)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_soft_labels_are_the_softmax_of_both_views(teacher, few_images, temperature):
    images = torch.from_numpy(few_images.images)
    found = soft_labels(teacher, images, temperature, ALONE, bfloat16=False)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), by_hand(images, temperature), rtol=1e-4, atol=1e-6)
    rough = soft_labels(teacher, images, temperature, ALONE, bfloat16=True)
    torch.testing.assert_close(rough, found, rtol=0, atol=0.05)


def test_every_image_comes_with_what_the_teacher_makes_of_it(new_run, few_images, teacher, monkeypatch):
    """Mirrored or not, which makes no difference to the teacher; with no shift the images are the data set's."""
    run = new_run(epochs=1, padding=0, end_padding=None, teacher=teacher.sha256, teacher_temperature=3.0)
    real, seen = loop.take_step, []

    def watched(net, optimizer, batch, recipe, world, features, soft):
        seen.append((batch[0], soft))
        return real(net, optimizer, batch, recipe, world, features, soft)

    monkeypatch.setattr(loop, "take_step", watched)
    assert train(run, few_images, ALONE, teacher=teacher)
    assert len(seen) == (len(few_images) - 60) // 40
    for images, soft in seen:
        torch.testing.assert_close(soft.double(), by_hand(images, 3.0), rtol=1e-4, atol=1e-6)
    recipe = read_header(run.model).training["recipe"]
    assert (recipe["teacher"], recipe["teacher_temperature"]) == (teacher.sha256, 3.0)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_teacher_that_is_certain_of_the_labels_changes_nothing(new_run, few_images, teacher, monkeypatch, accumulate):
    changes = {"epochs": 1, "accumulate": accumulate}
    plain, taught = new_run("plain", **changes), new_run("taught", **changes, teacher=teacher.sha256)
    assert train(plain, few_images, ALONE)
    labels = {image.tobytes(): int(label) for image, label in zip(few_images.images, few_images.labels, strict=True)}

    def certain(teacher, images, temperature, world, **rest):
        own = torch.tensor([labels[image.numpy().tobytes()] for image in images])
        return nn.functional.one_hot(own, 10).float()

    monkeypatch.setattr(loop, "soft_labels", certain)
    assert train(taught, few_images, ALONE, teacher=teacher)
    expected = load_file(plain.model)
    for name, value in load_file(taught.model).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


def test_a_run_that_stopped_ends_with_the_weights_of_an_unbroken_one(new_run, few_images, teacher):
    asked = {"epochs": 1, "teacher": teacher.sha256}
    whole, broken = new_run("whole", **asked), new_run("broken", **asked)
    assert train(whole, few_images, ALONE, teacher=teacher)
    left = iter([False] * 3 + [True])
    assert not train(broken, few_images, ALONE, Listeners(should_stop=lambda: next(left)), teacher=teacher)
    assert train(broken, few_images, ALONE, teacher=teacher)
    expected, found = load_file(whole.model), load_file(broken.model)
    assert all((found[name] == value).all() for name, value in expected.items())


def test_a_teacher_whose_logits_overflow_is_refused(teacher, few_images):
    for parameter in teacher.net.parameters():
        parameter.mul_(1e30)
    with pytest.raises(LipscopeError, match="some of its logits are not finite"):
        soft_labels(teacher, torch.from_numpy(few_images.images), 1.0, ALONE, bfloat16=False)


def test_stopped_while_the_teacher_is_asked_the_run_goes_on_later(new_run, few_images, teacher, monkeypatch):
    run, real = new_run(epochs=1, teacher=teacher.sha256), loop.soft_labels
    assert not train(run, few_images, ALONE, Listeners(should_stop=lambda: True), teacher=teacher)
    assert standing_of(read_run(run.path), time.time()) == "stopped"
    assert train(run, few_images, ALONE, teacher=teacher)
    asked = []
    monkeypatch.setattr(loop, "soft_labels", lambda *of, **rest: asked.append(of) or real(*of, **rest))
    assert train(run, few_images, ALONE, teacher=teacher)
    assert asked == []  # of a run that is finished


def test_a_recipe_with_a_teacher_is_not_trained_without_it(tmp_path, few_images, file, teacher):
    model = replace(TINY, classes=10)
    taught = replace(fast(), epochs=1, batch_size=40, holdout=60, teacher=teacher.sha256)
    with pytest.raises(UsageError, match="give that file with --teacher"):
        lipscope.train(taught, out=tmp_path / "without", model=model, data=few_images, device="cpu")
    path = lipscope.train(taught, out=tmp_path / "with", model=model, data=few_images, device="cpu", teacher=file)
    assert read_header(path).training["recipe"]["teacher"] == teacher.sha256


def test_each_of_two_processes_asks_the_teacher_about_half_of_the_images(teacher, few_images):
    class Half(World):
        def total(self, values):
            return values

    images = torch.from_numpy(few_images.images[:100])
    halves = [soft_labels(teacher, images, 1.0, Half(n, 2, ALONE.device), bfloat16=False) for n in (0, 1)]
    together = halves[0] + halves[1]
    torch.testing.assert_close(together, soft_labels(teacher, images, 1.0, ALONE, bfloat16=False))


def test_another_teacher_than_the_run_s_is_refused(new_run, few_images, teacher):
    with pytest.raises(UsageError, match="not the --teacher that the run learns from"):
        train(new_run("one", teacher="0" * 64), few_images, ALONE, teacher=teacher)
    with pytest.raises(UsageError, match="give that file with --teacher"):
        train(new_run("two", teacher=teacher.sha256), few_images, ALONE)
    with pytest.raises(UsageError, match="it learns from none"):
        train(new_run("three"), few_images, ALONE, teacher=teacher)


def test_a_teacher_of_something_else_is_refused(tmp_path, file, few_images):
    lipscope.save(network(7), tmp_path / "seven.safetensors", input_shape=(3, 32, 32))
    with pytest.raises(UsageError, match="7 classes"):
        open_teacher(tmp_path / "seven.safetensors", few_images)
    with pytest.raises(UsageError, match=r"takes \(3, 32, 32\)"):
        open_teacher(file, replace(few_images, images=few_images.images[:, :, :16, :16]))


def test_losses_that_take_no_probabilities_and_extra_images_are_refused_beside_a_teacher():
    for loss in ("emma", "multi-margin", "logit-annealing"):
        with pytest.raises(UsageError, match="does not learn from a teacher"):
            replace(fast(), loss=loss, teacher="0" * 64)
    with pytest.raises(UsageError, match="no soft labels"):
        replace(fast(), teacher="0" * 64, extra="1" * 64, extra_share=0.5)
    with pytest.raises(UsageError, match="teacher_temperature"):
        replace(fast(), teacher_temperature=0.0)
