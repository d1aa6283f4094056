"""What is kept beside a model, as ``lipscope inspect`` reads it, and two models held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lipscope.analysis.analysis import inspect_report
from lipscope.analysis.comparison import SCHEMA, aligned, images_json, layers_json, objection, shared
from lipscope.attacks.report import attacked_rates
from lipscope.certification.claim import check_at_hand
from lipscope.certification.kept import Note
from lipscope.certification.summary import summary
from lipscope.errors import CheckpointError
from lipscope.files.results import read_results, results_path
from lipscope.records import InspectReport
from lipscope.records.certificates import Certificates
from lipscope.units import DEFAULT_EPS


def results_beside(model: Path, keep: Path | None, note: Note) -> Certificates | None:
    """The results kept for a model; None where there are none, or, as the note says, none that can be read.

    Args:
        model: the path of a model.
        keep: the folder of the results; None for the model's.
        note: told in words what a person should know.
    """
    target = results_path(model, keep)
    if not target.exists():
        return None
    try:
        certificates = read_results(target)
    except CheckpointError as error:
        note(str(error))
        return None
    return certificates if len(certificates) else None


def radii_beside(
    model: Path, sha256: str, keep: Path | None, data_dir: Path | None, note: Note
) -> dict[str, Any] | None:
    """The summary of the radii beside a model, and whether they are about these very bytes; None without any.

    What somebody else claims is checked cheaply where model and images are at hand: ``claim`` says with what outcome.
    ``attack`` has what was certified of the attacked images and what withstood (an estimate); None where none was.
    """
    certificates = results_beside(model, keep, note)
    if certificates is None:
        return None
    facts = _facts(certificates, model, sha256)
    asked = certificates.standing == "claimed" and not facts["stale"]
    checked = check_at_hand(certificates, model, data_dir) if asked else None
    claim = None if checked is None else {**asdict(checked), "holds": checked.holds, "words": str(checked)}
    return {**facts, "claim": claim, "attack": attacked_rates(certificates, DEFAULT_EPS)}


def comparison(models: Sequence[Path], data_dir: Path | None, description: Path | None, note: Note) -> dict[str, Any]:
    """Everything that is compared of two models, as ``lipscope.compare/1``.

    Raises:
        LipscopeError: one of them cannot be analysed.
    """
    reports = [inspect_report(path, data_dir=data_dir, description=description) for path in models]
    kept = [results_beside(path, None, note) for path in models]
    a, b = kept
    missing = [letter for letter, one in zip("AB", kept, strict=True) if one is None]
    reason = f"no results of `lipscope certify` beside {' and '.join(missing)}" if missing else ""
    if a is not None and b is not None:
        reason = objection(a, b)
    at = images_json(shared(a, b), DEFAULT_EPS) if a is not None and b is not None and not reason else []
    certified = {
        letter: None if one is None else _facts(one, path, report.sha256)
        for letter, one, path, report in zip("ab", kept, models, reports, strict=True)
    }
    return {
        "schema": SCHEMA,
        "models": {letter: _model(report) for letter, report in zip("ab", reports, strict=True)},
        "layers": layers_json(aligned(reports[0].layers, reports[1].layers)),
        "certified": {**certified, "comparable": not reason, "reason": reason or None, "at": at},
    }


def _facts(certificates: Certificates, model: Path, sha256: str) -> dict[str, Any]:
    return {**summary(certificates, str(model), DEFAULT_EPS), "stale": certificates.model_sha256 != sha256}


def _model(report: InspectReport) -> dict[str, Any]:
    about = {"path": report.path, "sha256": report.sha256, "architecture": report.architecture}
    return {**about, "verdict": report.verdict.to_json()}
