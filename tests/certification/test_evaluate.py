from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lipscope.certification.evaluate import certify, estimate, progress_of
from lipscope.certification.partial import Progress
from lipscope.data import ImageSet, load
from lipscope.errors import CheckFailedError, DataError, LipscopeError, UsageError
from lipscope.layers.contract import UNBOUNDED
from lipscope.layers.elementwise import ReLU
from lipscope.layers.heads import LinearHead
from lipscope.layers.linear import Linear
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.models.composition import LipschitzNet
from lipscope.models.stored import StoredModel, load_model
from lipscope.records import Bound
from tests.attacks.makers import images, linear_net, stored
from tests.models.makers import small_file


@pytest.fixture(scope="module", params=["lln", "orthogonal"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    return load_model(small_file(tmp_path_factory.mktemp("model"), head=request.param, activation="hh1"))


@pytest.fixture(scope="module")
def data() -> ImageSet:
    return load("synthetic", "test").subset(range(40))


def test_radii_from_the_weights_by_numpy(model: StoredModel, data: ImageSet) -> None:
    found = certify(model, data, np.arange(40))
    logits = found.logits.numpy()
    with torch.inference_mode():
        expected = model.net(torch.from_numpy(data.images).double() / 255)
    np.testing.assert_allclose(found.logits, expected, atol=1e-12)
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
        assert radius - 1e-6 < certificates.radius[i] < radius
    assert certificates.lipschitz == pytest.approx(1 / 0.2507, rel=1e-9)
    assert certificates.lipschitz >= 1 / 0.2507


def test_what_the_certificates_are_about(model: StoredModel, data: ImageSet) -> None:
    certificates = certify(model, data, np.arange(100, 140)).certificates
    assert certificates.model_sha256 == model.sha256
    assert certificates.architecture == "lipconvnet"
    assert certificates.data_fingerprint == data.fingerprint()
    assert (certificates.data_name, certificates.data_split) == ("synthetic", "test")
    assert (certificates.standing, certificates.environment["dtype"]) == ("proved", "float64")
    assert not any(certificates.environment["convolution_libraries"].values())
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
    np.testing.assert_allclose(pieces.logits, whole.logits, atol=1e-12)
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
    with pytest.raises(CheckFailedError, match="its bound overflows float64"):
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


def test_numbers_that_may_overflow_are_refused(tmp_path: Path, data: ImageSet) -> None:
    model = load_model(small_file(tmp_path))
    with torch.no_grad():
        model.net.head.bias[3] = math.inf
    with pytest.raises(CheckFailedError, match=r"rounding errors \(head \(LLN\)"):
        certify(model, data)
    with pytest.raises(LipscopeError, match="NaN or infinite"):
        estimate(model, data)


def test_a_layer_that_does_not_say_how_it_rounds_is_refused_by_name(
    model: StoredModel, data: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = dict(model.net.body())["stage3.block1.conv"]
    monkeypatch.setattr(layer, "rounding", lambda *_: UNBOUNDED)
    with pytest.raises(CheckFailedError, match=r"stage3\.block1\.conv \(SOC 3x3, stride 2\)") as caught:
        certify(model, data)
    assert caught.value.exit_code == 5
    assert len(estimate(model, data).certificates) == 40


def test_records_keep_their_numbers(model: StoredModel) -> None:
    everything = load("synthetic", "test")
    chosen = [7, 3, 999]
    some = certify(model, everything.subset(chosen), np.array(chosen)).certificates
    assert some.index.tolist() == chosen
    assert some.label.tolist() == everything.labels[chosen].tolist()
    assert replace(some, radius=some.radius).radius.tolist() == some.radius.tolist()


def test_estimates_are_near_and_called_so(model: StoredModel, data: ImageSet) -> None:
    rough, exact = estimate(model, data).certificates, certify(model, data).certificates
    assert (rough.standing, rough.environment["dtype"]) == ("estimate", "float32")
    assert estimate(model, data).budget is None
    assert np.abs(rough.radius - exact.radius).max() < 1e-4
    assert not np.array_equal(rough.radius, exact.radius)


RARE = 255
"""The byte that switches a bias of 2^26 on."""


def switched() -> LipschitzNet:
    """f_0 = x_1 and f_1 = 1/4, exactly; but where x_0 is white, 2^26 is added to x_1 and then taken away again."""
    gate = Linear(torch.tensor([[0.0, 1.0, 0.0], [2.0**35, 0.0, 0.0]]), torch.tensor([0.0, -(2.0**35) * 254.5 / 255]))
    added = Linear(torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    taken = Linear(torch.tensor([[1.0, -1.0]]))
    head = LinearHead(1, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0], [0.0]]))
        head.bias.copy_(torch.tensor([0.0, 0.25]))
    body = [("flatten", Flatten()), ("gate", gate), ("relu", ReLU()), ("added", added), ("taken", taken)]
    return LipschitzNet(Normalize((0.0,) * 3, (1.0,) * 3), body, head, (3, 1, 1)).eval().requires_grad_(False)


def test_a_bias_that_a_rare_image_switches_on_and_a_later_layer_cancels() -> None:
    """Float32 loses x_1 in it: on 64 images there is no difference, and on the 65th it certifies the wrong class."""
    pixels = np.full((65, 3, 1, 1), 128, np.uint8)
    pixels[:, 0] = 100
    pixels[64, 0] = RARE
    data = ImageSet("synthetic", "test", pixels, np.zeros(65, np.int64), ("x_1", "1/4"), "made")
    model = stored(switched())
    rough, sound = estimate(model, data).certificates, certify(model, data).certificates
    assert rough.predicted.tolist() == [0] * 64 + [1]
    assert (rough.radius > 0).all()
    assert sound.predicted.tolist() == [0] * 65  # 128/255 > 1/4, whatever x_0 is
    assert (sound.radius > 0).all()


def test_what_float64_loses_as_well_certifies_nothing() -> None:
    net = switched()
    with torch.no_grad():
        dict(net.body())["gate"].bias[1] = 2.0**90
    pixels = np.full((2, 3, 1, 1), 128, np.uint8)
    data = ImageSet("synthetic", "test", pixels, np.zeros(2, np.int64), ("a", "b"), "made")
    with torch.inference_mode():
        assert net(torch.from_numpy(data.images).double() / 255).argmax(1).tolist() == [1, 1]
    assert certify(stored(net), data).certificates.radius.tolist() == [0, 0]


def twins(difference: float) -> tuple[LipschitzNet, ImageSet]:
    """A linear net whose classes 0 and 1 have equal rows, with this difference of their biases."""
    net = linear_net(1)
    with torch.no_grad():
        # Rows that sum to about 0, so that small biases decide nothing but between the twins.
        net.head.weight.sub_(net.head.weight.mean(dim=1, keepdim=True))
        net.head.weight[1] = net.head.weight[0]
        net.head.bias.zero_()[1] = -difference
    return net, images(200, 1)


def test_equal_rows_with_equal_biases_are_an_exact_tie() -> None:
    net, data = twins(0.0)
    found = certify(stored(net), data).certificates
    tied = found.predicted < 2
    assert tied.any()
    assert not found.radius[tied].any()
    assert (found.radius[~tied] > 0).all()
    assert not estimate(stored(net), data).certificates.radius[tied].any()


@pytest.mark.parametrize("difference", [1e-30, 0.5, -1e-30, -0.5])
def test_of_equal_rows_with_different_biases_the_larger_bias_wins_everywhere(difference: float) -> None:
    net, data = twins(difference)
    found = certify(stored(net), data).certificates
    winner, loser = (0, 1) if difference > 0 else (1, 0)
    rows = np.flatnonzero(found.predicted == winner)
    assert len(rows) or difference < 0
    # Without the loser, whose logit lies below the winner's on every image, nothing changes.
    weight, bias = (values.double().numpy() for values in (net.head.weight, net.head.bias))
    for row in rows:
        features = data.images[row].ravel() / 255
        logits = weight @ features + bias
        others = [i for i in range(5) if i not in (winner, loser)]
        exact = min((logits[winner] - logits[i]) / np.linalg.norm(weight[winner] - weight[i]) for i in others)
        assert found.radius[row] == pytest.approx(exact, abs=1e-9)
        assert found.runner_up[row] in others
    assert not found.radius[found.predicted == loser].any()


def test_an_interrupted_evaluation_continues(model: StoredModel, data: ImageSet, tmp_path: Path) -> None:
    notes: list[str] = []
    whole = certify(model, data, batch_size=10)

    def progress() -> Progress:
        return progress_of(tmp_path / "part.safetensors", model, data, np.arange(40), device="cpu", note=notes.append)

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress() as first:
        certify(model, data, batch_size=10, on_progress=stop, progress=first)
    told: list[int] = []
    with progress() as second:
        again = certify(model, data, batch_size=10, on_progress=lambda done, _: told.append(done), progress=second)
    assert told == [30, 40]
    assert np.array_equal(again.certificates.radius, whole.certificates.radius)
    assert notes == ["continued after 20 of 40 images"]


def test_a_device_without_float64_is_refused(model: StoredModel, data: ImageSet) -> None:
    with pytest.raises(UsageError, match="float64"):
        certify(model, data, device="mps")
