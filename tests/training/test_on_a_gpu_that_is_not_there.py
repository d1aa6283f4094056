"""What a GPU would be asked to do, on tensors that only pretend to be there.

Fake CUDA tensors have shapes and devices and no values: an operation between two devices raises, and so does every
look at a value (``.item()``, ``if tensor``), for which a GPU would have to be waited for. What they cannot run is
``backward`` (autograd asks for the device), so gradients, optimisers and the attacks' searches are left to
``benchmarks/gpu.sh``.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode, unset_fake_temporarily

from lipscope.attacks.minimum import onto_boundary
from lipscope.attacks.target import margins
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.last_layers import HEADS
from lipscope.models.architecture import Config
from lipscope.models.composition import LipschitzNet
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.registry import build
from lipscope.models.resnet import ResNetConfig
from lipscope.training.augment import crop_and_flip
from lipscope.training.losses import (
    certificate_regularisation,
    correct_and_certified,
    nominal_pair_constants,
)
from lipscope.training.recipe import LOSSES, PADDING_MODES

GPU = torch.device("cuda")
FAMILIES = [
    *itertools.product(CONVOLUTIONS, ["maxmin"], HEADS),
    *itertools.product(["soc"], ["hh1", "hh2", "groupsort4"], ["lln"]),
]


@contextmanager
def pretended() -> Iterator[None]:
    with warnings.catch_warnings():
        # Autocast says that there is no CUDA here.
        warnings.filterwarnings("ignore", message=".*CUDA is not available.*")
        with FakeTensorMode(allow_non_fake_inputs=False):
            yield


def made(config: Config, *, training: bool) -> LipschitzNet:
    """A network whose parameters and buffers are fake; it is built with real ones, which may be looked at."""
    with unset_fake_temporarily():
        net = build(config.to_json(), "a test")
        if training:
            net.make_trainable()
    for module in net.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(torch.empty(weight.shape, device=GPU), weight.requires_grad)
        for name, values in module._buffers.items():
            if values is not None:
                module._buffers[name] = torch.empty(values.shape, dtype=values.dtype, device=GPU)
    return net.train(training)


def logits_of(net: LipschitzNet) -> Tensor:
    images = torch.empty(4, 3, 32, 32, device=GPU)
    with torch.autocast("cuda", torch.bfloat16, enabled=net.training):
        features = net.features(images)
    logits: Tensor = net.head(features.float())
    return logits


def on_the_gpu(values: Tensor, shape: tuple[int, ...]) -> None:
    assert (values.device.type, tuple(values.shape)) == ("cuda", shape)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("conv", "activation", "head"), FAMILIES)
def test_lipconvnets_stay_on_the_device_and_wait_for_nothing(
    conv: str, activation: str, head: str, training: bool
) -> None:
    with pretended():
        net = made(LipConvnetConfig(2, 4, activation, head, conv=conv), training=training)
        on_the_gpu(logits_of(net), (4, 10))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "conv", [conv if conv in ("soc", "cayley") else pytest.param(conv, marks=pytest.mark.slow) for conv in CONVOLUTIONS]
)
def test_residual_networks_do_too(conv: str, training: bool) -> None:
    with pretended():
        on_the_gpu(logits_of(made(ResNetConfig(18, 4, conv), training=training)), (4, 10))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_values_of_the_device(loss: str, head: str) -> None:
    with pretended():
        net = made(LipConvnetConfig(1, 4, head=head), training=True)
        logits, labels = logits_of(net), torch.zeros(4, dtype=torch.int64, device=GPU)
        constants = nominal_pair_constants(net)
        on_the_gpu(LOSSES[loss](logits, labels, 0.5, 1.0, constants), ())
        on_the_gpu(certificate_regularisation(logits, labels, constants), ())
        on_the_gpu(correct_and_certified(logits, labels, constants), (2,))


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_augmentation_runs_where_the_images_are(padding_mode: str) -> None:
    generator = torch.Generator()
    with pretended():
        images = torch.empty(4, 3, 32, 32, dtype=torch.uint8, device=GPU)
        on_the_gpu(crop_and_flip(images, generator, padding_mode=padding_mode), (4, 3, 32, 32))


def test_steps_of_an_attack_run_where_the_images_are() -> None:
    with pretended():
        points, gradient = (torch.empty(4, 3, 32, 32, device=GPU) for _ in range(2))
        classes = torch.zeros(4, dtype=torch.int64, device=GPU)
        on_the_gpu(margins(torch.empty(4, 10, device=GPU), classes), (4, 10))
        on_the_gpu(onto_boundary(points, gradient, torch.empty(4, device=GPU)), (4, 3, 32, 32))


def waits(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def mixes(x: Tensor) -> Tensor:
    return x + torch.ones(3, device="cpu")


@pytest.mark.parametrize(("fault", "error"), [(waits, DataDependentOutputException), (mixes, RuntimeError)])
def test_a_look_at_a_value_and_a_tensor_of_another_device_would_be_seen(
    fault: Callable[[Tensor], Tensor], error: type[Exception]
) -> None:
    with pretended(), pytest.raises(error):
        fault(torch.empty(3, device=GPU))
