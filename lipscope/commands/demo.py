"""``lipscope demo``: the model that comes with the program, in the app."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import click

from lipscope.commands.messages import narrate
from lipscope.errors import LipscopeError, typed
from lipscope.files.opening import read_regular
from lipscope.files.writing import atomic_path

MODEL = "shiftnet9-64-cifar10.safetensors"


@click.command("demo")
@click.pass_context
def demo_command(context: click.Context) -> int:
    """Look into a small certified CIFAR-10 model that comes with lipscope; it needs no file and no images.

    Its bounds are proved anew. The radii of its 10,000 test images were computed elsewhere, and are shown as somebody
    else's claim until you compute your own.
    """
    import platformdirs

    from lipscope.commands.inspect import inspect_command

    model = unpacked(platformdirs.user_cache_path("lipscope", appauthor=False) / "demo")
    narrate(f"model {model}")
    code: int = context.invoke(inspect_command, model=model)
    narrate(f"to prove its radii yourself: {typed('data', 'fetch', 'cifar10')}, then {typed('certify', model)}")
    return code


def unpacked(folder: Path) -> Path:
    """The model in this folder, with the results that came with it, as the package has them; what is there stays.

    Raises:
        LipscopeError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with as_file(files("lipscope") / "demo") as ours:
            model = folder / MODEL
            same = model.exists() and read_regular(model) == (ours / MODEL).read_bytes()
            for source in ours.iterdir():
                # Results of the user's own have taken the place of those that came with the same model.
                if not (same and (folder / source.name).exists()):
                    with atomic_path(folder / source.name) as temporary:
                        temporary.write_bytes(source.read_bytes())
    except OSError as error:
        raise LipscopeError(
            "the model of the demonstration cannot be put there", where=str(folder), why=error,
            next_step="free space, or set XDG_CACHE_HOME to a folder that can be written to",
        ) from error  # fmt: skip
    return model
