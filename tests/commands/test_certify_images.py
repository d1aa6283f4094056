"""Which images are certified, and what is wrong with the others."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lipscope.data.synthetic import synthetic
from lipscope.files.results import read_results, results_path, summary_path
from tests.commands.certifying import as_json, beside, certify, error_of, kept
from tests.models_on_disk import alter

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.mark.parametrize(
    ("options", "index"),
    [
        (("--limit", 5), [0, 1, 2, 3, 4]),
        (("--indices", "3,17,42"), [3, 17, 42]),
        (("--indices", " 999 , 0"), [999, 0]),
        (("--indices", "7"), [7]),
    ],
)
def test_selections_write_nothing(tiny_model, certified, capsys, options, index):
    whole = read_results(results_path(certified))
    results_path(certified).unlink()
    summary_path(results_path(certified)).unlink()
    facts = as_json(capsys, tiny_model, *options, "--per-image", "--batch", 2)
    assert [image["index"] for image in facts["images"]] == index
    assert facts["data"]["n"] == len(index)
    labels = synthetic("synthetic", "test").labels[index]
    assert [image["label"] for image in facts["images"]] == labels.tolist()
    for image in facts["images"]:
        assert image["predicted"] == whole.predicted[image["index"]]
        assert image["radius"] == pytest.approx(whole.radius[image["index"]], rel=1e-3, abs=1e-6)
        assert "logits" not in image
    assert beside(tiny_model) == {"model.safetensors"}


def test_a_selection_leaves_the_results_file_alone(certified, capsys):
    before = results_path(certified).read_bytes()
    assert certify(certified, "--limit", 3, "--force") == 0
    assert certify(certified, "--indices", "1,2", "--force") == 0
    assert results_path(certified).read_bytes() == before
    assert "2 images" in capsys.readouterr().out


def test_all_record_numbers_are_still_a_selection(tiny_model):
    assert certify(tiny_model, "--indices", ",".join(map(str, range(1000))), "--batch", 1000) == 0
    assert not results_path(tiny_model).exists()


def test_no_data_set(tiny_model, capsys, tmp_path, no_data):
    alter(tiny_model, config={"dataset": "cifar10"})
    code, line = error_of(capsys, tiny_model, "--data-dir", tmp_path / "mine")
    assert code == 3
    for place in (tmp_path / "mine", no_data):
        assert str(place) in line
    assert "lipscope data fetch cifar10" in line


def test_results_on_another_data_set_are_not_kept(tiny_model, capsys):
    alter(tiny_model, config={"dataset": "cifar10"})
    assert certify(tiny_model, "--dataset", "synthetic") == 0
    assert "not kept" in capsys.readouterr().err
    assert not tiny_model.with_name("model.certified.safetensors").exists()


def test_training_images_are_certified_but_not_kept(certified, capsys):
    before = kept(certified)
    assert certify(certified, "--train-set", "--csv", certified.with_name("all.csv")) == 0
    told = capsys.readouterr()
    assert "data       synthetic train, 5,000 images" in told.out
    assert "not kept: the results file beside the model is for the test images of synthetic" in told.err
    assert kept(certified) == before
    assert beside(certified) == {"model.safetensors", "model.certified.safetensors", "model.certified.json", "all.csv"}
    labels = [line.split(",")[1] for line in certified.with_name("all.csv").read_text().splitlines()[1:]]
    assert labels == [str(label) for label in synthetic("synthetic", "train").labels]


def put_images(folder: Path, names: dict[str, int]) -> Path:
    """Synthetic test images as PNG files, by record number."""
    images = synthetic("synthetic", "test").images
    for name, number in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number].transpose(1, 2, 0)).save(path)
    return folder


def test_a_folder_of_images_with_labels(certified, capsys, tmp_path):
    labels = synthetic("synthetic", "test").labels
    names = {f"{'pattern ' if number % 2 else ''}{labels[number]}/{number}.png": number for number in range(12)}
    folder, before = put_images(tmp_path / "mine", names), kept(certified)
    whole = read_results(results_path(certified))
    facts = as_json(capsys, certified, "--images", folder, "--per-image", "--eps", "1/255")
    assert facts["data"]["name"] == str(folder)
    assert (facts["data"]["split"], facts["data"]["n"], facts["data"]["labelled"]) == ("images", 12, True)
    assert [image["file"] for image in facts["images"]] == sorted(names)
    for image in facts["images"]:
        number = names[image["file"]]
        assert (image["label"], image["predicted"]) == (labels[number], whole.predicted[number])
        assert image["radius"] == pytest.approx(whole.radius[number], rel=1e-3, abs=1e-6)
    assert facts["clean"]["count"] == int(whole.correct[:12].sum())
    assert kept(certified) == before
    some = as_json(capsys, certified, "--images", folder, "--indices", "3,1", "--per-image")
    assert [image["file"] for image in some["images"]] == [sorted(names)[3], sorted(names)[1]]


def test_a_folder_of_images_without_labels(tiny_model, capsys, tmp_path):
    folder = put_images(tmp_path / "mine", {"b.png": 1, "a.png": 0, "notes/c.png": 2})
    (folder / "words.txt").write_text("words")
    facts = as_json(capsys, tiny_model, "--images", folder, "--per-image", "--eps", "0")
    for name in ("clean", "certified", "average_certified_radius", "mean_radius_of_correct", "classes", "curve"):
        assert facts[name] is None
    radii = [image["radius"] for image in facts["images"]]
    assert facts["unchanging"][0]["count"] == sum(radius > 0 for radius in radii)
    assert facts["mean_radius"] == pytest.approx(sum(radii) / 3)
    assert [image["label"] for image in facts["images"]] == [None] * 3
    assert certify(tiny_model, "--images", folder, "--csv", tmp_path / "x.csv") == 0
    out, err = capsys.readouterr()
    assert "radius > 36/255" in out
    assert not re.search("clean|certified @|misclassified|average certified", out)
    assert "left out, as neither PNG nor JPEG: words.txt" in err
    assert "'notes' is no class" in err
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [(row["file"], row["label"], row["label_name"]) for row in rows] == [
        ("a.png", "", ""), ("b.png", "", ""), ("notes/c.png", "", ""),
    ]  # fmt: skip
    assert [float(row["radius"]) for row in rows] == radii
    assert error_of(capsys, tiny_model, "--images", folder, "--min-certified", "0@0")[0] == 2
    assert beside(tiny_model) == {"model.safetensors", "mine", "x.csv"}


def test_images_that_cannot_be(certified, capsys, tmp_path):
    """Unreadable, of another size or type, labelled out of range, or none: exit code 3 with the file's name."""
    before = kept(certified)
    good = put_images(tmp_path / "good", {"a.png": 1})
    cases = {"unreadable": "not a readable PNG", "size": "another size", "type": "three channels of 8 bits"}
    for name, said in cases.items():
        folder = tmp_path / name
        shutil.copytree(good, folder)
        if name == "unreadable":
            (folder / "x.png").write_bytes((good / "a.png").read_bytes()[:200])
        else:
            shape = (33, 32, 3) if name == "size" else (32, 32)
            Image.fromarray(np.zeros(shape, np.uint8)).save(folder / "x.png")
        code, line = error_of(capsys, certified, "--images", folder)
        assert code == 3
        assert line.startswith(f"lipscope: {folder / 'x.png'}: ")
        assert said in line
    code, line = error_of(capsys, certified, "--images", put_images(tmp_path / "labels", {"10/x.png": 0}))
    assert (code, "a label is out of range" in line) == (3, True)
    (tmp_path / "empty").mkdir()
    code, line = error_of(capsys, certified, "--images", tmp_path / "empty")
    assert (code, "no images in it" in line) == (3, True)
    assert error_of(capsys, certified, "--images", tmp_path / "none")[0] == 3
    assert kept(certified) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--images", "x", "--dataset", "synthetic"), "--images and --dataset"),
        (("--images", "x", "--train-set"), "--images and --train-set"),
        (("--indices", ""), "not a list of numbers"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_selections_that_cannot_be(certified, capsys, options, said):
    before = kept(certified)
    code, line = error_of(capsys, certified, *options)
    assert (code, said in line) == (2, True)
    assert kept(certified) == before


@pytest.mark.parametrize(
    ("spoil", "options", "said"),
    [
        (lambda folder: (folder / "test_batch.bin").unlink(), (), "test_batch.bin: a file of the data set is missing"),
        (lambda folder: (folder / "data_batch_3.bin").unlink(), ("--train-set",), "data_batch_3.bin: a file"),
        (lambda folder: label(folder / "test_batch.bin", 10), (), "a label is out of range (record 1 says 10"),
        (lambda folder: shorten(folder / "test_batch.bin"), (), "the file is truncated"),
    ],
    ids=["test batch missing", "training batch missing", "label", "truncated"],
)
def test_a_damaged_data_set_is_named_and_what_is_kept_stays(certified, capsys, tmp_path, spoil, options, said):
    alter(certified, config={"dataset": "cifar10"})
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name in ("test_batch.bin", *(f"data_batch_{number}.bin" for number in range(1, 6))):
        (folder / name).write_bytes(np.random.default_rng(0).integers(0, 10, 4 * 3073, np.uint8).tobytes())
    spoil(folder)
    before = kept(certified)
    code, line = error_of(capsys, certified, "--data-dir", tmp_path / "data", *options)
    assert code == 3
    assert line.startswith(f"lipscope: {folder}")
    assert said in line
    assert kept(certified) == before


def label(path: Path, value: int) -> None:
    """Give the second record of a file another label."""
    content = bytearray(path.read_bytes())
    content[3073] = value
    path.write_bytes(content)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
