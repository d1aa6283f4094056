"""What a screen shows, as SVG, JSON or CSV. Pure: data in, text out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from lipscope.errors import LipscopeError
from lipscope.files.checkpoint import SUFFIX, atomic_path
from lipscope.records import json_safe
from lipscope.tui.panes import Sheet
from lipscope.tui.registry import ScreenEntry
from lipscope.tui.work.state import State
from lipscope.visible import cell, harmless

SCHEMA = "lipscope.screen/1"

FORMATS = {"svg": "picture of the window", "json": "numbers with their context", "csv": "table for a spreadsheet"}


def as_json(sheet: Sheet, screen: ScreenEntry, state: State) -> str:
    """The sheet with the file it is about and what is known of it; numbers that are not finite become null."""
    document = {
        "schema": SCHEMA,
        "screen": screen.id,
        "model": {"path": str(state.header.path), "sha256": state.sha256, "architecture": state.header.architecture},
        "analysis": {"status": state.phase.value, "cached": state.cached, "on_disk": state.on_disk},
        "verdict": state.verdict.to_json() if state.verdict else None,
        "stale": state.stale,
        **sheet.facts,
        "columns": list(sheet.columns),
        "rows": list(sheet.rows),
    }
    return json.dumps(json_safe(document), indent=1) + "\n"


def as_csv(sheet: Sheet) -> str:
    """One line of column names, then the rows."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(sheet.columns)
    writer.writerows(
        [cell(harmless(value, 1000) if isinstance(value, str) else value) for value in row.values()]
        for row in sheet.rows
    )
    return lines.getvalue()


def write(path: Path, text: str) -> str:
    """Write a file as a whole or not at all; what went wrong, in words, else nothing."""
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except LipscopeError as error:
        return harmless(f"{error.what}: {error.why}")
    return ""


def free_path(folder: Path, model: Path, screen: str, ending: str) -> Path:
    """``model-radii.svg`` in the folder, or with the first number from 2 that is not taken."""
    stem = harmless(model.name.removesuffix(SUFFIX), 80).replace("/", "_")
    candidates = (folder / f"{stem}-{screen}{number}.{ending}" for number in ("", *(f"-{k}" for k in range(2, 10_000))))
    return next(path for path in candidates if not path.exists())
