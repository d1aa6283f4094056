"""`lipscope inspect` as its tests call it: the exit code, the text, the one JSON object, the error."""

from __future__ import annotations

import json

from lipscope.cli import run


def inspect(*arguments: object) -> int:
    return run(["inspect", *(str(argument) for argument in arguments)])


def refuse(constant):
    raise AssertionError(constant)


def as_json(capsys, path) -> dict:
    """The one object on stdout, which must be strict JSON."""
    capsys.readouterr()
    assert inspect(path, "--json") == 0
    return json.loads(capsys.readouterr().out, parse_constant=refuse)


def as_text(capsys, path) -> str:
    capsys.readouterr()
    assert inspect(path) == 0
    return capsys.readouterr().out


def error_of(capsys, *arguments: object) -> tuple[int, str]:
    """Exit code and message, the same as text and as JSON, and nothing else on stdout."""
    capsys.readouterr()
    code = inspect(*arguments)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert "Traceback" not in stderr
    assert inspect(*arguments, "--json") == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["what"] in stderr
    return code, stderr.strip()
