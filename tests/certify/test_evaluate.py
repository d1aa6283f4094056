from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lipscope.certify.evaluate import certify
from lipscope.data import ImageSet, load
from lipscope.data.synthetic import synthetic
from lipscope.errors import CheckFailedError, DataError, LipscopeError
from lipscope.models.stored import StoredModel, load_model
from lipscope.records import Bound
from tests.models.makers import small_file


@pytest.fixture(scope="module", params=["lln", "orthogonal"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    return load_model(small_file(tmp_path_factory.mktemp("model"), head=request.param, activation="hh1"))


@pytest.fixture(scope="module")
def data() -> ImageSet:
    return load("synthetic", "test").subset(range(40))


def test_radii_from_the_weights_by_numpy(model: StoredModel, data: ImageSet) -> None:
    found = certify(model, data, np.arange(40))
    logits = found.logits.double().numpy()
    with torch.inference_mode():
        expected = model.net(torch.from_numpy(data.images).float() / 255)
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    if model.net.head.kind == "LLN":
        rows = model.net.head.weight.double().numpy()
        distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    else:
        distances = np.full((10, 10), math.sqrt(2))
    certificates = found.certificates
    for i in range(40):
        label = int(np.argmax(logits[i]))
        others = [j for j in range(10) if j != label]
        radius = min((logits[i, label] - logits[i, j]) / distances[label, j] * 0.2507 for j in others)
        assert certificates.predicted[i] == label
        assert certificates.radius[i] == pytest.approx(radius, rel=1e-9)
        assert certificates.radius[i] <= radius
    assert certificates.lipschitz == pytest.approx(1 / 0.2507, rel=1e-9)
    assert certificates.lipschitz >= 1 / 0.2507


def test_what_the_certificates_are_about(model: StoredModel, data: ImageSet) -> None:
    certificates = certify(model, data, np.arange(100, 140)).certificates
    assert certificates.model_sha256 == model.sha256
    assert certificates.architecture == "lipconvnet"
    assert certificates.data_fingerprint == data.fingerprint()
    assert (certificates.data_name, certificates.data_split) == ("synthetic", "test")
    assert certificates.kind == "real-arithmetic"
    assert certificates.index.tolist() == list(range(100, 140))
    assert certificates.index.dtype == certificates.label.dtype == certificates.predicted.dtype == np.int64
    assert certificates.radius.dtype == np.float64
    np.testing.assert_array_equal(certificates.label, data.labels)
    assert set(certificates.environment) >= {"torch", "device", "dtype", "fp32_precision", "threads"}


def test_the_batch_size_does_not_matter_and_progress_is_told(model: StoredModel, data: ImageSet) -> None:
    told: list[tuple[int, int]] = []
    whole = certify(model, data, np.arange(40))
    pieces = certify(
        model, data, np.arange(40), batch_size=15, on_progress=lambda done, total: told.append((done, total))
    )
    np.testing.assert_allclose(pieces.logits, whole.logits, atol=1e-5)
    assert told == [(15, 40), (30, 40), (40, 40)]


def test_reduced_precision_is_off_while_certifying_and_restored_after(model: StoredModel, data: ImageSet) -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        certificates = certify(model, data, np.arange(40)).certificates
        assert set(certificates.environment["fp32_precision"].values()) == {"ieee"}
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def test_no_attack_succeeds_within_a_certified_radius(model: StoredModel, data: ImageSet) -> None:
    """Steepest descent of the deciding margin in float64, on the sphere of 99.9% of the radius."""
    certificates = certify(model, data, np.arange(40)).certificates
    images = torch.from_numpy(data.images).double() / 255
    radius = torch.from_numpy(certificates.radius)[:, None, None, None] * 0.999
    predicted = torch.from_numpy(certificates.predicted)[:, None]
    runner_up = torch.from_numpy(certificates.runner_up)[:, None]
    step = torch.zeros_like(images)
    margins = []
    for _ in range(12):
        point = (images + step).requires_grad_()
        logits = model.net(point)
        margin = (logits.gather(1, predicted) - logits.gather(1, runner_up)).squeeze(1)
        margins.append(float(margin.detach().mean()))
        assert bool((logits.argmax(1) == predicted.squeeze(1)).all())
        (gradient,) = torch.autograd.grad(margin.sum(), point)
        length = gradient.flatten(1).norm(dim=1)[:, None, None, None]
        step = -radius * gradient / length
    assert margins[-1] < 0.9 * margins[0], "the attack does not attack"


def test_a_layer_without_a_proof_is_refused_by_name(
    model: StoredModel, data: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = dict(model.net.body())["stage3.block1.conv"]
    monkeypatch.setattr(layer, "bound", lambda shape: Bound.unproved("no idea"))
    with pytest.raises(CheckFailedError, match=r"stage3\.block1\.conv: no idea") as caught:
        certify(model, data, np.arange(40))
    assert caught.value.exit_code == 5


def test_an_infinite_bound_is_refused(tmp_path: Path, data: ImageSet) -> None:
    model = load_model(small_file(tmp_path))
    layer = dict(model.net.body())["stage1.block1.conv"]
    with torch.no_grad():
        layer.kernel.mul_(1e38)
    with pytest.raises(CheckFailedError, match="it is infinite"):
        certify(model, data, np.arange(40))


def test_data_that_do_not_fit_are_refused(model: StoredModel, data: ImageSet) -> None:
    with pytest.raises(DataError, match="no images"):
        certify(model, data.subset([]), np.arange(0))
    with pytest.raises(DataError, match="another number of classes") as caught:
        certify(model, load("synthetic100", "test").subset(range(3)), np.arange(3))
    assert "100, but the model has 10" in caught.value.why


def test_images_of_another_size_are_refused(tmp_path: Path, data: ImageSet) -> None:
    with pytest.raises(DataError, match="another size"):
        certify(load_model(small_file(tmp_path, image_size=64)), data, np.arange(40))


def test_logits_that_overflow_are_an_error(tmp_path: Path, data: ImageSet) -> None:
    model = load_model(small_file(tmp_path))
    with torch.no_grad():
        model.net.head.bias[3] = math.inf
    with pytest.raises(LipscopeError, match="NaN or infinite"):
        certify(model, data, np.arange(40))


def test_records_keep_their_numbers(model: StoredModel) -> None:
    everything = load("synthetic", "test")
    chosen = [7, 3, 999]
    some = certify(model, everything.subset(chosen), np.array(chosen)).certificates
    assert some.index.tolist() == chosen
    assert some.label.tolist() == everything.labels[chosen].tolist()
    assert replace(some, radius=some.radius).radius.tolist() == some.radius.tolist()


def test_weights_that_float32_cannot_evaluate_are_refused(tiny_model):
    """A huge bias that the next one cancels: in real arithmetic nothing changes, in float32 everything does."""
    model, data = load_model(tiny_model), synthetic("synthetic", "test").subset(range(20))
    assert certify(model, data, np.arange(20)).certificates.environment["float32_logit_error"]["largest"] < 1e-5
    body, head = dict(model.net.body())["stage5.block1.conv"], model.net.head
    body.bias += 1e7
    head.bias -= 1e7 * head.weight.sum(dim=1)
    with pytest.raises(CheckFailedError, match="float32 is too coarse"):
        certify(model, data, np.arange(20))


def shifted(model: StoredModel, shift: float, head: float) -> StoredModel:
    """A bias before a head whose rows sum to exactly 0: the logits are ``head`` times those without, exactly."""
    body, last = dict(model.net.body())["stage5.block1.conv"], model.net.head
    rows = (last.weight.double() * 2**12).round()
    rows[:, 0] -= rows.sum(dim=1)
    body.bias.fill_(shift)
    last.weight.copy_(rows * 2.0**-12 * head)
    last.bias.zero_()[3] = head / 4
    return model


@pytest.mark.parametrize(
    ("shift", "head", "said"),
    [
        (2.0**24, 2.0**-20, "a radius is off by"),
        (2.0**60, 1.0, "one rounding even of float64 moves a radius by"),
    ],
    ids=["logits too small to differ", "float64 loses the features too"],
)
def test_radii_that_are_rounding_alone_are_refused(tiny_model, shift, head, said):
    """Float32 and float64 agree on the logits, to 1e-4 or entirely; the radii would be of another network."""
    data = synthetic("synthetic", "test").subset(range(20))
    plain = certify(shifted(load_model(tiny_model), 0.0, head), data, np.arange(20)).certificates
    assert plain.environment["float32_radius_error"]["largest"] < 1e-6
    model = shifted(load_model(tiny_model), shift, head)
    with torch.inference_mode():
        images = torch.from_numpy(data.images).double() / 255
        assert (model.net(images) - model.net(images.float())).abs().max() < 1e-4
    with pytest.raises(CheckFailedError, match=said):
        certify(model, data, np.arange(20))
