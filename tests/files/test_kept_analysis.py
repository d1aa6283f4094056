"""Only this user's own analysis of the very bytes is read again."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

import lipscope.files.kept_analysis as cache_module
from lipscope.files.checkpoint import sha256_of
from lipscope.files.kept_analysis import Cache, Kept, condensed
from lipscope.files.plain import outline, revived
from lipscope.files.signing import Signer
from lipscope.records import AnalysisEvent, Verdict
from tests.tui.conftest import VERDICT, bounds, measured, write_checkpoint

EVENTS = (
    *(AnalysisEvent(i, 25, "", layer=measured(report, i)) for i, report in enumerate(bounds(), 1)),
    AnalysisEvent(25, 25, "", verdict=VERDICT),
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model.safetensors")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "user", signer=Signer(tmp_path / "keys"))


@pytest.fixture
def kept(model: Path, cache: Cache) -> Path:
    """The file of a kept analysis of the model."""
    place = cache.write(model, sha256_of(model), Kept(EVENTS, 12.5))
    assert place is not None
    return place


def test_what_was_kept_comes_back_the_same(model, cache, kept):
    assert kept == model.with_name("model.inspected.jsonl")
    again = cache.read(model, sha256_of(model))
    assert again == Kept(EVENTS, 12.5)


def test_other_bytes_get_no_answer(model, cache, kept):
    write_checkpoint(model, channels=99)
    assert cache.read(model, sha256_of(model)) is None


@pytest.mark.parametrize("change", ["flip", "cut", "extend", "empty", "unsigned", "none"])
def test_a_damaged_file_is_ignored(model, cache, kept, change):
    content = bytearray(kept.read_bytes())
    if change == "flip":
        content[len(content) // 2] ^= 1
    elif change == "cut":
        content = content[:-10]
    elif change == "extend":
        content += b"\n{}"
    elif change == "empty":
        content = bytearray()
    elif change == "unsigned":
        content = bytearray(re.sub(rb'": "[0-9a-f]{64}"', b'": "' + b"0" * 64 + b'"', bytes(content), count=1))
    kept.write_bytes(bytes(content))
    assert (cache.read(model, sha256_of(model)) is None) == (change != "none")


def test_a_forged_verdict_of_somebody_else_is_ignored(model, cache, kept, tmp_path):
    """Whoever makes a checkpoint can make a cache beside it, with the right hash: but not with this user's key."""
    forger = Cache(tmp_path / "forger", signer=Signer(tmp_path / "forger"))
    forged = (AnalysisEvent(1, 1, "", verdict=Verdict("proved", 1.0, "trust me")),)
    forger.write(model, sha256_of(model), Kept(forged, 0.1))
    assert forger.read(model, sha256_of(model)) is not None
    assert cache.read(model, sha256_of(model)) is None


@pytest.mark.parametrize(("name", "value"), [("__version__", "9.9.9"), ("SCHEMA", "lipscope.inspected/3")])
def test_another_version_or_schema_is_ignored(model, cache, kept, monkeypatch, name, value):
    monkeypatch.setattr(cache_module, name, value)
    assert cache.read(model, sha256_of(model)) is None


def test_another_data_folder_is_another_analysis(model, cache, kept):
    assert Cache(cache._folder, about="elsewhere", signer=cache._signer).read(model, sha256_of(model)) is None


def test_too_much_is_neither_kept_nor_read(model, cache, kept, monkeypatch):
    monkeypatch.setattr(cache_module, "LARGEST", 1000)
    assert cache.read(model, sha256_of(model)) is None
    kept.unlink()
    assert cache.write(model, sha256_of(model), Kept(EVENTS, 1.0)) is None
    assert not kept.exists()


def test_a_read_only_folder_is_answered_from_the_users(model, cache, monkeypatch):
    """By a refused name, because root may write anywhere."""
    beside, elsewhere = cache.places(model)
    beside.mkdir()
    assert cache.write(model, sha256_of(model), Kept(EVENTS, 1.0)) == elsewhere
    assert cache.read(model, sha256_of(model)) == Kept(EVENTS, 1.0)


def test_nowhere_to_write_is_no_error(model, tmp_path):
    (tmp_path / "user").write_text("a file")
    model.with_name("model.inspected.jsonl").mkdir()
    assert Cache(tmp_path / "user").write(model, "00", Kept(EVENTS, 1.0)) is None
    assert Cache(tmp_path / "user").read(model, "00") is None


def test_without_a_key_nothing_is_kept(model, tmp_path):
    """It would never be read again."""
    (tmp_path / "keys").write_text("a file")
    cache = Cache(tmp_path / "user", signer=Signer(tmp_path / "keys"))
    assert cache.write(model, "00", Kept(EVENTS, 1.0)) is None
    assert cache.candidates(model) == []


def test_another_folder_is_the_only_place(model, cache, tmp_path):
    elsewhere = Cache(tmp_path / "user", signer=cache._signer, keep=tmp_path / "kept")
    assert elsewhere.write(model, "00", Kept(EVENTS, 1.0)) == tmp_path / "kept" / "model.inspected.jsonl"
    assert elsewhere.read(model, "00") == Kept(EVENTS, 1.0)
    assert cache.candidates(model) == []


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_no_file_is_neither_read_nor_written(model, cache, kind):
    beside, _ = cache.places(model)
    precious = beside.with_name("precious")
    precious.write_text("precious")
    if kind == "pipe":
        os.mkfifo(beside)
    else:
        beside.symlink_to("precious")
    assert cache.read(model, "00") is None
    assert cache.write(model, "00", Kept(EVENTS, 1.0)) != beside
    assert precious.read_text() == "precious"


def test_the_last_word_on_each_layer_is_kept_in_forward_order():
    first = bounds()[:3]
    events = [AnalysisEvent(i, 9, "", layer=report) for i, report in enumerate(first)]
    events += [AnalysisEvent(3, 9, "", verdict=VERDICT), AnalysisEvent(9, 9, "", layer=measured(first[1], 1))]
    short = list(condensed(events))
    assert [event.layer.name for event in short[:-1]] == [report.name for report in first]
    assert short[1].layer == measured(first[1], 1)
    assert (short[-1].verdict, short[-1].done, short[-1].layer) == (VERDICT, 9, None)


def test_revived_refuses_what_is_not_of_its_type():
    plain = json.loads(json.dumps({"done": "1", "total": 2, "doing": "", "layer": None, "verdict": None}))
    with pytest.raises((TypeError, KeyError)):
        revived(AnalysisEvent, plain)
    with pytest.raises(ValueError, match="none of"):
        revived(Verdict, {"status": "perhaps", "lipschitz": None, "reason": ""})


def test_an_outline_changes_with_the_fields():
    assert outline(AnalysisEvent) != outline(Verdict)
    assert "status" in outline(AnalysisEvent)


def test_it_leaves_the_committed_checkpoints_clean():
    """Whoever opens a checkpoint of a clone sees no change in git."""
    root = Path(__file__).parents[2]
    patterns = (root / ".gitignore").read_text().split("\n")
    beside, _ = Cache(root / "nowhere").places(root / "checkpoints" / "a.safetensors")
    assert beside.name.endswith(".inspected.jsonl")
    assert "*.inspected.jsonl" in patterns
    assert os.sep not in beside.name


def test_kept_is_replaced_not_mixed(model, cache, kept):
    other = replace(EVENTS[-1], verdict=Verdict("not-proved", None, "no rule"))
    cache.write(model, sha256_of(model), Kept((other,), 1.0))
    assert cache.read(model, sha256_of(model)).events == (other,)
