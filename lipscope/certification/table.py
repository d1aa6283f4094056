"""Several models in one table: each is certified and held against what was required, and one failure hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from lipscope.certification.gate import Requirement, held
from lipscope.certification.kept import Note
from lipscope.certification.run import Answer
from lipscope.certification.summary import summary
from lipscope.errors import CheckFailedError, LipscopeError, UsageError

Judged = tuple[dict[str, Any], int]
"""A summary, and the exit code that it means."""


def judged(found: Answer, path: Path, eps: Sequence[Fraction], required: Sequence[Requirement], note: Note) -> Judged:
    """The summary with what became of the requirements, each miss told.

    Raises:
        UsageError: as :func:`lipscope.certification.gate.held`.
    """
    facts = summary(found.certificates, str(path), eps, found.budget)
    code = found.unkept.exit_code if found.unkept else 0
    outcomes = [held(wanted, found.certificates) for wanted in required]
    for one in outcomes:
        if not one.met:
            note(f"{path}: {one}")
            code = max(code, CheckFailedError.exit_code)
    return (facts | {"min_certified": [one.to_json() for one in outcomes]} if outcomes else facts), code


def table(
    paths: Iterable[Path],
    answer: Callable[[Path], Answer],
    eps: Sequence[Fraction],
    required: Sequence[Requirement],
    note: Note,
) -> tuple[list[dict[str, Any]], int]:
    """The summaries, the best certified accuracy at the first radius first, then the errors; and the worst code."""
    certified, failed, codes = [], [], [0]
    for path in paths:
        note(f"model {path}")
        try:
            found = answer(path)
            if not found.certificates.labelled:
                raise UsageError("a table sorted by certified accuracy needs labels", where=str(path))
            facts, code = judged(found, path, eps, required, note)
        except LipscopeError as error:
            note(str(error))
            failed.append({"model": {"path": str(path)}, **error.to_json()})
            codes.append(error.exit_code)
        else:
            certified.append(facts)
            codes.append(code)
    return sorted(certified, key=_rank) + failed, max(codes)


def _rank(facts: dict[str, Any]) -> tuple[Fraction, Fraction, str]:
    """Certified accuracy at the first radius, then clean accuracy, then the name."""
    first, clean = (Fraction(share["count"], facts["data"]["n"]) for share in (facts["certified"][0], facts["clean"]))
    return -first, -clean, facts["model"]["path"]
