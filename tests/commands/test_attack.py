from __future__ import annotations

import json
import re
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lipscope.cli import run
from lipscope.data.synthetic import synthetic
from lipscope.files.adversarials import Adversarials, adversarials_path, read_adversarials, write_adversarials
from lipscope.files.checkpoint import sha256_of
from lipscope.files.locks import exclusive, lock_path
from lipscope.files.results import read_results, results_path, write_results
from lipscope.models.stored import load_model
from tests.full_disk import full_disk
from tests.models_on_disk import alter, scaled

pytestmark = pytest.mark.usefixtures("no_data")

QUICK = ("--steps", "4", "--restarts", "1", "--eps", "4/255", "--eps", "12/255")


@pytest.fixture(scope="module")
def _results(tiny_file, tmp_path_factory):
    copy = tmp_path_factory.mktemp("certified") / "model.safetensors"
    copy.write_bytes(tiny_file.read_bytes())
    assert run(["certify", str(copy)]) == 0
    return results_path(copy).read_bytes()


@pytest.fixture
def certified(_results, tiny_model):
    """A model with its results file."""
    results_path(tiny_model).write_bytes(_results)
    return tiny_model


def attack(*arguments: object, quick: bool = True) -> int:
    return run(["attack", *map(str, arguments), *(QUICK if quick else ())])


def as_json(capsys, *arguments: object, code: int | None = 0) -> dict:
    """The one object on stdout, which must be strict JSON; without a code, that of its violations is expected."""
    capsys.readouterr()
    ended = attack(*arguments, "--json")

    def refuse(constant):
        raise AssertionError(constant)

    facts = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert ended == ((5 if facts["violations"] else 0) if code is None else code)
    return facts


def test_the_json_object_and_what_is_kept(certified, capsys):
    before = read_results(results_path(certified))
    facts = as_json(capsys, certified, "--limit", 30)
    assert facts["schema"] == "lipscope.attack/2"
    assert facts["model"] == {"path": str(certified), "sha256": sha256_of(certified), "architecture": "lipconvnet"}
    assert (facts["data"]["name"], facts["data"]["n"]) == ("synthetic", 30)
    assert facts["data"]["fingerprint"] == synthetic("synthetic", "test").fingerprint()
    assert [row["eps"] for row in facts["robust"]] == ["4/255", "12/255"]
    assert all(set(row) == {"eps", "count", "rate"} for row in facts["robust"])
    assert facts["violations"] == 0
    assert set(facts["environment"]["fp32_precision"].values()) == {"ieee"}

    after = read_results(results_path(certified))
    assert after.standing == "own"
    assert np.array_equal(after.radius, before.radius)
    assert np.isinf(after.attack_distance[30:]).all()
    found = after.attack_distance[:30]
    assert (found >= after.radius[:30]).all()
    assert facts["distance"]["found"] == np.isfinite(found).sum() >= 10
    for row, eps in zip(facts["robust"], (4 / 255, 12 / 255), strict=True):
        count = int((after.correct[:30] & (found > eps)).sum())
        assert (row["count"], row["rate"]) == (count, count / 30)
    assert after.attack["attacked"] == [[0, 30]]
    assert not list(certified.parent.glob("*part*"))


def test_the_table_says_the_same_and_the_second_time_at_once(certified, capsys):
    facts = as_json(capsys, certified, "--limit", 20)
    kept = results_path(certified).read_bytes()
    assert attack(certified, "--limit", 20) == 0
    out, err = capsys.readouterr()
    assert "answered from the results file" in err
    for name, row in (("certified", 0), ("robust", 1), ("gap", 2)):
        for figures in facts[name]:
            line = re.search(rf"^ *{figures['eps']} (.*)$", out, re.MULTILINE)[1]
            shares = re.findall(r"([\d.]+)% +(\d+)", line)
            assert shares[row] == (f"{figures['rate'] * 100:.2f}", str(figures["count"]))
    assert "robust     not broken by any attack: an estimate from above" in out
    assert "violations 0" in out
    assert results_path(certified).read_bytes() == kept
    # Other images, the same settings: the results of both runs stay.
    assert attack(certified, "--indices", "40,3,17") == 0
    after = read_results(results_path(certified))
    assert after.attack["attacked"] == [[0, 20], [40, 41]]
    assert len(after.attack["runs"]) == 2
    assert attack(certified, "--limit", 20, "--force") == 0
    assert "answered from" not in capsys.readouterr().err.replace("answered from your own", "")


def test_the_nearest_adversarial_images_are_kept_and_merged(certified, capsys):
    path = adversarials_path(certified)
    sha256 = sha256_of(certified)
    as_json(capsys, certified, "--limit", 12, "--attacks", "boundary")
    claims = read_results(results_path(certified))
    first = read_adversarials(path, sha256, claims.data_fingerprint) if path.exists() else None
    as_json(capsys, certified, "--limit", 12)
    claims = read_results(results_path(certified))
    kept = read_adversarials(path, sha256, claims.data_fingerprint)
    assert np.array_equal(kept.index, np.flatnonzero(np.isfinite(claims.attack_distance)))
    assert np.array_equal(kept.distance, claims.attack_distance[kept.index])
    assert np.array_equal(kept.original, claims.predicted[kept.index])
    if first is not None:
        assert set(first.index) <= set(kept.index)
    net = load_model(certified).net
    images = synthetic("synthetic", "test").images
    for row, index in enumerate(kept.index):
        point = torch.from_numpy(kept.adversarial[row])
        assert int(net(point.double().unsqueeze(0)).argmax()) == kept.changed[row] != kept.original[row]
        exact = np.linalg.norm(point.double().numpy() - images[index] / 255)
        assert exact <= kept.distance[row] <= exact + 1e-6
        assert claims.radius[index] <= kept.distance[row]
    # Others join them; the first ones stay as they are.
    as_json(capsys, certified, "--indices", "40,3")
    more = read_adversarials(path, sha256, claims.data_fingerprint)
    assert set(kept.index) <= set(more.index)
    before = path.read_bytes()
    path.write_bytes(before[:-20])
    assert attack(certified, "--limit", 3) == 0
    assert "earlier adversarial images are replaced" in capsys.readouterr().err
    path.unlink()
    assert attack(certified, "--limit", 3) == 0
    assert "not kept; --force finds them again" in capsys.readouterr().err
    assert attack(certified, "--limit", 3, "--force") == 0
    assert path.exists()


def test_a_model_without_results_is_certified_first(tiny_model, capsys):
    assert attack(tiny_model, "--limit", 3, "--attacks", "minimum") == 0
    assert f"results kept in {results_path(tiny_model)}" in capsys.readouterr().err
    certificates = read_results(results_path(tiny_model))
    assert len(certificates) == 1000
    assert certificates.attack["runs"][0]["settings"]["attacks"] == ["minimum"]


def test_weights_scaled_after_certifying_break_the_stale_certificate(certified, capsys, tmp_path):
    stale = tmp_path / "claims.safetensors"
    stale.write_bytes(results_path(certified).read_bytes())
    alter(certified, tensors=scaled(1.5))
    folder = tmp_path / "pairs"
    facts = as_json(capsys, certified, "--limit", 40, "--results", stale, "--save-to", folder, code=5)
    assert facts["violations"] >= 5
    assert (facts["standing"], facts["model"]["sha256"]) == ("claimed", sha256_of(certified))
    claims = read_results(stale)
    shown = facts["violated"]
    assert 1 <= len(shown) <= 10
    for one in shown:
        pair = load_file(one["saved"])
        distance = np.linalg.norm(pair["adversarial"].astype(np.float64) - pair["image"] / 255)
        assert distance <= one["distance"] < one["radius"] == claims.radius[one["index"]]
        assert one["margin"] < 0
        assert np.array_equal(pair["image"], synthetic("synthetic", "test").images[one["index"]])
    assert any(one["distance"] > 1e-4 for one in shown)  # not only images that the new weights see otherwise
    assert len(list(folder.glob("*.png"))) == 2 * len(shown)
    # The claims were tested, nothing else: no results of the scaled model were made.
    assert read_results(results_path(certified)).model_sha256 == claims.model_sha256 != sha256_of(certified)
    capsys.readouterr()
    assert attack(certified, "--limit", 40, "--results", stale, "--save-to", folder) == 5
    out, err = capsys.readouterr()
    assert "was made for another model" in err
    assert "VIOLATION: image" in err
    assert "verified again in float64" in err
    assert re.search(r"image \d+: class \d instead of \d at .* inside the radius", out)
    assert "claimed    radii claimed by somebody else, not proved here; from below" in out
    assert "nearest / claimed radius: median" in out


def test_stale_results_of_its_own_are_computed_anew_and_hold(certified, capsys):
    alter(certified, tensors=scaled(1.5))
    facts = as_json(capsys, certified, "--limit", 10, "--attacks", "minimum")
    assert facts["violations"] == 0
    assert facts["model"]["sha256"] == sha256_of(certified)


def test_a_violation_of_kept_results_stays_one(certified, capsys):
    """Radii that somebody doubled afterwards do not even answer; a distance below a radius does not pass either."""
    assert attack(certified, "--limit", 10) == 0
    path = results_path(certified)
    certificates = read_results(path)
    distance = certificates.attack_distance.copy()
    distance[4] = certificates.radius[4] / 2
    write_results(path, replace(certificates, attack_distance=distance), {})
    assert attack(certified, "--limit", 10) == 5
    assert "1 certificates are refuted" in capsys.readouterr().err


def test_the_radii_hold_where_they_are_tight(certified, capsys):
    """To a few parts in a thousand, to 1e-7 for some images."""
    facts = as_json(capsys, certified, "--indices", ",".join(map(str, range(40, 70))))
    assert (facts["schema"], facts["standing"], facts["violations"]) == ("lipscope.attack/2", "own", 0)
    assert facts["lipschitz"]["proved"] is False
    assert 1 <= facts["distance"]["least_over_radius"] < 1.001


def test_foolbox_goes_through_the_same_door(certified, capsys):
    facts = as_json(
        capsys, certified, "--limit", 4, "--attacks", "minimum", "--foolbox", "L2DeepFoolAttack", "--eps", "1/255"
    )
    assert set(facts["nearest"]) == {"minimum", "foolbox:L2DeepFoolAttack"}
    assert facts["violations"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--attacks", "magic"], "no attack 'magic'"),
        (["--attacks", ","], "no attack is left"),
        (["--foolbox", "Magic"], "foolbox has no such attack"),
        (["--limit", "3", "--indices", "4"], "exclude each other"),
        (["--indices", "1000"], "no record 1000"),
        (["--eps", "40"], "over 3"),
    ],
)
def test_wrong_requests(certified, capsys, arguments, words):
    kept = results_path(certified).read_bytes()
    assert attack(certified, *arguments, quick=False) == 2
    assert words in capsys.readouterr().err
    assert results_path(certified).read_bytes() == kept


def test_claims_about_other_images_are_refused(certified, tmp_path, capsys):
    certificates = read_results(results_path(certified))
    for name, changes, code in [
        ("images", {"data_fingerprint": "0" * 64}, 3),
        ("data", {"data_name": "cifar10"}, 3),
        ("records", {"index": certificates.index + 1}, 3),
        ("classes", {"predicted": certificates.predicted + 90}, 4),
    ]:
        path = tmp_path / f"{name}.safetensors"
        write_results(path, replace(certificates, **changes), {})
        assert attack(certified, "--results", path) == code
    assert attack(certified, "--results", certified) == 4
    assert capsys.readouterr().out == ""


def test_ctrl_c_keeps_what_is_done_and_the_next_run_continues(certified, start, capsys):
    side = certified.parent / "model.certified.attack.part.safetensors"
    arguments = ("attack", certified, "--limit", "24", "--batch", "4", *QUICK)
    before = load_file(results_path(certified))
    code, out, err = start(*arguments).when(side.exists, signal.SIGINT).finish()
    assert (code, out) == (130, "")
    assert "interrupted" in err
    assert side.exists()
    kept = read_results(results_path(certified))
    assert kept.attack_distance is None
    assert np.array_equal(before["radius"], kept.radius)
    code = run([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert facts["data"]["n"] == 24
    assert code == (5 if facts["violations"] else 0)
    assert re.search(r"continued after \d+ of 24 images", err)
    assert not side.exists()
    # The same as in one go.
    continued = read_results(results_path(certified))
    assert attack(certified, "--limit", 24, "--batch", 4, "--force") == code
    whole = read_results(results_path(certified))
    assert np.array_equal(continued.attack_distance, whole.attack_distance)


def test_results_that_cannot_be_written_are_told_and_the_figures_printed(certified, capsys, monkeypatch):
    from lipscope.attacks import run as attack_run
    from lipscope.errors import LipscopeError

    def full(*_):
        raise LipscopeError("cannot be written", why="No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(attack_run, "write_results", full)
        assert attack(certified, "--limit", 3, "--attacks", "minimum") == 1
    out, err = capsys.readouterr()
    assert "violations 0" in out
    assert "the attack distances could not be kept" in err
    # Nothing that was found is lost: with room on the disk the next run only writes.
    assert attack(certified, "--limit", 3, "--attacks", "minimum") == 0
    again, err = capsys.readouterr()
    assert again == out
    assert "continued after 3 of 3 images" in err
    assert np.isfinite(read_results(results_path(certified)).attack_distance[:3]).all()
    assert not (certified.parent / "model.certified.attack.part.safetensors").exists()


def test_without_a_place_for_its_progress_it_goes_on(certified, capsys):
    lock_path(certified.parent / "model.certified.attack.part.safetensors").mkdir()
    assert attack(certified, "--limit", 3, "--attacks", "minimum") == 0
    out, err = capsys.readouterr()
    assert "violations 0" in out
    assert "progress is not kept" in err
    assert "attack distances kept" in err


def test_two_attacks_at_once(certified, capsys):
    with exclusive(certified.parent / "model.certified.attack.part.safetensors"):
        assert attack(certified, "--limit", 3) == 1
    told = capsys.readouterr()
    assert "another process is writing it (process" in told.err
    assert told.out == ""


def test_a_violation_whose_pair_cannot_be_saved_is_one_all_the_same(certified, capsys, tmp_path):
    stale = tmp_path / "claims.safetensors"
    stale.write_bytes(results_path(certified).read_bytes())
    alter(certified, tensors=scaled(1.5))
    nowhere = tmp_path / "claims.safetensors" / "pairs"
    assert attack(certified, "--limit", 10, "--attacks", "minimum", "--results", stale, "--save-to", nowhere) == 5
    out, err = capsys.readouterr()
    assert "the pair is not saved" in err
    assert re.search(r"violations [1-9]", out)


def beside(model):
    return {path.name: path.read_bytes() for path in model.parent.iterdir() if path.is_file()}


def never(monkeypatch):
    """Nothing is computed from here on."""
    monkeypatch.setattr("lipscope.attacks.run.attack", lambda *a, **k: pytest.fail("attacked"))
    monkeypatch.setattr("lipscope.attacks.run.answer", lambda *a, **k: pytest.fail("certified"))


def test_what_is_found_is_kept_in_another_folder(certified, capsys, tmp_path):
    before, kept = beside(certified), tmp_path / "new" / "kept"
    kept.mkdir(parents=True)
    results_path(certified, kept).write_bytes(results_path(certified).read_bytes())
    assert attack(certified, "--limit", 3, "--attacks", "minimum", "--keep", kept) == 0
    assert beside(certified) == before
    assert {path.name for path in kept.iterdir()} >= {"model.certified.safetensors", "model.adversarial.safetensors"}
    assert np.isfinite(read_results(results_path(certified, kept)).attack_distance[:3]).all()
    capsys.readouterr()
    assert attack(certified, "--limit", 3, "--attacks", "minimum", "--keep", kept) == 0
    assert "attacked so before" in capsys.readouterr().err


def test_nothing_is_kept_where_that_is_asked_for(certified, capsys):
    before = beside(certified)
    assert attack(certified, "--limit", 2, "--attacks", "minimum", "--no-keep") == 0
    assert "2 images attacked" in capsys.readouterr().out
    assert beside(certified) == before
    assert attack(certified, "--keep", "x", "--no-keep") == 2


@pytest.mark.parametrize("name", ["model.certified.safetensors", "model.adversarial.safetensors"])
def test_a_place_where_nothing_can_be_kept_is_found_out_before(name, tiny_model, capsys, monkeypatch):
    never(monkeypatch)
    (tiny_model.parent / name).mkdir()
    assert attack(tiny_model, "--limit", 3) == 1
    assert (
        f"{name}: the results cannot be kept there (it is a folder, not a file); --keep DIR" in capsys.readouterr().err
    )


def test_on_a_full_disk_the_disk_is_named(tiny_model, capsys):
    """The results could not be kept, so there is no file to add the distances to."""
    with full_disk(20_000):
        assert attack(tiny_model, "--limit", 2, "--attacks", "minimum") == 1
    out, err = capsys.readouterr()
    assert "2 images attacked" in out
    assert "cannot be written (File too large)" in err
    assert "no such file" not in err


def test_adversarial_images_of_somebody_else_are_replaced_and_not_signed(certified, capsys, tmp_path, monkeypatch):
    arguments = (certified, "--attacks", "minimum", "--limit")
    other = tmp_path / "other"
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_DATA_HOME", str(other))
        assert attack(*arguments, 3, "--no-keep") == 0  # makes that user's key
        theirs = adversarials_path(certified)
        sha256, fingerprint = load_model(certified).sha256, read_results(results_path(certified)).data_fingerprint
        point = np.zeros((1, 3, 32, 32), np.float32)
        one = np.array([2])
        write_adversarials(theirs, Adversarials(one, one * 0, one, one * 1e-9, point, sha256, fingerprint))
    capsys.readouterr()
    assert attack(*arguments, 2) == 0
    assert "earlier adversarial images are replaced: claimed by somebody else" in capsys.readouterr().err
    kept = read_adversarials(theirs, sha256, fingerprint)
    assert kept.origin.own
    assert 2 not in kept.index
