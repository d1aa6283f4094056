import json

import pytest
import torch

from lipscope.analysis.gradients import gradient_norms
from lipscope.files.processes import this_process
from lipscope.files.run_log import Progress, read_run
from lipscope.models.stored import load_model
from lipscope.training import loop
from lipscope.training.holdout import split_holdout
from lipscope.training.layerwise import IMAGES, Allowance, few_images
from lipscope.training.loop import Listeners, train
from tests.training.conftest import ALONE


def told(run):
    return read_run(run.path)


def test_the_last_line_is_about_the_stored_model(new_run, few_images):
    run = new_run(holdout=0)
    assert train(run, few_images, ALONE)
    log = told(run)
    assert [record.epoch for record in log.layers] == [1, 2, 3]
    assert [record.step for record in log.layers] == [event.step for event in log.epochs]
    stored = load_model(run.model).net
    images = torch.from_numpy(few_images.images[:IMAGES]).float() / 255
    flow = gradient_norms(stored, images, "by hand")
    by_name = {layer.name: layer for layer in log.layers[-1].layers}
    assert list(by_name) == [name for name, _, _ in stored.layers()]
    for name, layer, shape in stored.layers():
        bound = layer.bound(shape)
        assert by_name[name].bound == (bound.value if bound.proved else None)
        assert by_name[name].method == (bound.method if bound.proved else bound.reason)
        assert by_name[name].gradient == pytest.approx(flow[name].mean, rel=1e-5)
    assert log.layers[0].layers != log.layers[-1].layers


def test_every_number_is_called_proved_or_an_estimate(new_run, few_images):
    run = new_run(epochs=1)
    assert train(run, few_images, ALONE)
    (line,) = map(json.loads, run.layers.read_text().splitlines())
    assert line["schema"] == "lipscope.run-layers/1"
    assert line["images"] == "16 held-out images"
    for layer in line["layers"]:
        assert layer["bound"]["label"] == ("proved upper bound" if layer["bound"]["proved"] else "not proved")
        assert layer["gradient_norm"]["label"] == "estimate"


def test_images_that_gradients_are_measured_on():
    from lipscope.data.synthetic import synthetic

    data = synthetic("synthetic", "train").subset(range(40))
    held, which = few_images(split_holdout(data, 8, 0, ALONE.device))
    assert (len(held), which) == (8, "8 held-out images")
    learnt, which = few_images(split_holdout(data, 0, 0, ALONE.device))
    assert (learnt.shape, which) == ((16, 3, 32, 32), "16 training images")
    assert 0 <= learnt.min() < learnt.max() <= 1


def test_no_more_than_its_share_of_the_time(new_run, few_images, monkeypatch):
    """A measurement that takes long is left out, but for the first and the last epoch."""
    real = Allowance.measure

    def slow(self, *arguments):
        measured = real(self, *arguments)
        self.last = 100.0
        self.spent += 100.0
        return measured

    monkeypatch.setattr(Allowance, "measure", slow)
    run = new_run(epochs=4)
    assert train(run, few_images, ALONE)
    assert [record.epoch for record in told(run).layers] == [1, 4]


def test_the_folder_tells_where_the_training_stands(new_run, few_images, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_EVERY", 0.0)
    run = new_run()
    seen = []
    stop = iter([False] * 8 + [True])
    listeners = Listeners(
        on_step=lambda event: seen.append((event, told(run).progress)), should_stop=lambda: next(stop)
    )
    assert not train(run, few_images, ALONE, listeners)
    here = this_process()
    assert [progress for _, progress in seen] == [Progress("running", event, here) for event, _ in seen]
    assert told(run).progress == Progress("stopped", seen[-1][0], here)
    assert train(run, few_images, ALONE)
    finished = told(run).progress
    assert (finished.status, finished.event.step) == ("finished", finished.event.steps)


def test_a_stop_before_the_first_report_and_a_failure_are_told(new_run, few_images):
    run = new_run()
    assert not train(run, few_images, ALONE, Listeners(should_stop=lambda: True))
    assert told(run).progress == Progress("stopped", None, this_process())

    def fail(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, few_images, ALONE, Listeners(on_epoch=fail))
    assert told(run).progress.status == "failed"


def test_a_folder_that_cannot_be_written_to_does_not_end_the_training_for_the_sake_of_progress(new_run):
    run = new_run()
    run.path.rename(run.path.with_name("elsewhere"))
    run.tell("running", None)
    assert not run.path.exists()


def test_lines_of_layers_are_forgotten_with_those_of_metrics(new_run, few_images):
    run = new_run()
    assert train(run, few_images, ALONE)
    with run.layers.open("a") as file:
        file.write('{"schema": "lipscope.run-la')
    run.forget_after(2)
    assert [record.epoch for record in told(run).layers] == [event.epoch for event in told(run).epochs] == [1, 2]
    assert run.layers.read_text().endswith("}\n")
