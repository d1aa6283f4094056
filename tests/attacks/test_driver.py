from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipscope.attacks import driver
from lipscope.attacks.driver import ATTACKS, Settings, attack, check_settings, progress_of
from lipscope.data.synthetic import synthetic
from lipscope.errors import UsageError
from tests.always import always
from tests.models.makers import small_net

from .makers import certified, exact_distance, images, linear_net, stored

QUICK = Settings(steps=4, restarts=1, batch_size=8)


@pytest.fixture(scope="module")
def case():
    net, data = linear_net(1), images(20, 1)
    return stored(net), data, certified(net, data)


@always(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6))
def test_no_attack_gets_inside_a_sound_radius(seed, classes):
    """These certificates are tight: every bit of slack that an error bound had too little would be found."""
    net, data = linear_net(seed, classes), images(2, seed, classes)
    claimed = certified(net, data)
    outcome = attack(stored(net), data, claimed, Settings(("minimum", "boundary"), steps=1, restarts=1))
    assert (outcome.distance >= claimed.radius).all()
    assert (outcome.distance >= exact_distance(net, data, claimed.predicted)).all()
    assert (claimed.radius > 0.99 * exact_distance(net, data, claimed.predicted)).any()


@pytest.mark.parametrize("seed", range(2))
def test_convolutional_nets_hold_too(seed):
    net, data = small_net(seed), synthetic("synthetic", "test").subset(range(12))
    claimed = certified(net, data)
    outcome = attack(stored(net), data, claimed, replace(QUICK, eps=(Fraction(10, 255),), batch_size=12))
    assert (outcome.distance >= claimed.radius).all()
    assert np.isfinite(outcome.distance).sum() >= 4  # it is not for want of trying
    assert outcome.in_float32[np.isfinite(outcome.distance)].mean() > 0.5
    assert set(outcome.environment["fp32_precision"].values()) == {"ieee"}


def test_a_lie_about_l_is_found_out_at_once(case):
    model, data, claimed = case
    lie = replace(claimed, radius=1.5 * claimed.radius)
    seen = []
    outcome = attack(model, data, lie, QUICK, on_violation=lambda row, image, point: seen.append((row, image, point)))
    assert [row for row, _, _ in seen] == list(range(20))
    exact = exact_distance(model.net, data, claimed.predicted)
    assert (outcome.distance < lie.radius).all()
    assert np.allclose(outcome.distance, exact, rtol=1e-3, atol=1e-6)
    for row, image, point in seen:
        assert np.array_equal(image.numpy(), data.images[row])
        logits = model.net(point.double().unsqueeze(0))
        assert int(logits.argmax()) != claimed.predicted[row]
        assert float((point.double() - image.double() / 255).norm()) < lie.radius[row]


def test_the_nearest_points_are_handed_on_as_they_were_confirmed(case):
    model, data, claimed = case
    outcome = attack(model, data, claimed, QUICK)
    assert outcome.point.dtype == np.float32
    assert np.isfinite(outcome.distance).all()
    for row in range(len(data)):
        logits = model.net(torch.from_numpy(outcome.point[row]).double().unsqueeze(0))
        assert int(logits.argmax()) == outcome.changed[row] != claimed.predicted[row]
        exact = np.linalg.norm(outcome.point[row].astype(np.float64) - data.images[row] / 255)
        assert exact <= outcome.distance[row] <= exact + 1e-6


def test_where_nothing_is_found_there_is_no_class(case):
    model, data, claimed = case
    flat = replace(data, images=np.full_like(data.images[:1], 128), labels=data.labels[:1])
    single = replace(claimed, **first_row(claimed))
    outcome = attack(model, flat, single, Settings(("pgd",), eps=(Fraction(1, 10**6),), steps=1, restarts=1))
    if np.isinf(outcome.distance[0]):
        assert outcome.changed.tolist() == [-1]


def test_the_same_seed_finds_the_same(case):
    model, data, claimed = case
    first, second = (attack(model, data, claimed, QUICK) for _ in range(2))
    assert np.array_equal(first.distance, second.distance)
    assert np.array_equal(first.found_by, second.found_by)


def test_an_interrupted_attack_continues(case, tmp_path):
    model, data, claimed = case
    path, notes = tmp_path / "part.safetensors", []

    def progress(settings=QUICK, about=claimed):
        return progress_of(path, model, data, about, settings, device="cpu", note=notes.append)

    def interrupt(done, total):
        assert total == 20
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress() as kept:
        attack(model, data, claimed, QUICK, progress=kept, on_progress=interrupt)
    assert path.exists()
    shutil.copy(path, tmp_path / "copy.safetensors")
    steps = []
    with progress() as kept:
        outcome = attack(
            model, data, claimed, QUICK, progress=kept, on_progress=lambda done, total: steps.append((done, total))
        )
    assert steps[0] == (8, 20)
    assert steps[-1] == (20, 20)
    assert steps == sorted(steps)
    whole = attack(model, data, claimed, QUICK)
    assert np.array_equal(outcome.distance, whole.distance)
    assert np.array_equal(outcome.in_float32, whole.in_float32)
    assert np.array_equal(outcome.point, whole.point)
    assert np.array_equal(outcome.changed, whole.changed)
    assert notes == ["continued after 8 of 20 images"]
    # Other settings, other radii: nothing of it is of use.
    for other in (progress(replace(QUICK, seed=1)), progress(about=replace(claimed, radius=claimed.radius * 0.5))):
        shutil.copy(tmp_path / "copy.safetensors", path)
        assert other.load() is None
    assert sum("ignored" in note for note in notes) == 2


def test_attacks_run_in_their_order_whatever_order_they_are_named_in(case, monkeypatch):
    model, data, claimed = case
    called = []
    for name in ATTACKS:
        monkeypatch.setattr(driver, name, lambda *rest, name=name: called.append(name))
    attack(model, data.subset([0]), replace(claimed, **first_row(claimed)), Settings(("boundary", "pgd", "minimum")))
    assert called == list(ATTACKS)
    assert Settings(("boundary", "minimum"), foolbox=("L2PGD",)).names == ("minimum", "boundary", "foolbox:L2PGD")


def first_row(claimed):
    names = ("index", "label", "predicted", "runner_up", "radius", "margin")
    return {name: getattr(claimed, name)[:1] for name in names}


def test_unknown_attacks_are_refused_before_anything_runs():
    for settings in (Settings(("pgd", "magic")), Settings(()), Settings(("pgd",), foolbox=("Magic",))):
        with pytest.raises(UsageError):
            check_settings(settings)
    assert check_settings(Settings()) is None


def test_the_model_is_left_on_the_cpu_and_without_gradients(case):
    model, data, claimed = case
    attack(model, data, claimed, QUICK)
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in model.net.parameters())
    assert torch.is_grad_enabled()
