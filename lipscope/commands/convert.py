"""``lipscope convert``: import a state dict of the paper's published code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lipscope.commands.messages import cut, narrate, say
from lipscope.errors import UsageError

if TYPE_CHECKING:
    from lipscope.models.published.unwrapping import StateDict

SHOWN = 6
"""Names of what was left out that are told."""


@click.command("convert")
@click.argument("source", metavar="FILE.pth", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The model to write. [default: FILE.safetensors]")
@click.option("--key", help="Where a file that holds several has the state dict, e.g. ema.state_dict.")
@click.option("--dataset", type=click.Choice(["cifar10", "cifar100"]), help="[default: told by the number of classes]")
@click.option("--force", is_flag=True, help="Overwrite an existing model.")
def convert_command(source: Path, out: Path | None, key: str | None, dataset: str | None, force: bool) -> None:
    """Turn a state dict of the published code into a lipscope model.

    Only tensors are read: no pickled code runs. What training scripts put around the state dict is taken off, and said.
    """
    from lipscope.files.checkpoint import sha256_of
    from lipscope.files.writing import require_writable
    from lipscope.models.published import import_published, load_published, published_config
    from lipscope.models.stored import save_model

    target = out or source.parent / f"{source.stem}.safetensors"
    if target.exists() and not force:
        raise UsageError(
            "exists already", where=str(target), next_step="choose another --out, or overwrite with --force"
        )
    require_writable(target)
    state = load_published(source, key)
    for line in _taken_off(state):
        narrate(line)
    config = published_config(state.tensors, str(source), dataset)
    net = import_published(state.tensors, config, str(source))
    save_model(net, target, config.to_json(), {"converted_from": source.name, "source_sha256": sha256_of(source)})
    narrate(f"{config.title}, {config.classes} classes")
    say(target)


def _taken_off(state: StateDict) -> Iterator[str]:
    """What was around the tensors, in words."""
    if state.key:
        yield f"the state dict is at {cut(state.key, 80)}"
    if state.prefix:
        yield f"taken off before the names: {cut(state.prefix, 80)}"
    if state.left_out:
        more = f" and {len(state.left_out) - SHOWN} more" if len(state.left_out) > SHOWN else ""
        yield f"left out beside them: {', '.join(cut(name, 40) for name in state.left_out[:SHOWN])}{more}"
