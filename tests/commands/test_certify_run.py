"""What is kept, what answers, and what goes on where it stopped."""

from __future__ import annotations

import json
import re
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from lipscope.certify.partial import partial_path
from lipscope.commands import certify_run
from lipscope.files.checkpoint import sha256_of
from lipscope.files.locks import exclusive, lock_path
from lipscope.files.results import read_results, results_path, summary_path, write_results
from tests.commands.certifying import as_json, beside, certify, error_of, kept
from tests.full_disk import full_disk
from tests.models_on_disk import alter

pytestmark = pytest.mark.usefixtures("no_data")


def test_the_second_call_answers_from_the_results_file(certified, capsys):
    first = results_path(certified).read_bytes()
    assert certify(certified) == 0
    again = capsys.readouterr()
    assert "answered from" in again.err
    assert certify(certified, "--force") == 0
    forced = capsys.readouterr()
    assert "answered from" not in forced.err
    assert f"results kept in {results_path(certified)}" in forced.err
    assert forced.out == again.out
    certificates, _ = read_results(results_path(certified))
    results_path(certified).write_bytes(first)
    before, _ = read_results(results_path(certified))
    np.testing.assert_array_equal(certificates.radius, before.radius)


def test_results_are_those_of_these_very_bytes(certified, capsys):
    assert read_results(results_path(certified))[0].model_sha256 == sha256_of(certified)
    alter(certified, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    assert certify(certified) == 0
    assert "answered from" not in capsys.readouterr().err
    assert read_results(results_path(certified))[0].model_sha256 == sha256_of(certified)


def test_other_data_are_other_results(certified, capsys, monkeypatch):
    from lipscope.commands import certify_images

    real = certify_images.load
    monkeypatch.setattr(certify_images, "load", lambda name, split, folder: real(name, split, folder).subset(range(99)))
    facts = as_json(capsys, certified)
    assert facts["data"]["n"] == 99


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_results_file_is_named_and_only_force_replaces_it(certified, capsys, damage):
    target = results_path(certified)
    target.write_bytes(target.read_bytes()[:-9] if damage is None else damage)
    found = target.read_bytes()
    assert certify(certified) == 4
    assert str(target) in capsys.readouterr().err
    assert target.read_bytes() == found
    # Logits are computed whatever is kept: they are printed, and the file is left alone.
    assert len(as_json(capsys, certified, "--per-image", "--logits", code=4)["images"]) == 1000
    assert target.read_bytes() == found
    assert certify(certified, "--force") == 0
    assert len(read_results(target)[0]) == 1000


def test_results_that_cannot_be_kept_are_printed_all_the_same(tiny_model, capsys):
    target = results_path(tiny_model)
    target.mkdir()
    assert certify(tiny_model, "--force") == 1
    stdout, stderr = capsys.readouterr()
    assert f"{target}" in stderr
    assert "could not be kept" in stderr
    assert "Traceback" not in stderr
    assert "clean" in stdout
    assert [path.name for path in target.parent.iterdir() if path.name.startswith(".")] == []
    target.rmdir()
    with full_disk():
        assert certify(tiny_model, "--json") == 1
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["data"]["n"] == 1000
    assert "cannot be written" in stderr
    assert not target.exists()


def test_a_model_of_that_name_is_never_overwritten(tiny_model, capsys):
    other = tiny_model.with_name("model.certified.safetensors")
    shutil.copy(tiny_model, other)
    assert certify(tiny_model) == 4
    told = capsys.readouterr()
    assert "clean" in told.out
    assert "is not a results file, and is not overwritten" in told.err
    assert other.read_bytes() == tiny_model.read_bytes()


def test_a_forged_results_file_is_computed_anew(tiny_model, capsys):
    assert certify(tiny_model, "--json") == 0
    honest = json.loads(capsys.readouterr().out)
    target = tiny_model.with_name("model.certified.safetensors")
    kept, facts = read_results(target)
    write_results(target, replace(kept, radius=kept.radius * 50, lipschitz=0.01), facts)
    assert certify(tiny_model, "--json") == 0
    assert json.loads(capsys.readouterr().out) == honest


KEPT = {"model.safetensors", "model.certified.safetensors", "model.certified.json"}


def side(model, suffix=""):
    return partial_path(results_path(model), suffix)


def test_what_is_kept(tiny_model, capsys):
    """The same object three times: printed, in the file, and beside it; and nothing else is left lying."""
    printed = as_json(capsys, tiny_model)
    found, facts = read_results(results_path(tiny_model))
    assert json.loads(summary_path(results_path(tiny_model)).read_text()) == facts == printed
    assert beside(tiny_model) == KEPT
    assert found.classes == tuple(f"pattern {number}" for number in range(10))
    assert found.model_sha256 == sha256_of(tiny_model)
    images = as_json(capsys, tiny_model, "--per-image")["images"]
    assert [image["radius"] for image in images] == found.radius.tolist()


@pytest.mark.parametrize("lost", ["", "{", "[]", None])
def test_a_lost_or_torn_summary_is_written_again(certified, lost):
    before = kept(certified)
    if lost is None:
        summary_path(results_path(certified)).unlink()
    else:
        summary_path(results_path(certified)).write_text(lost)
    assert certify(certified) == 0
    now = json.loads(summary_path(results_path(certified)).read_text())
    assert {**now, "model": None} == {**json.loads(before[1]), "model": None}


def test_the_results_of_an_older_version_of_the_schema_still_answer(certified, capsys):
    """Without class names, intervals and the file beside: what the committed checkpoints came with at first."""
    with safe_open(results_path(certified), "np") as file:
        metadata = file.metadata()
    about = json.loads(metadata["about"])
    del about["classes"]
    del about["attack"]
    save_file(
        load_file(results_path(certified)), results_path(certified),
        {**metadata, "about": json.dumps(about), "summary": json.dumps({"schema": "lipscope.certify/1"})},
    )  # fmt: skip
    summary_path(results_path(certified)).unlink()
    facts = as_json(capsys, certified)
    assert facts["classes"][3]["name"] == "pattern 3"
    assert certify(certified) == 0
    assert "answered from" in capsys.readouterr().err
    assert json.loads(summary_path(results_path(certified)).read_text()) == facts


@contextmanager
def interrupted_after(monkeypatch, batches):
    """Ctrl-C as soon as so many batches are done."""
    told = []

    @contextmanager
    def bar(doing, total):
        def advance(done, total):
            told.append(done)
            if len(told) == batches:
                raise KeyboardInterrupt

        yield advance

    with monkeypatch.context() as patch:
        patch.setattr(certify_run, "images_bar", bar)
        yield told


@pytest.mark.parametrize("suffix", ["", "synthetic-train"])
def test_an_interrupted_run_continues_where_it_stopped(tiny_model, capsys, monkeypatch, suffix):
    options = ("--batch", 70, *(("--train-set",) if suffix else ()))
    with interrupted_after(monkeypatch, 5) as told:
        assert certify(tiny_model, *options) == 130
    assert told == [70, 140, 210, 280, 350]
    assert beside(tiny_model) == {"model.safetensors", side(tiny_model, suffix).name}
    capsys.readouterr()
    with interrupted_after(monkeypatch, 2) as told:
        assert certify(tiny_model, *options) == 130
    assert told == [420, 490]
    assert f"continued after 350 of {5000 if suffix else 1000} images" in capsys.readouterr().err
    facts = as_json(capsys, tiny_model, *options, "--per-image", "--logits")
    whole = as_json(capsys, tiny_model, *options, "--per-image", "--logits", "--force")
    assert facts == whole  # to the last bit
    assert beside(tiny_model) == ({"model.safetensors"} if suffix else KEPT)


def test_an_interruption_leaves_earlier_results_alone(certified, monkeypatch):
    before = kept(certified)
    with interrupted_after(monkeypatch, 3):
        assert certify(certified, "--force", "--batch", 100) == 130
    assert kept(certified) == before
    assert certify(certified, "--force", "--batch", 100) == 0
    assert beside(certified) == KEPT


def test_force_begins_anew(tiny_model, monkeypatch):
    with interrupted_after(monkeypatch, 3):
        assert certify(tiny_model, "--batch", 100) == 130
    with interrupted_after(monkeypatch, 1) as told:
        assert certify(tiny_model, "--batch", 100, "--force") == 130
    assert told == [100]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_is_continued(tiny_model, capsys, start, number):
    """Batches of one image make it slow; the killed one leaves its lock and its progress, and they hold nobody."""
    arguments = (tiny_model, "--batch", 1, "--json", "--per-image")
    code, out, err = start("certify", *arguments).when(side(tiny_model).exists, number).finish()
    assert code == (-number if number == signal.SIGKILL else 130)
    assert (out, "Traceback" in err) == ("", False)
    assert not results_path(tiny_model).exists()
    assert side(tiny_model).exists()
    assert lock_path(results_path(tiny_model)).exists() == (number == signal.SIGKILL)
    capsys.readouterr()
    assert certify(*arguments) == 0
    out, err = capsys.readouterr()
    assert re.search(r"continued after [1-9]\d* of 1000 images", err)
    assert beside(tiny_model) >= KEPT
    assert not side(tiny_model).exists()
    assert not lock_path(results_path(tiny_model)).exists()
    assert certify(*arguments, "--force") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out)


@pytest.mark.parametrize("damage", ["truncated", "empty", "bits", "nonsense", "rows"])
def test_damaged_progress_is_ignored(tiny_model, capsys, monkeypatch, damage):
    with interrupted_after(monkeypatch, 3):
        certify(tiny_model, "--batch", 100)
    path = side(tiny_model)
    content = path.read_bytes()
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    if damage == "rows":
        save_file({"rows": np.zeros((2, 3), np.float32)}, path, metadata)
    else:
        path.write_bytes(
            {
                "truncated": content[:-40],
                "empty": b"",
                "bits": content[:-1] + bytes([content[-1] ^ 1]),
                "nonsense": b"nonsense" * 40,
            }[damage]
        )
    capsys.readouterr()
    with interrupted_after(monkeypatch, 1) as told:
        assert certify(tiny_model, "--batch", 100) == 130
    assert told == [100]
    assert f"progress in {path} is ignored: it is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["model", "batch", "schema"])
def test_progress_of_anything_else_is_ignored(tiny_model, capsys, monkeypatch, change):
    with interrupted_after(monkeypatch, 3):
        certify(tiny_model, "--batch", 100)
    path = side(tiny_model)
    if change == "model":
        alter(tiny_model, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    elif change == "schema":
        with safe_open(path, "np") as file:
            metadata = file.metadata()
        save_file(load_file(path), path, {**metadata, "lipscope.progress": "lipscope.progress/2"})
    capsys.readouterr()
    with interrupted_after(monkeypatch, 1) as told:
        assert certify(tiny_model, "--batch", 50 if change == "batch" else 100) == 130
    assert told == [50 if change == "batch" else 100]
    assert "it is of another model, data, version or setting" in capsys.readouterr().err


def test_two_at_once(certified, capsys):
    before = kept(certified)
    with exclusive(results_path(certified)):
        for option in ("--force", "--logits --json --per-image"):
            assert certify(certified, *option.split()) == 1
            told = capsys.readouterr()
            assert "another process is writing it (process" in told.err
            assert "clean" not in told.out
        assert certify(certified) == 0  # what is kept answers all the same
        assert certify(certified, "--limit", 3) == 0
    assert kept(certified) == before
    assert beside(certified) == KEPT
    assert certify(certified, "--force") == 0


def test_a_full_disk_leaves_earlier_results_alone(certified, capsys):
    before = kept(certified)
    with full_disk(4096):
        assert certify(certified, "--force") == 1
    told = capsys.readouterr()
    assert "could not be kept" in told.err
    assert "progress is not kept" in told.err
    assert "clean" in told.out
    assert kept(certified) == before
    assert beside(certified) == KEPT


def test_a_folder_that_cannot_be_written_to(tiny_model, capsys):
    lock_path(results_path(tiny_model)).mkdir()
    assert certify(tiny_model) == 1
    told = capsys.readouterr()
    assert "the results cannot be kept" in told.err
    assert "clean" in told.out
    assert beside(tiny_model) == {"model.safetensors", lock_path(results_path(tiny_model)).name}


def test_results_of_another_schema_are_not_overwritten(certified, capsys):
    with safe_open(results_path(certified), "np") as file:
        metadata = {**file.metadata(), "lipscope.results": "lipscope.results/2"}
    save_file(load_file(results_path(certified)), results_path(certified), metadata)
    before = kept(certified)
    code, line = error_of(capsys, certified)
    assert code == 4
    assert "not a results file of this version (schema 'lipscope.results/2'" in line
    assert "--force" in line
    assert "error" in as_json(capsys, certified, "--per-image", "--logits", code=4)
    assert kept(certified) == before
    assert certify(certified, "--force") == 0
    assert len(read_results(results_path(certified))[0]) == 1000


def test_results_of_another_model_do_not_answer(certified, capsys):
    alter(certified, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    capsys.readouterr()
    assert certify(certified) == 0
    assert "the kept results do not answer, they are of another model; computing anew" in capsys.readouterr().err


@pytest.fixture
def attacked(certified):
    """A model whose results hold attack distances and sound radii."""
    found, facts = read_results(results_path(certified))
    full = replace(
        found, attack_distance=found.radius + 1, attack={"steps": 3}, sound_radius=np.maximum(found.radius - 1e-6, 0)
    )
    write_results(results_path(certified), full, facts)
    return certified


@pytest.mark.parametrize("options", [(), ("--force",), ("--batch", 10, "--force")])
def test_attack_distances_and_sound_radii_of_the_same_model_stay(attacked, capsys, options):
    before, _ = read_results(results_path(attacked))
    images = as_json(capsys, attacked, *options, "--per-image")["images"]
    assert [image["attack_distance"] for image in images] == before.attack_distance.tolist()
    after, _ = read_results(results_path(attacked))
    np.testing.assert_array_equal(after.attack_distance, before.attack_distance)
    np.testing.assert_array_equal(after.sound_radius, before.sound_radius)
    assert after.attack == {"steps": 3}


def test_attack_distances_of_another_model_go(attacked, capsys):
    alter(attacked, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    images = as_json(capsys, attacked, "--per-image")["images"]
    assert "attack_distance" not in images[0]
    found, _ = read_results(results_path(attacked))
    assert (found.attack_distance, found.sound_radius, found.attack) == (None, None, {})
