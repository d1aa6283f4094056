import numpy as np
import pytest
import torch

from lipscope.analysis.logits import logits_of
from lipscope.data import load
from lipscope.errors import CheckpointError, DataError
from lipscope.files.checkpoint import sha256_of
from lipscope.models.stored import load_model


def test_the_logits_are_those_of_the_model_in_float64(tiny_file):
    model, images = logits_of(tiny_file), load("synthetic", "test").images
    assert model.sha256 == sha256_of(tiny_file)
    net = load_model(tiny_file).net.double()
    for index in (0, 17, 999):
        truth = net(torch.from_numpy(images[index : index + 1]).double() / 255)[0].numpy()
        answer = model.logits(images[index])
        assert answer.dtype == np.float64
        assert np.abs(answer - truth).max() < 1e-5


def test_another_size_is_refused(tiny_file):
    with pytest.raises(DataError, match="another size"):
        logits_of(tiny_file).logits(np.zeros((3, 8, 8), np.uint8))


def test_a_file_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        logits_of(tmp_path / "nothing.safetensors")
