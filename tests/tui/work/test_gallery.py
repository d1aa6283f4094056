from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lipscope.attacks.target import distances
from lipscope.data import load
from lipscope.errors import DataError
from lipscope.files.adversarials import Adversarials, adversarials_path, write_adversarials
from lipscope.files.kept_images import Question, kept_adversarial, nearest_adversarial
from lipscope.files.violation import read_pair, violation_path, write_pair
from lipscope.tui.work.gallery import Answer, Gallery, Images
from tests.waiting import GENEROUS, wait_until

SHA, PRINT = "a" * 64, "f" * 64
IMAGE = np.random.default_rng(0).integers(0, 256, (3, 4, 4), dtype=np.uint8)


class Model:
    """Answers with the mean of the image in every class; waits before the first answer until it is let go."""

    def __init__(self, sha256: str = SHA) -> None:
        self.sha256 = sha256
        self.asked: list[float] = []
        self.gate = threading.Event()

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        self.asked.append(float(pixels.mean()))
        self.gate.wait(GENEROUS)
        return np.full(3, pixels.mean())


def open_model() -> Model:
    """One that answers at once."""
    model = Model()
    model.gate.set()
    return model


class Heard(list):
    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def __call__(self, **facts: object) -> None:
        with self.changed:
            self.append(next(iter(facts.values())))
            self.changed.notify_all()

    def wait(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self) >= count, GENEROUS)


def gallery(tmp_path, model, read=load):
    heard = Heard()
    made = Gallery(tmp_path / "model.safetensors", read, lambda path: model, heard, lambda run: run())
    return made, heard


def question(row: int, pixels: np.ndarray | None = IMAGE, sha256: str = SHA) -> Question:
    return Question(row, row, pixels, sha256)


def write_violation(folder, **metadata) -> np.ndarray:
    point = (IMAGE / 255 + 0.01).clip(0, 1).astype(np.float32)
    told = {"index": 7, "adversarial_class": 2, "distance": 0.069}
    known = {"lipscope.violation": "lipscope.violation/1", "model_sha256": SHA, "violation": json.dumps(told)}
    save_file(
        {"image": IMAGE, "adversarial": point},
        violation_path(folder, Path("model.safetensors"), 7),
        known | metadata,
    )
    return point


def test_a_data_set_comes_with_its_fingerprint(tmp_path):
    class About:
        data_name, data_split = "synthetic", "test"

    made, heard = gallery(tmp_path, None)
    made.images.ask((About.data_name, About.data_split))
    assert made.busy or heard
    heard.wait(1)
    (images,) = heard
    assert isinstance(images, Images)
    assert images.fingerprint == load("synthetic", "test").fingerprint()
    assert len(images.data) == 1000


def test_a_missing_data_set_is_news_too(tmp_path):
    class About:
        data_name, data_split = "cifar10", "test"

    def missing(name, split):
        raise DataError("not found", next_step="fetch it")

    made, heard = gallery(tmp_path, None, missing)
    made.images.ask((About.data_name, About.data_split))
    heard.wait(1)
    assert heard[0].data is None
    assert heard[0].error.next_step == "fetch it"


def test_only_the_latest_question_waits(tmp_path):
    model = Model()
    made, heard = gallery(tmp_path, model)
    made.answers.ask(question(0))
    wait_until(lambda: model.asked)
    for row in (1, 2, 3):
        made.answers.ask(question(row))
    assert made.busy
    model.gate.set()
    heard.wait(2)
    assert [answer.row for answer in heard] == [0, 3]
    assert heard[1].logits.tolist() == pytest.approx([IMAGE.mean()] * 3)
    made.close()


def test_a_model_of_other_bytes_does_not_answer(tmp_path):
    made, heard = gallery(tmp_path, Model("b" * 64))
    made.answers.ask(question(0))
    heard.wait(1)
    assert heard[0].logits is None
    assert "another one" in heard[0].failure.what
    made.close()


def test_without_pixels_what_was_kept_is_still_told(tmp_path):
    point = write_violation(tmp_path)
    made, heard = gallery(tmp_path, Model())
    made.answers.ask(question(7, None))
    heard.wait(1)
    (answer,) = heard
    assert isinstance(answer, Answer)
    assert answer.logits is None
    assert np.array_equal(answer.adversarial.point, point)
    assert answer.adversarial.predicted == 2
    made.close()


@pytest.mark.parametrize(
    "metadata", [{"model_sha256": "c" * 64}, {"violation": "{}"}, {"violation": "not json"}, {"violation": "[]"}]
)
def test_a_kept_pair_that_does_not_fit_is_none(tmp_path, metadata):
    write_violation(tmp_path, **metadata)
    assert kept_adversarial(tmp_path / "model.safetensors", question(7)) is None


def test_a_pair_of_another_image_or_a_damaged_one_is_none(tmp_path):
    write_violation(tmp_path)
    assert kept_adversarial(tmp_path / "model.safetensors", question(7)) is not None
    assert kept_adversarial(tmp_path / "model.safetensors", question(8)) is None
    assert kept_adversarial(tmp_path / "model.safetensors", question(7, 255 - IMAGE)) is None
    violation_path(tmp_path, Path("model.safetensors"), 7).write_bytes(b"damaged")
    assert kept_adversarial(tmp_path / "model.safetensors", question(7)) is None


def test_what_an_attack_of_somebody_else_kept_is_claimed(tmp_path, monkeypatch):
    model = tmp_path / "model.safetensors"
    write_violation(tmp_path)
    assert kept_adversarial(model, question(7)).claimed == "it carries no signature"
    pair = read_pair(violation_path(tmp_path, model, 7))
    write_pair(violation_path(tmp_path, model, 7), pair)
    assert kept_adversarial(model, question(7)).claimed == ""
    (distance, _) = write_adversarial(tmp_path)
    assert nearest_adversarial(model, asked(7, distance)).claimed == ""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    assert kept_adversarial(model, question(7)).claimed
    assert nearest_adversarial(model, asked(7, distance)).claimed


def write_adversarial(folder, *, far: float = 0.01, indices=(7, 9), fingerprint: str = PRINT) -> np.ndarray:
    points = np.stack([(IMAGE / 255 + np.where(IMAGE < 128, far, -far)).astype(np.float32)] * len(indices))
    n = len(indices)
    told = distances(torch.from_numpy(points), torch.from_numpy(np.stack([IMAGE] * n))).numpy()
    kept = Adversarials(np.array(indices), np.zeros(n, np.int64), np.full(n, 2), told, points, SHA, fingerprint)
    write_adversarials(adversarials_path(folder / "model.safetensors"), kept)
    return kept.distance


def asked(row: int, distance: float, predicted: int = 0) -> Question:
    return Question(row, row, IMAGE, SHA, PRINT, predicted, distance)


def test_the_nearest_adversarial_image_is_read_and_a_refuted_certificate_goes_before_it(tmp_path):
    (distance, _) = write_adversarial(tmp_path)
    made, heard = gallery(tmp_path, open_model())
    made.answers.ask(asked(7, distance))
    heard.wait(1)
    found = heard[0].adversarial
    assert (found.predicted, found.distance, found.nearest) == (2, distance, True)
    assert np.allclose(np.abs(found.point - IMAGE / 255), 0.01, atol=1e-6)
    made.answers.ask(asked(9, 0.9 * distance))
    heard.wait(2)
    assert not heard[1].adversarial.nearest
    made.answers.ask(asked(8, distance))
    heard.wait(3)
    assert (heard[2].adversarial, heard[2].unkept) == (None, "")
    write_violation(tmp_path)
    made.answers.ask(asked(7, distance))
    heard.wait(4)
    assert heard[3].adversarial.distance == 0.069
    made.close()


@pytest.mark.parametrize("wrong", ["stale", "images", "damaged", "nearer", "class", "other image"])
def test_a_file_of_adversarial_images_that_does_not_fit_is_ignored_and_named(tmp_path, wrong):
    (distance, _) = write_adversarial(tmp_path, fingerprint="e" * 64 if wrong == "images" else PRINT)
    question = asked(7, distance)
    if wrong == "stale":
        question = replace(question, model_sha256="b" * 64)
    elif wrong == "damaged":
        path = adversarials_path(tmp_path / "model.safetensors")
        path.write_bytes(path.read_bytes()[:-5])
    elif wrong == "nearer":
        question = replace(question, distance=1.1 * distance)
    elif wrong == "class":
        question = replace(question, predicted=5)
    elif wrong == "other image":
        question = replace(question, pixels=255 - IMAGE)
    made, heard = gallery(tmp_path, open_model())
    made.answers.ask(question)
    heard.wait(1)
    assert heard[0].adversarial is None
    assert heard[0].unkept.startswith("model.adversarial.safetensors is ignored: ")
    made.close()


def test_images_and_screens_come_without_torch():
    code = (
        "import sys; import lipscope.tui.work.gallery, lipscope.tui.images.pane, lipscope.tui.compare.pane;"
        "from lipscope.data import load; load('synthetic', 'test').fingerprint(); print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=GENEROUS, check=True)
    assert answer.stdout.split() == ["False"]
