from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import read_header
from lipscope.files.results import (
    ARRAYS,
    EARLIER,
    read_results,
    results_path,
    summary_path,
    with_attacks_of,
    write_results,
)
from lipscope.files.signing import Signer
from lipscope.records.certificates import Certificates
from lipscope.units import parse_eps
from tests.always import always


def some_certificates(radius: list[float], correct: list[bool], dtype: Any = np.float64) -> Certificates:
    n = len(radius)
    return Certificates(
        index=np.arange(10, 10 + n, dtype=np.int64),
        label=np.zeros(n, np.int64),
        predicted=np.where(correct, 0, 1).astype(np.int64),
        runner_up=np.full(n, 2, np.int64),
        radius=np.array(radius, dtype),
        margin=np.array(radius, np.float64) * 2,
        standing="proved",
        model_sha256="m" * 64,
        architecture="lipconvnet",
        data_name="synthetic",
        data_split="test",
        data_fingerprint="f",
        lipschitz=4.0,
        environment={"torch": "2", "threads": 1},
    )


def one(radius: float) -> Certificates:
    return some_certificates([radius], [True])


def test_36_over_255_is_not_0_1411() -> None:
    """0.1412 lies above it, 0.14112 above 0.1411 only."""
    eps = parse_eps("36/255")
    assert one(0.14118).certified_count(eps) == 1
    assert one(0.14112).certified_count(eps) == 0
    assert one(0.14112).certified_count(parse_eps("0.1411")) == 1


@pytest.mark.parametrize("eps", [Fraction(1, 2), Fraction(36, 255), Fraction(0), Fraction(1, 3), Fraction(3)])
def test_a_radius_equal_to_eps_is_not_certified(eps: Fraction) -> None:
    nearest = float(eps)
    for radius in (math.nextafter(nearest, -1), nearest, math.nextafter(nearest, 9)):
        if radius >= 0:
            assert one(radius).certified_count(eps) == (Fraction(radius) > eps)


@always(radius=st.floats(0, 4), eps=st.fractions(0, 3, max_denominator=10**9), steps=st.integers(-3, 3))
def test_the_count_is_exact(radius: float, eps: Fraction, steps: int) -> None:
    near = float(eps)
    for _ in range(abs(steps)):
        near = math.nextafter(near, math.copysign(9, steps))
    for value in (radius, max(near, 0.0)):
        assert one(value).certified_count(eps) == (Fraction(value) > eps)


@always(eps=st.fractions(0, 3, max_denominator=10**9), steps=st.integers(-3, 3))
def test_float32_radii_never_certify_too_much(eps: Fraction, steps: int) -> None:
    near = np.float32(float(eps))
    for _ in range(abs(steps)):
        near = np.nextafter(near, np.float32(math.copysign(9, steps)))
    if near >= 0:
        certificates = some_certificates([float(near)], [True], np.float32)
        assert certificates.radius.dtype == np.float32
        assert certificates.certified_count(eps) <= (Fraction(float(near)) > eps)


def test_wrong_images_are_never_certified() -> None:
    certificates = some_certificates([1.0, 1.0, 0.0], [True, False, True])
    assert certificates.certified_count(Fraction(0)) == 1
    assert certificates.correct.tolist() == [True, False, True]
    assert certificates.average_certified_radius() == pytest.approx(1 / 3)
    assert certificates.mean_correct_radius() == pytest.approx(1 / 2)


def test_the_curve_counts_what_certified_count_counts() -> None:
    random = np.random.default_rng(0)
    radii = [*random.random(50).tolist(), 0.25, 0.25, 0.0]
    certificates = some_certificates(radii, [i % 3 > 0 for i in range(53)])
    grid, rates = certificates.curve(40)
    assert grid[0] == 0.0
    assert rates[-1] == 0.0
    for radius, rate in zip(grid, rates, strict=True):
        assert rate == certificates.certified_count(Fraction(float(radius))) / 53
    assert bool((np.diff(rates) <= 0).all())


def test_the_curve_of_nobody() -> None:
    grid, rates = some_certificates([0.3], [False]).curve(5)
    assert grid.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert rates.tolist() == [0.0] * 5


def test_results_lie_beside_the_model() -> None:
    assert results_path(Path("a/model.safetensors")) == Path("a/model.certified.safetensors")
    assert results_path(Path("a/model.v2")) == Path("a/model.v2.certified.safetensors")


@pytest.fixture
def certificates() -> Certificates:
    return some_certificates([0.1, 0.5, 2.0], [True, True, False])


@pytest.fixture
def written(certificates: Certificates, tmp_path: Path) -> Path:
    path = tmp_path / "model.certified.safetensors"
    write_results(path, certificates, {"schema": "lipscope.certify/2", "clean": {"count": 2}})
    return path


def test_results_come_back_as_ones_own(certificates: Certificates, written: Path) -> None:
    found = read_results(written)
    for name in ARRAYS:
        expected = getattr(certificates, name)
        assert getattr(found, name).dtype == expected.dtype
        np.testing.assert_array_equal(getattr(found, name), expected)
    for name in ("model_sha256", "architecture", "data_name", "data_split", "data_fingerprint", "lipschitz"):
        assert getattr(found, name) == getattr(certificates, name)
    assert found.environment == certificates.environment
    assert (found.standing, found.reason, len(found)) == ("own", "", 3)


def test_the_same_results_are_the_same_bytes(certificates: Certificates, written: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    write_results(again, certificates, {})
    assert again.read_bytes() == written.read_bytes()


def test_arrays_that_are_views_are_stored_too(certificates: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "x.certified.safetensors"
    write_results(path, replace(certificates, radius=np.arange(6.0)[::2]), {})
    assert read_results(path).radius.tolist() == [0.0, 2.0, 4.0]


@pytest.mark.parametrize("standing", ["claimed", "estimate"])
def test_only_what_is_proved_here_is_signed(certificates: Certificates, tmp_path: Path, standing: Any) -> None:
    with pytest.raises(ValueError, match="not kept"):
        write_results(tmp_path / "x.certified.safetensors", replace(certificates, standing=standing), {})
    assert list(tmp_path.iterdir()) == []


def test_what_another_key_has_signed_is_claimed(written: Path, tmp_path: Path) -> None:
    content = written.read_bytes()
    written.write_bytes(Signer(tmp_path / "somebody else").sign(content))
    found = read_results(written)
    assert (found.standing, found.radius.tolist()) == ("claimed", [0.1, 0.5, 2.0])
    assert "another key" in found.reason
    written.write_bytes(content)
    assert read_results(written).standing == "own"


def test_one_changed_byte_makes_it_a_claim(written: Path) -> None:
    content = bytearray(written.read_bytes())
    content[-1] ^= 1
    written.write_bytes(content)
    assert read_results(written).standing == "claimed"


def test_no_signature_makes_it_a_claim(written: Path) -> None:
    with safe_open(written, "np") as file:
        metadata = {name: text for name, text in file.metadata().items() if name != "lipscope.signature"}
    save_file(load_file(written), written, metadata)
    found = read_results(written)
    assert (found.standing, found.reason) == ("claimed", "it carries no signature")


def test_results_of_the_first_version_are_claimed(certificates: Certificates, tmp_path: Path) -> None:
    """Two kinds of radii, none signed: the sound ones where there are any."""
    arrays = {name: getattr(certificates, name) for name in ARRAYS}
    about = {
        "kind": "real-arithmetic", "model_sha256": "m" * 64, "architecture": "lipconvnet", "data_name": "synthetic",
        "data_split": "test", "data_fingerprint": "f", "lipschitz": 4.0, "attack": {}, "classes": [], "data_order": "",
        "environment": {"dtype": "float32", "sound": {"dtype": "float64"}},
    }  # fmt: skip
    path = tmp_path / "model.certified.safetensors"
    metadata = {"lipscope.results": EARLIER, "about": json.dumps(about), "summary": "{}"}
    save_file(arrays, path, metadata)
    found = read_results(path)
    assert (found.standing, found.radius.tolist()) == ("claimed", [0.1, 0.5, 2.0])
    assert "earlier version" in found.reason
    sound = np.array([0.09, 0.4, 0.0])
    save_file({**arrays, "sound_radius": sound}, path, metadata)
    assert read_results(path).radius.tolist() == sound.tolist()
    assert read_results(path).environment == {"dtype": "float64"}


def rewritten(written: Path, metadata: dict[str, str] | None = None, **arrays: Any) -> Path:
    """The results with metadata and arrays replaced, or (None) removed."""
    with safe_open(written, "np") as file:
        kept = {**file.metadata(), **(metadata or {})}
    tensors = {**load_file(written), **arrays}
    save_file({name: value for name, value in tensors.items() if value is not None}, written, kept)
    return written


DAMAGED_ABOUT = [
    "", "[]", "3", "null", "{}", "not json", '{"kind": 1}', "[" * 100_000, '{"a": ' + "9" * 5000 + "}",
    json.dumps({"model_sha256": "m"}),
]  # fmt: skip


@pytest.mark.parametrize("about", DAMAGED_ABOUT, ids=lambda text: text[:12])
def test_a_damaged_description_is_an_error_in_words(about: str, written: Path) -> None:
    with pytest.raises(CheckpointError, match="the results file is damaged") as caught:
        read_results(rewritten(written, {"about": about}))
    assert "--force" in caught.value.next_step


@pytest.mark.parametrize(
    "arrays",
    [
        {"radius": None},
        {"index": None},
        {"radius": np.array([0.1, 0.2])},
        {"radius": np.array([[0.1, 0.2, 0.3]])},
        {"radius": np.array([0.1, -1e-300, 0.3])},
        {"radius": np.array([0.1, np.nan, 0.3])},
        {"radius": np.array([0.1, np.inf, 0.3])},
        {"radius": np.array([0.1, 0.2, 0.3], np.float32)},
        {"radius": np.array([1, 2, 3])},
        {"margin": np.array([0.1, np.nan, 0.3])},
        {"label": np.array([0.0, 1.0, 2.0])},
        {"predicted": np.array([0, 1, 2], np.int32)},
        {"label": np.array([0, 1])},
        {"label": np.array([0, -1, 0])},
        {"predicted": np.array([0, 100_000, 0])},
        {"runner_up": np.array([0, -1, 0])},
        {name: np.zeros((3, 1), np.float64 if name in ("radius", "margin") else np.int64) for name in ARRAYS},
    ],
    ids=lambda arrays: "-".join(f"{name}" for name in arrays),
)
def test_arrays_that_cannot_be_radii_are_an_error_in_words(arrays: dict[str, Any], written: Path) -> None:
    with pytest.raises(CheckpointError, match="the results file is damaged"):
        read_results(rewritten(written, **arrays))


RUN = {"settings": {}, "images": [[0, 2]], "nearest": {"pgd": 1}, "in_float32": 1, "environment": {}}


@pytest.mark.parametrize(
    "told",
    [
        {"attack": {"runs": 5}}, {"attack": {"runs": [5]}}, {"attack": {"runs": [{}]}},
        *({"attack": {"runs": [{**RUN, name: None}]}} for name in RUN),
        *({"attack": {"runs": [RUN, {**RUN, "images": pairs}]}} for pairs in
          (["x"], [[0]], [[0, 1.0]], [[-1, 1]], [[2, 1]], [[0, 10**9]], [[0, 10**400]])),
        {"lipschitz": float("nan")}, {"lipschitz": -1.0}, {"lipschitz": 10**400},
        {"environment": {"dtype": math.nan}}, {"environment": {"threads": [math.inf]}},
    ],
    ids=lambda told: str(told)[:40],
)  # fmt: skip
def test_a_record_that_would_be_read_wrongly_later_is_damage(told: dict[str, Any], written: Path) -> None:
    with safe_open(written, "np") as file:
        about = json.loads(file.metadata()["about"])
    assert read_results(rewritten(written, {"about": json.dumps({**about, "attack": {"runs": [RUN]}})}))
    with pytest.raises(CheckpointError, match="the results file is damaged"):
        read_results(rewritten(written, {"about": json.dumps({**about, **told})}))


@pytest.mark.parametrize(
    "field", ["radius", "standing", "reason", "surprise", "lipschitz", "environment", "model_sha256"]
)
def test_a_description_cannot_smuggle_in_other_fields(field: str, written: Path) -> None:
    with safe_open(written, "np") as file:
        about = json.loads(file.metadata()["about"])
    path = rewritten(written, {"about": json.dumps({**about, field: ["x"]})})
    if field in ("radius", "standing", "reason", "surprise"):
        assert read_results(path).radius.tolist() == [0.1, 0.5, 2.0]
        assert read_results(path).standing == "claimed"
    else:
        with pytest.raises(CheckpointError, match="the results file is damaged"):
            read_results(path)


@pytest.mark.parametrize("schema", ["lipscope.results/3", "", "nonsense"])
def test_other_schemas_are_refused(schema: str, written: Path) -> None:
    with pytest.raises(CheckpointError, match="not a results file of this version"):
        read_results(rewritten(written, {"lipscope.results": schema}))


def test_a_model_is_no_results_file(written: Path) -> None:
    save_file({"a": np.zeros(3)}, written)
    with pytest.raises(CheckpointError, match="not a results file"):
        read_results(written)


def test_truncated_at_any_length(written: Path) -> None:
    whole = written.read_bytes()
    for length in range(0, len(whole), 7):
        written.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_results(written)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_results(tmp_path / "no.certified.safetensors")


def test_the_header_is_that_of_a_plain_safetensors_file(written: Path) -> None:
    header = read_header(written)
    assert sorted(info.name for info in header.tensors) == sorted(ARRAYS)
    assert header.config is None


def test_attack_distances_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.safetensors"
    plain = some_certificates([0.2, 0.1], [True, False])
    write_results(path, replace(plain, attack_distance=np.array([0.5, math.inf]), attack={"steps": 3}), {})
    kept = read_results(path)
    assert kept.attack_distance is not None
    assert kept.attack_distance.tolist() == [0.5, math.inf]
    assert kept.attack == {"steps": 3}


def test_attack_distances_must_fit(tmp_path: Path) -> None:
    path = tmp_path / "results.safetensors"
    for wrong in (np.array([0.1]), np.array([-0.1, 0.0]), np.array([math.nan, 0.0])):
        write_results(path, replace(some_certificates([0.2, 0.1], [True, True]), attack_distance=wrong), {})
        with pytest.raises(CheckpointError, match="damaged"):
            read_results(path)


def test_the_summary_lies_beside_the_results(written: Path) -> None:
    beside = summary_path(written)
    assert beside.name == "model.certified.json"
    assert json.loads(beside.read_text()) == {"schema": "lipscope.certify/2", "clean": {"count": 2}}


def test_class_names_are_kept_and_may_be_missing(certificates: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "x.certified.safetensors"
    write_results(path, replace(certificates, classes=("a", "b", "c")), {})
    assert read_results(path).classes == ("a", "b", "c")
    with safe_open(path, "np") as file:
        about = json.loads(file.metadata()["about"])
    del about["classes"]
    assert read_results(rewritten(path, {"about": json.dumps(about)})).classes == ()
    for wrong in (3, [3], None):
        with pytest.raises(CheckpointError, match="damaged"):
            read_results(rewritten(path, {"about": json.dumps({**about, "classes": wrong})}))


ATTACKED = {"attack_distance": np.array([0.5, 0.6, math.inf]), "attack": {"steps": 3}}


def test_attack_distances_of_the_same_predictions_are_kept(certificates: Certificates) -> None:
    old = replace(certificates, **ATTACKED)
    kept = with_attacks_of(replace(certificates, radius=certificates.radius * 1.1), old)
    assert kept.attack_distance is old.attack_distance
    assert kept.attack == {"steps": 3}
    assert kept.radius.tolist() == (certificates.radius * 1.1).tolist()
    own = replace(certificates, attack_distance=np.ones(3), attack={"steps": 9})
    assert with_attacks_of(own, old) is own


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "other"},
        {"data_fingerprint": "other"},
        {"data_split": "train"},
        {"data_name": "cifar10"},
        {"predicted": np.array([0, 0, 0])},
        {"label": np.array([0, 0, 1])},
        {"index": np.array([0, 1, 2])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_attack_distances_of_anything_else_are_dropped(certificates: Certificates, change: dict[str, Any]) -> None:
    new = replace(certificates, **change)
    assert with_attacks_of(new, replace(certificates, **ATTACKED)) is new


def test_images_without_labels(certificates: Certificates) -> None:
    assert certificates.labelled
    assert not replace(certificates, label=np.full(3, -1)).labelled


def test_attacked_images_are_those_the_file_names_and_those_it_has_a_distance_for() -> None:
    plain = some_certificates([0.1] * 5, [True] * 5)  # records 10 to 14
    assert not plain.attacked.any()
    distance = np.array([0.5, np.inf, np.inf, np.inf, 0.7])
    found = replace(plain, attack_distance=distance, attack={"attacked": [[10, 12]]})
    assert found.attacked.tolist() == [True, True, False, False, True]
    for odd in ({}, {"attacked": "all"}, {"attacked": [[1], "x", [0.5, 9], None]}):
        assert replace(found, attack=odd).attacked.tolist() == [True, False, False, False, True]
