from __future__ import annotations

import json

import pytest

from lipscope.errors import CheckFailedError, CheckpointError, DataError, LipscopeError, UsageError


@pytest.mark.parametrize(
    ("kind", "exit_code", "code"),
    [(LipscopeError, 1, "failed"), (UsageError, 2, "usage"), (DataError, 3, "data"), (CheckpointError, 4, "checkpoint"),
     (CheckFailedError, 5, "check-failed")],
)  # fmt: skip
def test_exit_codes_are_those_of_the_design(kind: type[LipscopeError], exit_code: int, code: str) -> None:
    error = kind("it broke", where="here", why="because", next_step="mend it")
    assert isinstance(error, LipscopeError)
    assert error.exit_code == exit_code
    assert str(error) == "here: it broke (because); mend it"
    expected = {"code": code, "what": "it broke", "where": "here", "why": "because", "next": "mend it"}
    assert error.to_json() == {"error": expected}
    assert json.loads(json.dumps(error.to_json())) == error.to_json()


def test_what_is_not_said_is_not_printed() -> None:
    assert str(LipscopeError("it broke")) == "it broke"
    assert str(LipscopeError("it broke", why="because")) == "it broke (because)"
    assert str(LipscopeError("it broke", where="here", next_step="mend it")) == "here: it broke; mend it"


@pytest.mark.parametrize(("error", "said"), [(OSError(2, "No such file"), "No such file"), (OSError("odd"), "odd")])
def test_why_may_be_what_the_system_says(error: OSError, said: str) -> None:
    caught = LipscopeError("cannot be read", where="here", why=error)
    assert str(caught) == f"here: cannot be read ({said})"
    assert caught.to_json()["error"]["why"] == said
