"""``lipscope report``: one file with every number and picture of a model, for those who have only a browser."""

from __future__ import annotations

from pathlib import Path

import click

from lipscope.commands.messages import narrate
from lipscope.commands.models import choose_model, file_of
from lipscope.commands.options import data_dir_option


@click.command(name="report")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--describe", "description", type=click.Path(path_type=Path), help="How the tensors are connected.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Without its ending: .md and .html are written. [default: MODEL-report]",
)  # fmt: skip
@data_dir_option
def report_command(model: Path | None, description: Path | None, output: Path | None, data_dir: Path | None) -> int:
    """Write what `lipscope inspect` shows of MODEL as Markdown and as HTML that needs no other file."""
    from lipscope.commands.app import means_for, run_around
    from lipscope.files.checkpoint import SUFFIX, atomic_path
    from lipscope.files.kind import read_model_header
    from lipscope.tui.picture import whole_report

    path = file_of(choose_model(model))
    read_model_header(path)
    target = output or Path(path.name.removesuffix(SUFFIX) + "-report")
    texts = whole_report(path, means_for(data_dir, description), run_around(path))
    for ending, text in zip((".md", ".html"), texts, strict=True):
        file = target.with_name(target.name + ending)
        with atomic_path(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
        narrate(f"report of {path} written to {file}")
    return 0
