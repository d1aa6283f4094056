from __future__ import annotations

import pytest
import torch

from lipscope.bounds import memo
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.memo import content, once_per_content


def test_a_change_behind_torchs_back_is_another_content():
    matrix = torch.eye(3)
    assert spectral_norm_bound(matrix) == pytest.approx(1.0)
    matrix.numpy()[0, 0] = 7.0
    assert spectral_norm_bound(matrix) == pytest.approx(7.0)


def test_the_same_bytes_in_another_shape_dtype_or_sign_are_another_content():
    zeros = torch.zeros(4)
    contents = {
        content(value)
        for value in (zeros, zeros.reshape(2, 2), zeros.double(), torch.zeros(4, dtype=torch.int32), -zeros, 0, 0.0)
    }
    assert len(contents) == 7


def test_a_view_has_the_content_of_what_it_shows():
    values = torch.arange(6.0).reshape(2, 3)
    assert content(values.mT) == content(values.mT.contiguous())
    z = torch.complex(values, values)
    assert content(z.conj()) == content(z.conj().resolve_conj()) != content(z)


def test_other_plain_arguments_are_other_calls_and_only_the_latest_are_kept(monkeypatch):
    monkeypatch.setattr(memo, "REMEMBERED", 2)
    calls = []

    @once_per_content
    def scaled(x: torch.Tensor, factor: float = 1.0) -> float:
        calls.append(factor)
        return float(x) * factor

    one = torch.tensor(1.0)
    assert [scaled(one, factor=f) for f in (1.0, 2.0, 2.0, 3.0, 1.0)] == [1.0, 2.0, 2.0, 3.0, 1.0]
    assert calls == [1.0, 2.0, 3.0, 1.0]


def test_what_fails_is_tried_again():
    calls = []

    @once_per_content
    def failing(x: torch.Tensor) -> float:
        calls.append(1)
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            failing(torch.ones(1))
    assert len(calls) == 2
