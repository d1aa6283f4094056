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

from lipscope.certification import selection
from lipscope.certification.partial import partial_path
from lipscope.commands import progress
from lipscope.files.checkpoint import sha256_of
from lipscope.files.locks import exclusive, lock_path
from lipscope.files.results import read_results, results_path, summary_path, write_results
from lipscope.files.signing import Signer
from tests.commands.certifying import as_json, beside, certify, error_of, kept
from tests.full_disk import full_disk
from tests.models_on_disk import alter
from tests.processes.test_world import RANK

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
    ours, theirs = (re.split(r"\n\n", told.out, maxsplit=1)[1] for told in (forced, again))
    assert ours == theirs
    assert "proved by an earlier run of your own" in again.out
    assert "proved here" in forced.out
    certificates = read_results(results_path(certified))
    results_path(certified).write_bytes(first)
    np.testing.assert_array_equal(certificates.radius, read_results(results_path(certified)).radius)


def test_results_are_those_of_these_very_bytes(certified, capsys):
    assert read_results(results_path(certified)).model_sha256 == sha256_of(certified)
    alter(certified, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    assert certify(certified) == 0
    assert "answered from" not in capsys.readouterr().err
    assert read_results(results_path(certified)).model_sha256 == sha256_of(certified)


def test_other_data_are_other_results(certified, capsys, monkeypatch):
    real = selection.load
    monkeypatch.setattr(selection, "load", lambda name, split, folder: real(name, split, folder).subset(range(99)))
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
    assert len(as_json(capsys, certified, "--no-keep", "--limit", 3, "--per-image")["images"]) == 3
    assert target.read_bytes() == found
    assert certify(certified, "--force") == 0
    assert len(read_results(target)) == 1000


def refuse(monkeypatch):
    """No image may be evaluated."""
    from lipscope.certification import run

    monkeypatch.setattr(run, "certify", lambda *_, **__: pytest.fail("evaluated"))


def test_a_place_that_is_taken_is_found_out_before_the_computation(tiny_model, capsys, monkeypatch):
    target = results_path(tiny_model)
    target.mkdir()
    with monkeypatch.context() as patch:
        refuse(patch)
        code, line = error_of(capsys, tiny_model, "--force")
        assert (code, "--keep DIR keeps them elsewhere, --no-keep not at all" in line) == (1, True)
        assert str(target) in line
    assert certify(tiny_model, "--no-keep", "--min-certified", "1@0") == 5
    assert certify(tiny_model, "--no-keep", "--min-certified", "0@0") == 0
    assert beside(tiny_model) == {"model.safetensors", target.name}
    other = tiny_model.parent / "new" / "folder"
    assert certify(tiny_model, "--keep", other, "--min-certified", "1@0") == 5
    assert certify(tiny_model, "--keep", other, "--min-certified", "0@0") == 0
    assert "answered from your own" in capsys.readouterr().err
    assert {path.name for path in other.iterdir()} == {target.name, summary_path(target).name}
    assert beside(tiny_model) == {"model.safetensors", target.name, "new"}


def test_results_that_cannot_be_kept_after_all_are_printed_all_the_same(tiny_model, capsys):
    with full_disk():
        assert certify(tiny_model, "--json") == 1
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["data"]["n"] == 1000
    assert "cannot be written" in stderr
    assert not results_path(tiny_model).exists()
    with full_disk():
        assert certify(tiny_model, "--min-certified", "1@0") == 5


def test_a_model_of_that_name_is_never_overwritten(tiny_model, capsys, monkeypatch):
    other = tiny_model.with_name("model.certified.safetensors")
    shutil.copy(tiny_model, other)
    refuse(monkeypatch)
    assert certify(tiny_model) == 4
    assert "is not a results file, and is not overwritten" in capsys.readouterr().err
    assert other.read_bytes() == tiny_model.read_bytes()


def forged(target, tmp_path, **changes):
    """A results file with other numbers, as somebody else with a key of their own would sign it."""
    write_results(target, replace(read_results(target), **changes), {})
    target.write_bytes(Signer(tmp_path / "their key").sign(target.read_bytes()))


def test_forged_results_answer_nothing_and_pass_no_gate(certified, capsys, tmp_path):
    """Every hash right, honest at every position that was ever sampled, and signed, but with another key."""
    honest = read_results(results_path(certified))
    radius = honest.radius.copy()
    radius[np.setdiff1d(np.arange(1000), np.linspace(0, 999, 32).astype(int))] = 1.0
    forged(results_path(certified), tmp_path, radius=radius, predicted=honest.label)
    assert read_results(results_path(certified)).correct.all()
    assert certify(certified, "--min-certified", "0.5@36/255") == 5
    told = capsys.readouterr().err
    assert "claimed by somebody else (it was signed with another key than yours" in told
    assert "computing anew" in told
    assert np.array_equal(read_results(results_path(certified)).radius, honest.radius)
    assert read_results(results_path(certified)).standing == "own"


def test_results_of_the_first_version_are_computed_anew(certified, capsys):
    with safe_open(results_path(certified), "np") as file:
        about = json.loads(file.metadata()["about"])
    metadata = {
        "lipscope.results": "lipscope.results/1",
        "about": json.dumps({**about, "kind": "sound"}),
        "summary": "{}",
    }
    save_file(load_file(results_path(certified)), results_path(certified), metadata)
    facts = as_json(capsys, certified)
    assert (facts["standing"], facts["proved"]) == ("proved", True)
    assert read_results(results_path(certified)).standing == "own"


KEPT = {"model.safetensors", "model.certified.safetensors", "model.certified.json"}


def side(model, suffix=""):
    return partial_path(results_path(model), suffix)


def test_what_is_kept(tiny_model, capsys):
    """Arrays and a summary; what is read from a file later is a claim, whoever wrote it, and nothing else is left."""
    printed = as_json(capsys, tiny_model)
    found = read_results(results_path(tiny_model))
    beside_it = json.loads(summary_path(results_path(tiny_model)).read_text())
    told = {"standing", "proved", "reason", "lipschitz", "budget"}
    assert {name: value for name, value in printed.items() if name not in told} == {
        name: value for name, value in beside_it.items() if name not in told
    }
    assert (printed["standing"], printed["proved"], printed["lipschitz"]["proved"]) == ("proved", True, True)
    assert (beside_it["standing"], beside_it["proved"], beside_it["lipschitz"]["proved"]) == ("claimed", False, False)
    again = as_json(capsys, tiny_model)
    assert (again["standing"], again["proved"], again["lipschitz"]["proved"]) == ("own", False, False)
    assert beside(tiny_model) == KEPT
    assert found.classes == tuple(f"pattern {number}" for number in range(10))
    assert found.model_sha256 == sha256_of(tiny_model)
    images = as_json(capsys, tiny_model, "--per-image")["images"]
    assert [image["radius"] for image in images] == found.radius.tolist()


def test_results_that_nobody_can_sign_are_kept_and_do_not_answer(tiny_model, capsys, monkeypatch, tmp_path):
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no folder"))
    assert certify(tiny_model) == 0
    assert "unsigned, so they will not answer again" in capsys.readouterr().err
    assert certify(tiny_model) == 0
    assert "the kept results do not answer" in capsys.readouterr().err


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
        patch.setattr(progress, "images_bar", bar)
        yield told


@pytest.mark.parametrize("suffix", ["", "synthetic-train"])
def test_an_interrupted_run_continues_where_it_stopped(tiny_model, capsys, monkeypatch, suffix):
    real = selection.load
    monkeypatch.setattr(selection, "load", lambda name, split, folder: real(name, split, folder).subset(range(600)))
    options = ("--batch", 70, *(("--train-set",) if suffix else ()))
    with interrupted_after(monkeypatch, 5) as told:
        assert certify(tiny_model, *options) == 130
    assert told == [70, 140, 210, 280, 350]
    assert beside(tiny_model) == {"model.safetensors", side(tiny_model, suffix).name}
    capsys.readouterr()
    with interrupted_after(monkeypatch, 2) as told:
        assert certify(tiny_model, *options) == 130
    assert told == [420, 490]
    assert "continued after 350 of 600 images" in capsys.readouterr().err
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


@pytest.mark.parametrize(("number", "befalls"), [(signal.SIGKILL, "killed"), (signal.SIGINT, "interrupted")])
def test_a_killed_process_is_continued(tiny_model, capsys, start, number, befalls):
    """In its second batch; the killed one leaves its lock and its progress, and they hold nobody."""
    arguments = (tiny_model, "--batch", 100, "--json", "--per-image")
    code, out, err = start(befalls, 600, "certify", *arguments, python=(str(RANK),)).finish()
    assert code == (-number if number == signal.SIGKILL else 130)
    assert (out, "Traceback" in err) == ("", False)
    assert not results_path(tiny_model).exists()
    assert side(tiny_model).exists()
    assert lock_path(results_path(tiny_model)).exists() == (number == signal.SIGKILL)
    capsys.readouterr()
    assert certify(*arguments) == 0
    out, err = capsys.readouterr()
    assert "continued after 100 of 1,000 images" in err
    assert beside(tiny_model) >= KEPT
    assert not side(tiny_model).exists()
    assert not lock_path(results_path(tiny_model)).exists()
    assert certify(*arguments, "--force") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out)


@pytest.mark.parametrize("damage", ["truncated", "empty", "bits", "nonsense", "rows", "another key"])
def test_progress_that_is_not_ones_own_is_discarded(tiny_model, capsys, monkeypatch, tmp_path, damage):
    with interrupted_after(monkeypatch, 3):
        certify(tiny_model, "--batch", 100)
    path = side(tiny_model)
    content = path.read_bytes()
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    if damage in ("rows", "another key"):
        rows = load_file(path)["rows"]
        rows[:, 0] = 1e6  # class 0 by far, on every image
        save_file({"rows": rows}, path, metadata)
        if damage == "another key":
            path.write_bytes(Signer(tmp_path / "their key").sign(path.read_bytes()))
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
    assert f"progress in {path} is discarded, it is not your own: " in capsys.readouterr().err


def test_progress_of_another_model_is_ignored(tiny_model, capsys, monkeypatch):
    with interrupted_after(monkeypatch, 3):
        certify(tiny_model, "--batch", 100)
    alter(tiny_model, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    capsys.readouterr()
    with interrupted_after(monkeypatch, 1) as told:
        assert certify(tiny_model, "--batch", 100) == 130
    assert told == [100]
    assert "it is of another model, data, version or setting" in capsys.readouterr().err


def test_another_batch_size_continues(tiny_model, monkeypatch):
    """The budget covers every order of summation."""
    with interrupted_after(monkeypatch, 3):
        certify(tiny_model, "--batch", 100)
    with interrupted_after(monkeypatch, 1) as told:
        assert certify(tiny_model, "--batch", 50) == 130
    assert told == [350]


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


def test_a_lock_that_cannot_be_had(tiny_model, capsys, monkeypatch):
    lock_path(results_path(tiny_model)).mkdir()
    refuse(monkeypatch)
    assert error_of(capsys, tiny_model)[0] == 1
    assert beside(tiny_model) == {"model.safetensors", lock_path(results_path(tiny_model)).name}


def test_results_of_another_schema_are_not_overwritten(certified, capsys):
    with safe_open(results_path(certified), "np") as file:
        metadata = {**file.metadata(), "lipscope.results": "lipscope.results/3"}
    save_file(load_file(results_path(certified)), results_path(certified), metadata)
    before = kept(certified)
    code, line = error_of(capsys, certified)
    assert code == 4
    assert "not a results file of this version (schema 'lipscope.results/3'" in line
    assert "--force" in line
    assert "error" in as_json(capsys, certified, "--per-image", "--logits", code=4)
    assert kept(certified) == before
    assert certify(certified, "--force") == 0
    assert len(read_results(results_path(certified))) == 1000


def test_results_of_another_model_do_not_answer(certified, capsys):
    alter(certified, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    capsys.readouterr()
    assert certify(certified) == 0
    assert "the kept results do not answer, they are of another model; computing anew" in capsys.readouterr().err


@pytest.fixture
def attacked(certified):
    """A model whose results hold attack distances."""
    found = read_results(results_path(certified))
    full = replace(found, attack_distance=found.radius + 1, attack={"steps": 3})
    write_results(results_path(certified), full, {})
    return certified


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_attack_distances_of_the_same_model_stay(attacked, capsys, options):
    before = read_results(results_path(attacked))
    images = as_json(capsys, attacked, *options, "--per-image")["images"]
    assert [image["attack_distance"] for image in images] == before.attack_distance.tolist()
    after = read_results(results_path(attacked))
    np.testing.assert_array_equal(after.attack_distance, before.attack_distance)
    assert after.attack == {"steps": 3}


def test_attack_distances_of_another_model_go(attacked, capsys):
    alter(attacked, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    images = as_json(capsys, attacked, "--per-image")["images"]
    assert "attack_distance" not in images[0]
    found = read_results(results_path(attacked))
    assert (found.attack_distance, found.attack) == (None, {})
