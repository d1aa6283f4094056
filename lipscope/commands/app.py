"""Opening the terminal app of ``lipscope inspect``, or drawing one of its screens into a file."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lipscope.commands.messages import narrate
from lipscope.commands.models import file_of
from lipscope.system import on_ending

if TYPE_CHECKING:
    from lipscope.analysis.logits import LogitsOf
    from lipscope.records import AnalysisEvent
    from lipscope.records.certificates import Certificates, Checked
    from lipscope.tui.app import InspectApp
    from lipscope.tui.work.worker import Means


def open_app(
    path: Path,
    means: Means,
    screen: str | None,
    other: Path | None = None,
) -> None:
    """Run the app until the user quits."""
    from lipscope.tui.app import InspectApp
    from lipscope.tui.config import read_config
    from lipscope.tui.settings import remembered
    from lipscope.tui.work.pauses import uncollected

    wanted: tuple[Path, Path | None] | None = (path, other)
    while wanted is not None:
        path, other = wanted
        left, run = remembered(), run_around(path)
        first = screen or ("training" if run is not None and is_live(run) else left.screen)
        with uncollected():
            app = InspectApp(
                path, analyse=means, config=read_config(), screen=first, other=other, run=run, remembered=left
            )
        run_app(app)
        gc.unfreeze()
        wanted = app.wanted and (file_of(app.wanted[0]), app.wanted[1] and file_of(app.wanted[1]))
        if wanted is not None:  # how the first file is connected says nothing of another one
            means = means_for(means.data_dir, None, means.kept, no_keep=means.cache is None)
            screen = "compare" if wanted[1] else None
    leave_at_once(app.return_code or 0)


def choose_in_app(folders: Sequence[Path], means: Means) -> Path | None:
    """The file or run that the user chooses from a list; None where none is."""
    from lipscope.tui.config import read_config
    from lipscope.tui.settings import remembered
    from lipscope.tui.start.screen import StartApp

    left = remembered()
    return StartApp(folders, left.recent, means.cache, left.theme or read_config().theme).run()


def is_live(run: Path) -> bool:
    """Whether somebody trains there now, so that its training is what one wants to see."""
    from lipscope.files.run_log import read_run, standing_of

    return standing_of(read_run(run), time.time()) == "running"


def run_app(app: InspectApp) -> None:
    """Run an app until the user quits it, or until it is told to end from outside: the terminal is restored."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        on_ending(loop, app.exit)
        app.run(loop=loop)


def leave_at_once(code: int) -> NoReturn:
    """Exit without waiting for a thread inside a long factorisation, or taking 100,000 tensors' objects apart."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def draw_screen(
    path: Path,
    target: Path,
    means: Means,
    *,
    screen: str,
    size: str | None,
    other: Path | None = None,
) -> None:
    """Draw one screen into an SVG file, and say so.

    Raises:
        UsageError: a size that is none.
        LipscopeError: the analysis failed, or the file cannot be written.
    """
    from lipscope.files.writing import atomic_path, require_writable
    from lipscope.tui.picture import SIZE, parse_size, picture

    cells = SIZE if size is None else parse_size(size)
    require_writable(target)
    drawn = picture(path, means, screen=screen, size=cells, other=other, run=run_around(path))
    with atomic_path(target) as temporary:
        temporary.write_text(drawn, encoding="utf-8")
    narrate(f"{screen} screen of {path} written to {target}")


def run_around(model: Path) -> Path | None:
    """The run folder that a model lies in, or will lie in; None where there is none."""
    from lipscope.files.run_log import is_run

    return model.parent if model.name == "model.safetensors" and is_run(model.parent) else None


def means_for(
    data_dir: Path | None, description: Path | None, keep: Path | None = None, *, no_keep: bool = False
) -> Means:
    """What the app works with: the analysis, its cache, and what the model says of an image.

    Args:
        data_dir: searched first for the images.
        description: how the tensors of the file are connected.
        keep: the folder for the analysis, results and adversarial images; None for the model's.
        no_keep: keep no analysis, and answer from none.
    """
    from lipscope.files.kept_analysis import Cache
    from lipscope.tui.work.pauses import uncollected
    from lipscope.tui.work.worker import Means

    def analyse(file: Path) -> Iterator[AnalysisEvent]:
        with uncollected("torch"):
            from lipscope.analysis.analysis import analyse as analysis

        return analysis(file, data_dir=data_dir, description=description)

    def evaluator(file: Path) -> LogitsOf:
        with uncollected("torch"):
            from lipscope.analysis.logits import logits_of

        return logits_of(file)

    def check(claimed: Certificates, file: Path) -> Checked | None:
        with uncollected("torch"):
            from lipscope.certification.claim import check_at_hand

        return check_at_hand(claimed, file, data_dir)

    cache = None if no_keep else Cache(about=_about(data_dir, description), keep=keep)
    return Means(analyse, cache, data_dir=data_dir, evaluator=evaluator, check=check, kept=keep)


def _about(data_dir: Path | None, description: Path | None) -> str:
    """What an analysis depends on beside the file: where images are looked for, and how the tensors are connected."""
    from lipscope.files.opening import read_regular

    described = None
    if description is not None:
        try:
            described = hashlib.sha256(read_regular(description)).hexdigest()
        except OSError as error:  # the analysis says so; no other answers in its place
            described = str(error)
    folders = [str(data_dir) if data_dir else None, os.environ.get("LIPSCOPE_DATA")]
    return json.dumps({"data": folders, "description": described})
