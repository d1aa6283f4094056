from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from lipscope.certification.gate import parse_requirement
from lipscope.certification.run import Answer
from lipscope.certification.table import judged, table
from lipscope.errors import CheckpointError, DataError, LipscopeError
from tests.files.test_results import some_certificates

EPS = (Fraction(36, 255), Fraction(72, 255))


def found(*radii: float, unkept: LipscopeError | None = None) -> Answer:
    return Answer(some_certificates(list(radii), correct=[radius > 0 for radius in radii]), unkept=unkept)


@pytest.mark.parametrize(
    ("rate", "unkept", "code"),
    [("1/2", None, 0), ("1", None, 5), ("1/2", DataError("full"), 3), ("1", DataError("full"), 5)],
)
def test_the_code_is_the_worst_of_what_happened(rate: str, unkept: LipscopeError | None, code: int) -> None:
    told: list[str] = []
    facts, ended = judged(
        found(0.2, 0.1, unkept=unkept), Path("a"), EPS, [parse_requirement(f"{rate}@36/255")], told.append
    )
    assert ended == code
    assert [outcome["met"] for outcome in facts["min_certified"]] == [rate == "1/2"]
    assert len(told) == (rate == "1")


def test_without_a_requirement_none_is_told() -> None:
    facts, code = judged(found(0.2), Path("a"), EPS, [], pytest.fail)
    assert (code, "min_certified" in facts) == (0, False)


def test_the_best_comes_first_and_failures_hide_nobody() -> None:
    """By the share at the first radius, then clean, then the name."""
    models = {
        "d": found(0.2, 0.1, 0.1),
        "c": found(0.2, 0.2, 0.1),
        "b": found(0.2, 0.0, 0.1),
        "a": found(0.2, 0.1, 0.1),
    }
    unlabelled = found(0.3)
    models["e"] = replace(
        unlabelled, certificates=replace(unlabelled.certificates, label=unlabelled.certificates.label * 0 - 1)
    )

    def answer(path: Path) -> Answer:
        if path.name not in models:
            raise CheckpointError("no such file", where=str(path))
        return models[path.name]

    told: list[str] = []
    rows, code = table(
        map(Path, ["x", "e", "d", "c", "b", "a"]), answer, EPS, [parse_requirement("0.5@36/255")], told.append
    )
    assert [row["model"]["path"] for row in rows] == ["c", "a", "d", "b", "x", "e"]
    assert [row.get("error", {}).get("code") for row in rows[-2:]] == ["checkpoint", "usage"]
    assert code == 5
    assert sum(line.startswith("model ") for line in told) == 6
