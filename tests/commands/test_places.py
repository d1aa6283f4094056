"""Names on a command line that are no files, and places that cannot be written: every command says so at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipscope.certification import run as certification_run
from lipscope.cli import run
from lipscope.files.locks import lock_path
from lipscope.files.results import results_path, summary_path

pytestmark = pytest.mark.usefixtures("no_data")

MODEL = "MODEL"
"""Stands for a model in the commands below; the other name is the pipe."""


@pytest.fixture
def _nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        pytest.fail("it computes before it looks")

    monkeypatch.setattr("lipscope.analysis.analysis.analyse", refuse)


def called(command: str, model: Path) -> int:
    return run([str(model) if word == MODEL else word for word in command.split()])


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("inspect pipe", 4),
        ("inspect MODEL pipe", 4),
        ("inspect MODEL --describe pipe", 2),
        ("certify pipe", 4),
        ("attack pipe", 4),
        ("attack MODEL --results pipe", 4),
        ("convert pipe", 4),
        ("data import pipe", 3),
    ],
)
def test_a_pipe_is_no_file_and_nobody_waits_for_it(
    command: str, code: int, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    os.mkfifo("pipe")
    assert called(command, tiny_model) == code
    assert "a pipe, not a file" in capsys.readouterr().err


@pytest.mark.usefixtures("_nothing_is_computed")
@pytest.mark.parametrize("kind", ["pipe", "link"])
@pytest.mark.parametrize(
    "command",
    [
        "inspect MODEL --screenshot place",
        "inspect MODEL --witness place",
        "certify MODEL --csv place",
        "convert file.pth --out place --force",
    ],
)
def test_a_place_that_is_no_file_is_refused_before_anything_is_computed(
    command: str, kind: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    Path("precious").write_text("precious")
    if kind == "pipe":
        os.mkfifo("place")
    else:
        Path("place").symlink_to("precious")
    assert called(command, tiny_model) == 1
    assert "place: is not a file that can be replaced" in capsys.readouterr().err
    assert Path("precious").read_text() == "precious"


@pytest.mark.parametrize("of", ["lock", "results", "summary"])
def test_a_link_that_a_clone_brought_leads_certify_nowhere(
    of: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(certification_run, "_evaluate", None)  # it is refused before that is called
    precious = tiny_model.with_name("precious")
    precious.write_text("precious")
    results = results_path(tiny_model)
    link = {"results": results, "lock": lock_path(results), "summary": summary_path(results)}[of]
    link.symlink_to("precious")
    assert run(["certify", str(tiny_model)]) != 0
    assert link.name in capsys.readouterr().err
    assert precious.read_text() == "precious"
    assert link.is_symlink()
