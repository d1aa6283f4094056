from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from lipscope.errors import CheckpointError, LipscopeError
from lipscope.files import adversarials
from lipscope.files.adversarials import (
    Adversarials,
    adversarials_path,
    nearest_of,
    read_adversarials,
    read_one,
    write_adversarials,
)
from lipscope.files.checkpoint import read_header
from lipscope.files.signing import Origin
from tests.always import always
from tests.full_disk import full_disk

SHA, PRINT = "a" * 64, "f" * 64


def image(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (3, 4, 4), dtype=np.uint8)


def made(indices, far: float = 0.01, original: int = 1) -> Adversarials:
    """Every pixel moved by ``far`` towards the middle: the distance is known."""
    points = [image(i) / 255 + np.where(image(i) < 128, far, -far) for i in indices]
    adversarial = np.array(points, np.float64).reshape(-1, 3, 4, 4).astype(np.float32)
    pixels = np.array([image(i) for i in indices], np.float64).reshape(-1, 3, 4, 4)
    exact = np.linalg.norm((adversarial.astype(np.float64) - pixels / 255).reshape(len(indices), 48), axis=1)
    seen = pixels.astype(np.float32) / np.float32(255)
    rounded = np.linalg.norm((adversarial - seen.astype(np.float64)).reshape(len(indices), 48), axis=1)
    n = len(indices)
    return Adversarials(
        np.array(indices, np.int64), np.full(n, original, np.int64), np.full(n, 2, np.int64),
        np.nextafter(np.maximum(exact, rounded), np.inf), adversarial, SHA, PRINT,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path) -> Path:
    return adversarials_path(tmp_path / "model.safetensors")


def test_what_is_written_is_read_bit_for_bit(path):
    kept = made([0, 3, 17])
    write_adversarials(path, kept)
    back = read_adversarials(path, SHA, PRINT)
    for name in ("index", "original", "changed", "distance", "adversarial"):
        assert np.array_equal(getattr(back, name), getattr(kept, name))
    again = path.read_bytes()
    write_adversarials(path, back)
    assert path.read_bytes() == again
    assert list(path.parent.iterdir()) == [path]


def test_one_image_is_read_without_the_others(path):
    kept = made([0, 3, 17])
    write_adversarials(path, kept)
    found = read_one(path, 3, SHA, PRINT, image(3))
    assert np.array_equal(found.pixels, kept.adversarial[1])
    assert (found.original, found.changed, found.distance) == (1, 2, kept.distance[1])
    for absent in (1, 18, 10_000):
        assert read_one(path, absent, SHA, PRINT) is None


def test_none_at_all_can_be_kept(path):
    write_adversarials(path, made([]))
    assert len(read_adversarials(path, SHA, PRINT)) == 0
    assert read_one(path, 0, SHA, PRINT) is None


@pytest.mark.parametrize(("sha256", "fingerprint", "said"), [
    ("b" * 64, PRINT, "another model"), (SHA, "e" * 64, "other images"),
])  # fmt: skip
def test_what_is_about_something_else_is_refused(path, sha256, fingerprint, said):
    write_adversarials(path, made([0]))
    for read in (lambda: read_adversarials(path, sha256, fingerprint), lambda: read_one(path, 0, sha256, fingerprint)):
        with pytest.raises(CheckpointError, match=said):
            read()


def test_damage_is_named(path):
    write_adversarials(path, made([0, 1]))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1  # a pixel
    path.write_bytes(flipped)
    with pytest.raises(CheckpointError, match="damaged"):
        read_adversarials(path, SHA, PRINT)
    path.write_bytes(whole[:-10])
    for read in (lambda: read_adversarials(path, SHA, PRINT), lambda: read_one(path, 0, SHA, PRINT)):
        with pytest.raises(CheckpointError):
            read()
    save_file({"x": np.zeros(1)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="no file of adversarial images"):
        read_one(path, 0, SHA, PRINT)


@pytest.mark.parametrize(("name", "change"), [
    ("adversarial", lambda a: a + 2), ("adversarial", lambda a: np.full_like(a, np.nan)),
    ("adversarial", lambda a: a.astype(np.float64)), ("distance", lambda d: -d), ("changed", lambda c: c - 1),
    ("distance", lambda d: 0.99 * d), ("distance", lambda d: 1.01 * d), ("adversarial", lambda a: 1 - a),
    ("adversarial", lambda a: a[:, :, :2]), ("distance", lambda d: np.full_like(d, np.inf)),
])  # fmt: skip
def test_a_row_that_cannot_be_is_named(path, name, change):
    write_adversarials(path, made([4]))
    arrays, metadata = load_file(path), dict(read_header(path).metadata)
    save_file({**arrays, name: np.ascontiguousarray(change(arrays[name]))}, path, metadata)
    with pytest.raises(CheckpointError, match="damaged"):
        read_one(path, 4, SHA, PRINT, image(4))
    with pytest.raises(CheckpointError, match="damaged"):
        read_adversarials(path, SHA, PRINT)


@always(
    old=st.dictionaries(st.integers(0, 8), st.sampled_from([0.01, 0.02, 0.03])),
    new=st.dictionaries(st.integers(0, 8), st.sampled_from([0.01, 0.02, 0.03])),
    force=st.booleans(),
)
def test_of_two_the_nearer_stays(old, new, force):
    def of(found):
        parts = [made([index], far) for index, far in sorted(found.items())]
        names = ("index", "original", "changed", "distance", "adversarial")
        return replace(
            made([]), **{name: np.concatenate([getattr(made([]), name), *(getattr(p, name) for p in parts)])
                         for name in names},
        )  # fmt: skip

    both = nearest_of(of(old), of(new), force=force)
    expected = {**old, **new} if force else {i: min(d.get(i, 9) for d in (old, new)) for i in {*old, *new}}
    assert both.index.tolist() == sorted(expected)
    for row, index in enumerate(both.index.tolist()):
        single = made([index], expected[index])
        assert both.distance[row] == single.distance[0]
        assert np.array_equal(both.adversarial[row], single.adversarial[0])


def test_others_are_not_mixed_in():
    assert nearest_of(None, made([1])).index.tolist() == [1]
    with pytest.raises(ValueError, match="other models"):
        nearest_of(replace(made([0]), model_sha256="b" * 64), made([1]))


def test_a_full_disk_leaves_the_earlier_file(path):
    write_adversarials(path, made([0]))
    before = path.read_bytes()
    with full_disk(1024), pytest.raises(LipscopeError):
        write_adversarials(path, made(range(40)))
    assert path.read_bytes() == before


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From here on another user's key is used."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))


def test_those_of_another_user_are_claims_and_get_no_signature_of_ones_own(path, tmp_path, monkeypatch):
    write_adversarials(path, made([0, 3]))

    def whose():
        return read_one(path, 3, SHA, PRINT).origin

    assert read_adversarials(path, SHA, PRINT).origin == whose() == Origin(own=True)
    elsewhere(monkeypatch, tmp_path / "other")
    claimed = read_adversarials(path, SHA, PRINT)
    assert not claimed.origin.own
    assert whose() == claimed.origin
    assert claimed.origin.reason
    for old, new in ((claimed, made([5])), (made([5]), claimed)):
        with pytest.raises(ValueError, match="somebody else"):
            nearest_of(old, new)
    with pytest.raises(ValueError, match="somebody else"):
        write_adversarials(path, claimed)


def test_whose_an_image_is_comes_from_the_bytes_that_it_was_read_from(path, monkeypatch):
    write_adversarials(path, made([0, 3]))
    own = path.read_bytes()
    path.write_bytes(own.replace(b"signature", b"signaturs"))
    views = adversarials._views

    def swapped(header, content):
        path.write_bytes(own)  # another process puts this user's own in its place
        return views(header, content)

    monkeypatch.setattr(adversarials, "_views", swapped)
    assert not read_one(path, 3, SHA, PRINT).origin.own


def test_an_unsigned_file_is_a_claim(path):
    write_adversarials(path, made([0, 3]))
    save_file(load_file(path), path, dict(read_header(path).metadata))
    assert not read_adversarials(path, SHA, PRINT).origin.own, "other bytes, though the same arrays"
