"""Runs compared, and trainings stopped after some steps."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

from lipscope.files.checkpoint import read_header
from lipscope.training.loop import Listeners, train
from tests.training.conftest import ALONE

STEPS = 18
"""Three epochs of six batches of 40 of the 240 images that are learnt from."""


def lines(run):
    """The metrics but for the clocks."""
    parsed = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in parsed]


def assert_same_outcome(run, other):
    assert run.layers.read_bytes() == other.layers.read_bytes()
    ours, theirs = load_file(run.model), load_file(other.model)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    assert lines(run) == lines(other)
    first, second = (dict(read_header(each.model).training) for each in (run, other))
    first.pop("wall_seconds"), second.pop("wall_seconds")
    assert first == second


class StopAfter:
    """Says yes when it has been asked this many times."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def train_in_pieces(run, data, piece):
    pieces = 0
    while not train(run, data, ALONE, Listeners(should_stop=StopAfter(piece))):
        pieces += 1
        assert pieces <= STEPS
    return pieces
