"""A training that learns from more images than the data set's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from lipscope.data.extra import open_extra
from lipscope.errors import UsageError
from lipscope.files.checkpoint import read_header
from lipscope.training import loop
from lipscope.training.loop import Listeners, train
from tests.training.conftest import ALONE


@pytest.fixture
def mixed(few_images, tmp_path):
    """The data set with a file of images of one grey each, 1 to 50, which crops leave recognisable."""
    greys = np.broadcast_to(np.arange(1, 51, dtype=np.uint8)[:, None, None, None], (50, 32, 32, 3))
    np.savez(tmp_path / "extra.npz", image=np.ascontiguousarray(greys), label=np.arange(50) % 10)
    return replace(few_images, extra=open_extra(tmp_path / "extra.npz", (3, 32, 32), 10))


def test_a_share_of_every_batch_is_theirs_with_their_labels_and_the_model_says_so(new_run, mixed, monkeypatch) -> None:
    run = new_run(epochs=1, extra=mixed.extra.sha256, extra_share=0.75)
    real, seen = loop.take_step, []

    def watched(net, optimizer, batch, *rest):
        seen.append(batch)
        return real(net, optimizer, batch, *rest)

    monkeypatch.setattr(loop, "take_step", watched)
    assert train(run, mixed, ALONE)
    # An epoch passes the data set's own images, 10 of 40 in a step.
    assert len(seen) == (len(mixed) - 60) // 10
    for images, labels in seen:
        assert len(images) == 40
        greys = images[10:, :, 16, 16]
        assert (greys == greys[:, :1]).all()
        assert (labels[10:] == (greys[:, 0].long() - 1) % 10).all()
    assert len({int(grey) for images, _ in seen for grey in images[10:, 0, 16, 16]}) > 30
    recipe = read_header(run.model).training["recipe"]
    assert (recipe["extra"], recipe["extra_share"]) == (mixed.extra.sha256, 0.75)


def test_a_run_that_stopped_ends_with_the_weights_of_an_unbroken_one(new_run, mixed) -> None:
    asked = {"epochs": 1, "extra": mixed.extra.sha256, "extra_share": 0.5}
    whole, broken = new_run("whole", **asked), new_run("broken", **asked)
    assert train(whole, mixed, ALONE)
    left = iter([False] * 3 + [True])
    assert not train(broken, mixed, ALONE, Listeners(should_stop=lambda: next(left)))
    assert train(broken, mixed, ALONE)
    expected, found = load_file(whole.model), load_file(broken.model)
    assert all((found[name] == value).all() for name, value in expected.items())


def test_other_images_than_the_run_s_are_refused(new_run, few_images, mixed) -> None:
    with pytest.raises(UsageError, match="not the --extra that the run learns from"):
        train(new_run("one", extra="0" * 64, extra_share=0.5), mixed, ALONE)
    with pytest.raises(UsageError, match="--extra"):
        train(new_run("two", extra=mixed.extra.sha256, extra_share=0.5), few_images, ALONE)
    with pytest.raises(UsageError, match="it learns from none"):
        train(new_run("three"), mixed, ALONE)


def test_a_batch_that_leaves_none_of_the_data_set_s_own_is_refused(new_run, mixed) -> None:
    with pytest.raises(UsageError, match="cannot be shared as"):
        train(new_run(batch_size=2, extra=mixed.extra.sha256, extra_share=0.9), mixed, ALONE)
