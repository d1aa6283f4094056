"""``lipscope certify`` called from a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lipscope.cli import run
from lipscope.files.results import results_path, summary_path

CODES = {1: "failed", 2: "usage", 3: "data", 4: "checkpoint", 5: "check-failed"}


def certify(*arguments: object) -> int:
    return run(["certify", *(str(argument) for argument in arguments)])


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, Any]:
    """The one object on stdout, which must be strict JSON."""
    capsys.readouterr()
    assert certify(*arguments, "--json") == code

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=refuse)
    return found


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and message, the same as text and as JSON, and nothing else on stdout."""
    capsys.readouterr()
    code = certify(*arguments)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert "Traceback" not in stderr
    assert certify(*arguments, "--json") == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert set(error) == {"code", "what", "where", "why", "next"}
    assert error["code"] == CODES[code]
    assert error["what"] in stderr
    return code, stderr.strip().splitlines()[-1]


def beside(model: Path) -> set[str]:
    """The names of the files beside the model."""
    return {path.name for path in model.parent.iterdir()}


def kept(model: Path) -> tuple[bytes, bytes]:
    """The bytes of what is kept about the model."""
    return results_path(model).read_bytes(), summary_path(results_path(model)).read_bytes()
