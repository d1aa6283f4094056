import json
import os

from lipscope.files.found import found
from lipscope.files.results import results_path
from lipscope.tui.start.screen import found_line
from tests.tui.conftest import write_checkpoint, write_radii
from tests.tui.runs import Run


def test_runs_checkpoints_and_recent_files_newest_first_and_nothing_twice(tmp_path):
    run = Run(tmp_path / "run")
    run.train(1, 3)
    old = write_checkpoint(tmp_path / "old.safetensors")
    write_radii(old)
    os.utime(old, (1, 1))
    summary = {"clean": {"rate": 0.6946}, "certified": [{"eps": "36/255", "rate": 0.539}]}
    results_path(old).with_suffix(".json").write_text(json.dumps(summary))
    far = write_checkpoint(tmp_path / "far.safetensors", channels=8)
    listed = found([tmp_path], [far, tmp_path / "gone.safetensors"])
    assert [one.path.name for one in listed] == ["far.safetensors", "run", "old.safetensors"] or [
        one.path.name for one in listed
    ] == ["run", "far.safetensors", "old.safetensors"]
    assert listed[-1].rates == "69.5% / 53.9%"
    assert next(one for one in listed if one.path == run.path).standing == "3 of 8 epochs"
    for width in (40, 80, 120):
        assert len("".join(text for text, _ in found_line(listed[-1], 1e9, width))) <= max(width, 64)


def test_a_folder_of_other_things_lists_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.safetensors").write_bytes(b"garbage")
    assert found([tmp_path, tmp_path / "missing"]) == []
