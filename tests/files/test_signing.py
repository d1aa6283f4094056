"""Only the user's own key makes a file the user's own."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from lipscope.files.checkpoint import with_sorted_metadata
from lipscope.files.signing import KEY_BYTES, NAME, UNSIGNED, Signer


def as_json() -> bytes:
    return json.dumps({"radius": 0.5, NAME: UNSIGNED, "more": [1, 2]}).encode()


def as_lines() -> bytes:
    return json.dumps({"schema": "x", NAME: UNSIGNED}).encode() + b'\n{"layer": 1}\n{"layer": 2}'


def as_tensors() -> bytes:
    return with_sorted_metadata(save({"radius": np.arange(3.0)}, {"about": '{"a": 1}', NAME: UNSIGNED}))


FORMATS = [as_json, as_lines, as_tensors]


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path / "user")


@pytest.mark.parametrize("made", FORMATS)
def test_what_was_signed_is_ones_own_and_still_of_its_format(made, signer: Signer, tmp_path: Path) -> None:
    content = made()
    signed = signer.sign(content)
    assert signer.origin(signed).own
    assert Signer(tmp_path / "user").origin(signed).own, "another process finds the same key"
    assert len(signed) == len(content)
    key = (tmp_path / "user" / "signing.key").read_bytes()
    code = hmac.new(key, content, hashlib.sha256).hexdigest()
    assert signed == content.replace(UNSIGNED.encode(), code.encode(), 1)
    if made is as_tensors:
        np.testing.assert_array_equal(load(signed)["radius"], np.arange(3.0))
    else:
        assert json.loads(signed.split(b"\n")[0])[NAME] == code


@pytest.mark.parametrize("made", FORMATS)
def test_every_changed_byte_makes_it_a_claim(made, signer: Signer) -> None:
    signed = signer.sign(made())
    for place in range(len(signed)):
        changed = bytearray(signed)
        changed[place] ^= 1
        assert not signer.origin(bytes(changed)).own, place
    for length in range(len(signed)):
        assert not signer.origin(signed[:length]).own
    assert not signer.origin(signed + b"\n").own


def test_each_claim_has_its_reason(signer: Signer, tmp_path: Path) -> None:
    assert "no key yet" in signer.origin(Signer(tmp_path / "other").sign(as_json())).reason
    assert signer.why_no_key() == ""
    assert "another key than yours" in signer.origin(Signer(tmp_path / "other").sign(as_json())).reason
    for unsigned in (as_json(), b"{}", b"", b"\x00\xff" * 100):
        assert signer.origin(unsigned).reason == "it carries no signature"
    assert signer.origin(signer.sign(as_json())).reason == ""


def test_a_second_place_for_a_signature_moves_nothing(signer: Signer) -> None:
    """The first place counts, for signing and for reading, so that no other 64 digits can be chosen freely."""
    content = as_json() + b"\n" + as_json()
    signed = signer.sign(content)
    assert signer.origin(signed).own
    assert not signer.origin(as_json() + signed[len(as_json()) :]).own
    tail = bytearray(signed)
    tail[-80] ^= 1
    assert not signer.origin(bytes(tail)).own


def test_content_without_a_place_cannot_be_signed(signer: Signer) -> None:
    for content in (b"", b"{}", b'{"lipscope.signature": "00"}', b'{"a": "\\"lipscope.signature\\": \\"' + b"0" * 64):
        with pytest.raises(ValueError, match="no place for a signature"):
            signer.sign(content)


@pytest.mark.parametrize("attempt", range(10))
def test_the_key_is_private_and_the_same_for_writers_that_start_together(attempt: int, tmp_path: Path) -> None:
    start, signed = threading.Barrier(8), []

    def write() -> None:
        start.wait()
        signed.append(Signer(tmp_path / "u").sign(as_json()))

    threads = [threading.Thread(target=write) for _ in range(start.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (key,) = (tmp_path / "u").iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == KEY_BYTES
    assert len(set(signed)) == 1


def _open_to_others(key: Path) -> None:
    key.chmod(0o640)


def _too_short(key: Path) -> None:
    key.write_bytes(b"short")


def _a_link(key: Path) -> None:
    key.rename(key.with_name("elsewhere"))
    key.symlink_to("elsewhere")


def _a_pipe(key: Path) -> None:
    key.unlink()
    os.mkfifo(key)


def _a_folder(key: Path) -> None:
    key.unlink()
    key.mkdir()


@pytest.mark.parametrize("spoil", [_open_to_others, _too_short, _a_link, _a_pipe, _a_folder])
def test_with_a_key_that_cannot_be_used_everything_is_claimed(spoil, signer: Signer, tmp_path: Path) -> None:
    signed = signer.sign(as_json())
    key = tmp_path / "user" / "signing.key"
    spoil(key)
    origin = signer.origin(signed)
    assert not origin.own
    assert str(key) in origin.reason
    assert str(key) in signer.why_no_key()
    assert signer.sign(as_json()) == as_json(), "written all the same, unsigned"


def test_a_key_of_another_user_signs_nothing(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = signer.sign(as_json())
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "another user" in signer.origin(signed).reason


def test_where_no_key_can_be_made_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("a file")
    signer = Signer(tmp_path / "user")
    assert signer.sign(as_json()) == as_json()
    assert "cannot be used" in signer.why_no_key()
    assert not signer.origin(as_json()).own


def test_the_tests_never_use_the_real_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    Signer().sign(as_json())
    assert Path(os.environ["XDG_DATA_HOME"]) != Path.home() / ".local" / "share"
    assert (Path(os.environ["XDG_DATA_HOME"]) / "lipscope" / "signing.key").is_file()
