"""``lipscope train``: parse, train, narrate."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lipscope.commands.options import data_dir_option, device_option, one_of
from lipscope.commands.progress import TrainingBar
from lipscope.layers.activations import ACTIVATIONS
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.last_layers import HEADS
from lipscope.models.registry import ARCHITECTURES
from lipscope.system import ENDINGS
from lipscope.training.recipe import LOSSES, PADDING_MODES, RECIPES
from lipscope.visible import counted

if TYPE_CHECKING:
    from lipscope.training.loop import Compiled

WHERE = ("resume", "device", "data_dir", "extra", "teacher", "ui", "force", "compiled", "cuda_graphs")
"""Options that say where and how a run is trained, and so may be others when it goes on."""

LARGEST_RATE = 1e30
"""Beyond it float32 has no number for a step."""

COUNT, PATH = click.IntRange(min=1), click.Path(path_type=Path)
RATE, SHIFT = click.FloatRange(min=0, max=LARGEST_RATE), click.IntRange(min=0, max=64)
POSITIVE = click.FloatRange(min=0, min_open=True, max=LARGEST_RATE)


@click.command("train")
@click.option(
    "--dataset",
    type=click.Choice(["cifar10", "cifar100", "synthetic", "synthetic100"]),
    default="cifar10",
    show_default=True,
    help="What is learnt; the synthetic sets need no files.",
)
@click.option(
    "--model",
    type=click.Choice([*(name for name in ARCHITECTURES if name != "resnet"), "resnet18", "resnet34"]),
    help="[default: a ShiftNet chosen for the --minutes, or for 30 on a CPU; else lipconvnet] "
    "A ResNet is not 1-Lipschitz as a whole.",
)
@click.option("--stages", help="Of a ShiftNet: WIDTHxMATRICES of each. [default: 64x3,128x3,256x3]")
@click.option("--stem", type=COUNT, help="Of a ShiftNet: side of the first patches. [default: 4]")
@click.option("--blocks", type=click.IntRange(1, 8), default=1, show_default=True, help="n of LipConvnet-5n.")
@click.option("--channels", type=COUNT, help="Planes of the first stage. [default: 32 on a GPU, 16 on a CPU]")
@click.option(
    "--conv",
    default="soc",
    show_default=True,
    shell_complete=one_of(*CONVOLUTIONS),
    help=f"Family of convolutions: {', '.join(CONVOLUTIONS)}.",
)
@click.option(
    "--activation",
    default="maxmin",
    show_default=True,
    shell_complete=one_of(*ACTIVATIONS, "groupsort2", "groupsort8"),
    help="maxmin, hh1, hh2, or groupsortK (groups of K channels).",
)
@click.option(
    "--head",
    type=click.Choice(list(HEADS)),
    default="lln",
    show_default=True,
    help="lln: rows of norm 1, each pair of classes with its own constant; orthogonal: one constant for all.",
)
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    help="Schedule and loss that go together. [default: manifold for a ShiftNet; else paper on a GPU, fast on a CPU]",
)
@click.option("--epochs", type=COUNT, help="Passes over the images, instead of the recipe's.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Wall time to be done in, instead of epochs."
)
@click.option("--batch", "batch_size", type=COUNT, help="Images per step, instead of the recipe's.")
@click.option(
    "--accumulate", type=COUNT, help="Parts of a batch that pass one after another: less memory. [default: 1]"
)
@click.option(
    "--extra",
    type=PATH,
    help="More images to learn from: an .npz of image (N, 32, 32, 3) uint8 and label (N,), not compressed.",
)
@click.option(
    "--extra-share",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    help="Of every batch, taken from --extra. [default: 0.75]",
)
@click.option(
    "--teacher",
    type=PATH,
    help="A network whose probabilities are learnt instead of the labels: any file that lipscope reads, of the same "
    "classes.",
)
@click.option(
    "--teacher-temperature",
    type=POSITIVE,
    help="By which its logits are divided: higher says more of the other classes. [default: 2]",
)
@click.option(
    "--recompute", is_flag=True, help="Less memory for a fifth to a half more time: layers are computed twice."
)
@click.option("--lr", "learning_rate", type=POSITIVE, help="Largest learning rate, instead of the recipe's.")
@click.option("--target", help="Say how long a training to this certified accuracy takes here, e.g. 0.5@36/255.")
@click.option(
    "--loss", type=click.Choice(list(LOSSES)), help="Instead of the recipe's, with its paper's offset and temperature."
)
@click.option("--gamma", type=RATE, help="Weight of certificate regularisation, instead of the recipe's.")
@click.option("--end-gamma", type=RATE, help="To which that weight goes as the learning rate falls.")
@click.option("--offset", type=RATE, help="Taken from the true logit before the loss, instead of the recipe's.")
@click.option(
    "--temperature",
    type=POSITIVE,
    help="Of the loss, instead of the recipe's; it stays unless --end-temperature is given too.",
)
@click.option(
    "--end-temperature",
    type=POSITIVE,
    help="To which the temperature falls as the learning rate falls, instead of the recipe's.",
)
@click.option(
    "--padding",
    type=SHIFT,
    help="Pixels that images are shifted by at most; it stays unless --end-padding is given too.",
)
@click.option("--end-padding", type=SHIFT, help="To which that goes as the learning rate falls.")
@click.option(
    "--padding-mode",
    type=click.Choice(list(PADDING_MODES)),
    help="What comes in from the side of a shifted image: black, or its mirror image; instead of the recipe's.",
)
@click.option(
    "--distortion",
    type=RATE,
    help="How much images are turned, scaled, sheared and recoloured; 1 is much, the recipes have 0.",
)
@click.option("--end-distortion", type=RATE, help="To which that goes as the learning rate falls.")
@click.option(
    "--holdout", type=click.IntRange(min=0), help="Training images kept to pick the epoch; 0 takes the last epoch."
)
@click.option("--float32", is_flag=True, help="No bfloat16 activations.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of weights, batches and crops."
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the steps with torch.compile: minutes at first.")
@click.option("--cuda-graphs", is_flag=True, help="Compile, and replay a step's kernels as CUDA graphs.")
@device_option
@click.option("--out", type=PATH, help="The run folder. [default: runs/NAME-DATE]")
@click.option("--resume", type=PATH, help="Continue the run in this folder.")
@click.option("--extend", type=PATH, help="Go on where this run by the clock ended, to these --minutes in all.")
@click.option(
    "--force",
    is_flag=True,
    help="Replace the run or model in the folder; with --resume, continue a state of an earlier version.",
)
@click.option("--ui", is_flag=True, help="Show the run in the terminal app; leaving it saves and stops the training.")
@data_dir_option
def train_command(
    dataset: str,
    target: str | None,
    compiled: bool,
    cuda_graphs: bool,
    device: str | None,
    out: Path | None,
    resume: Path | None,
    extend: Path | None,
    force: bool,
    ui: bool,
    data_dir: Path | None,
    extra: Path | None,
    extra_share: float | None,
    teacher: Path | None,
    **options: Any,
) -> None:
    """Train a 1-Lipschitz net on CIFAR-10 or CIFAR-100, by the clock or by a recipe.

    Bare, it trains for 30 minutes on a CPU, and LipConvnet-5 by the paper's recipe on a GPU. With --minutes the net is
    chosen that came out best in about so many minutes of this machine; what to expect is said first. The run folder
    holds model.safetensors, metrics.jsonl and what --resume needs; Ctrl-C saves and stops.
    """
    from lipscope.commands.messages import narrate, say
    from lipscope.errors import typed
    from lipscope.files.run_log import read_run
    from lipscope.processes.world import world
    from lipscope.training.hardware import describe_hardware
    from lipscope.training.loop import Listeners, train
    from lipscope.training.plan import Asked, longer_run, minutes_to, new_run, sources
    from lipscope.training.run import open_run

    context = click.get_current_context()
    if resume is not None:
        _refuse_changes(context)
    if extend is not None:
        _refuse_changes(context, "extend", "minutes", "out")
    if ui:
        from lipscope.commands.train_ui import require_terminal, train_and_show

        require_terminal()
    mode: Compiled | None = "reduce-overhead" if cuda_graphs else "default" if compiled else None
    given = {name: value for name, value in options.items() if _is_given(context, name)}
    given = given if target is None else {**given, "target": target}
    asked = Asked(dataset, given, out, force, data_dir, extra, extra_share, teacher)
    with world(device) as here:
        leading = here.rank == 0
        note = narrate if leading else lambda text: None
        if target is not None:
            minutes = minutes_to(target, asked, here)
            if leading:
                say(f"{target}: about {minutes} minutes here, `lipscope train --dataset {dataset} --minutes {minutes}`")
            return
        if resume is not None:
            run = open_run(resume)
            if leading and read_run(run.path).finished:
                narrate(f"this run is finished already, after {run.recipe.length}")
            data, learnt_from = sources(run.config.dataset, data_dir, extra, teacher)
        elif extend is not None:
            run, data, learnt_from = longer_run(extend, asked, here)
        else:
            run, data, learnt_from = new_run(asked, here, note)
        if ui:
            # The child loads the data itself, and finds the run made.
            again = ["--resume", str(run.path), *_again(device=device, data_dir=data_dir, extra=extra, teacher=teacher)]
            again += [flag for flag, wanted in (("--compile", compiled), ("--cuda-graphs", cuda_graphs)) if wanted]
            again += ["--force"] if force and resume is not None else []
            train_and_show(run.path, again, data_dir)
            return
        note(
            f"{run.config.title} on {data.name} ({counted(len(data), 'image')} from {data.source}), "
            f"recipe {run.recipe.name}, {run.recipe.length}, on {describe_hardware(here.device)}"
        )
        if data.extra is not None:
            note(f"{run.recipe.extra_share:.0%} of every batch from the {len(data.extra):,} images of {extra}")
        if teacher is not None:
            note(f"asks {teacher} about every image first, at a temperature of {run.recipe.teacher_temperature:g}")
        note(f"run folder {run.path}")
        with stop_on_interrupt() as stopping, TrainingBar(enabled=leading) as bar:
            listeners = Listeners(bar.step, bar.epoch, stopping)
            finished = train(run, data, here, listeners, force=force, compiled=mode, teacher=learnt_from)
        if leading and not finished:
            narrate(f"stopped and saved; continue with {typed('train', '--resume', run.path)}")
            raise click.Abort
        if leading:
            if run.config.ONE_LIPSCHITZ:
                narrate(f"certify it with {typed('certify', run.model)}")
            say(run.model)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _refuse_changes(context: click.Context, *allowed: str) -> None:
    """A resumed run keeps what it was started with.

    Raises:
        UsageError: an option that would change what is trained.
    """
    from lipscope.errors import UsageError

    for parameter in context.command.params:
        name = parameter.name or ""
        if _is_given(context, name) and name not in (*WHERE, *allowed):
            raise UsageError(
                f"{parameter.opts[0]} cannot change a run that is resumed",
                where="--resume",
                why="it continues with what it was started with",
                next_step="leave the option out, or start a new run",
            )


def _again(**options: object) -> list[str]:
    """These options as they are written on a command line, without those that were not given.

    >>> _again(device="cpu", data_dir=None)
    ['--device', 'cpu']
    """
    given = ((f"--{name.replace('_', '-')}", str(value)) for name, value in options.items() if value is not None)
    return [word for pair in given for word in pair]


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or end of the session asks the training to save and stop; the second stops it at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for each in before:
            signal.signal(each, signal.default_int_handler)

    # What is ignored stays ignored: so nohup keeps a training alive when its terminal goes.
    wanted = (each for each in ENDINGS if signal.getsignal(each) is not signal.SIG_IGN)
    before = {each: signal.signal(each, ask) for each in wanted}
    try:
        yield lambda: asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
