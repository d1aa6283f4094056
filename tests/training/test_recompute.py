"""A step that computes layers twice ends where a step that keeps everything does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lipscope.errors import UsageError
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.models.lipconvnet import LipConvnetConfig
from lipscope.models.resnet import ResNetConfig
from lipscope.models.shiftnet import ShiftNetConfig
from lipscope.training.loop import train
from lipscope.training.recipe import fast
from lipscope.training.step import make_optimizer, take_step
from tests.training.conftest import ALONE

RECIPE = replace(fast(), learning_rate=0.05, bfloat16=False)

CONFIGS = {conv: LipConvnetConfig(2, 2, conv=conv, activation="hh1") for conv in CONVOLUTIONS} | {
    "shiftnet": ShiftNetConfig(widths=(16, 32), blocks=(2, 1)),
    "resnet": ResNetConfig(18, 2),
}


def outcome(config, recompute: bool, bfloat16: bool) -> tuple[dict[str, torch.Tensor], torch.Tensor, int]:
    """The state after two steps, the sums of the second, and how often the first layer was passed."""
    recipe = replace(RECIPE, recompute=recompute, bfloat16=bfloat16, gamma=0.1 if config.ONE_LIPSCHITZ else 0.0)
    torch.manual_seed(0)
    net, passes = config.build(), []
    net.make_trainable()
    net.train()
    next(net.body())[1].register_forward_pre_hook(lambda *_: passes.append(1))
    optimizer = make_optimizer(net, recipe)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
        sums = take_step(net, optimizer, (images, torch.arange(8)), recipe, ALONE)
    return net.state_dict(), sums, len(passes)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_steps_end_with_the_same_weights_power_iterations_and_statistics(name: str, bfloat16: bool) -> None:
    kept, sums, once = outcome(CONFIGS[name], False, bfloat16)
    found, again, twice = outcome(CONFIGS[name], True, bfloat16)
    assert (once, twice) == (2, 4)
    # These return their free matrices to the manifold in every pass, which moves them by a rounding.
    off = (0.02 if bfloat16 else 1e-4) if name in ("bcop", "aoc") else 0.0
    close = {"rtol": off, "atol": off}
    torch.testing.assert_close(again, sums, **close)
    for key, value in kept.items():
        torch.testing.assert_close(found[key], value, **close, msg=key)


def test_it_is_not_compiled(new_run, few_images) -> None:
    with pytest.raises(UsageError, match="--recompute cannot be compiled"):
        train(new_run(recompute=True), few_images, ALONE, compiled="default")
