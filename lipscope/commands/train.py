"""``lipscope train``: parse, train, narrate."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lipscope.commands.app import ENDINGS
from lipscope.commands.options import data_dir_option, device_option, one_of
from lipscope.commands.progress import TrainingBar

if TYPE_CHECKING:
    from lipscope.models.registry import Config
    from lipscope.models.shiftnet import ShiftNetConfig
    from lipscope.training.loop import Compiled
    from lipscope.training.recipe import Recipe
    from lipscope.training.run import RunFolder

RUNS = Path("runs")

CONVOLUTIONS = ("soc", "bcop", "cayley", "bro", "lot")
ACTIVATIONS = ("maxmin", "hh1", "hh2", "groupsort2", "groupsort4", "groupsort8")
"""What a shell completes."""

LARGEST_RATE = 1e30
"""Beyond it float32 has no number for a step."""


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
    type=click.Choice(["lipconvnet", "shiftnet", "resnet18", "resnet34"]),
    help="[default: a ShiftNet chosen for the --minutes, or for 30 on a CPU; else lipconvnet] "
    "A ResNet is not 1-Lipschitz as a whole.",
)
@click.option("--stages", help="Of a ShiftNet: WIDTHxMATRICES of each. [default: 64x3,128x3,256x3]")
@click.option("--stem", type=click.IntRange(min=1), help="Of a ShiftNet: side of the first patches. [default: 4]")
@click.option("--blocks", type=click.IntRange(1, 8), default=1, show_default=True, help="n of LipConvnet-5n.")
@click.option(
    "--channels", type=click.IntRange(min=1), help="Planes of the first stage. [default: 32 on a GPU, 16 on a CPU]"
)
@click.option(
    "--conv",
    default="soc",
    show_default=True,
    shell_complete=one_of(*CONVOLUTIONS),
    help="Family of convolutions: soc, bcop, cayley, bro, lot.",
)
@click.option(
    "--activation",
    default="maxmin",
    show_default=True,
    shell_complete=one_of(*ACTIVATIONS),
    help="maxmin, hh1, hh2, or groupsortK (groups of K channels).",
)
@click.option(
    "--head",
    type=click.Choice(["lln", "orthogonal"]),
    default="lln",
    show_default=True,
    help="lln: rows of norm 1, each pair of classes with its own constant; orthogonal: one constant for all.",
)
@click.option(
    "--recipe",
    type=click.Choice(["paper", "fast", "offset", "annealing", "manifold"]),
    help="Schedule and loss that go together. [default: manifold for a ShiftNet; else paper on a GPU, fast on a CPU]",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the images, instead of the recipe's.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Wall time to be done in, instead of epochs."
)
@click.option("--batch", "batch_size", type=click.IntRange(min=1), help="Images a step, instead of the recipe's.")
@click.option(
    "--accumulate",
    type=click.IntRange(min=1),
    help="Parts of a batch that pass one after another: less memory. [default: 1]",
)
@click.option(
    "--lr",
    "learning_rate",
    type=click.FloatRange(min=0, min_open=True, max=LARGEST_RATE),
    help="Largest learning rate, instead of the recipe's.",
)
@click.option("--target", help="Say how long a training to this certified accuracy takes here, e.g. 0.5@36/255.")
@click.option(
    "--loss",
    type=click.Choice(["cross-entropy", "offset-cross-entropy", "multi-margin", "logit-annealing"]),
    help="Instead of the recipe's, with its paper's offset and temperature.",
)
@click.option(
    "--gamma",
    type=click.FloatRange(min=0, max=LARGEST_RATE),
    help="Weight of certificate regularisation, instead of the recipe's.",
)
@click.option(
    "--offset",
    type=click.FloatRange(min=0, max=LARGEST_RATE),
    help="Taken from the true logit before the loss, instead of the recipe's.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True, max=LARGEST_RATE),
    help="Of the loss, instead of the recipe's.",
)
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
@click.option("--out", type=click.Path(path_type=Path), help="The run folder. [default: runs/NAME-DATE]")
@click.option("--resume", type=click.Path(path_type=Path), help="Continue the run in this folder.")
@click.option(
    "--extend",
    type=click.Path(path_type=Path),
    help="Go on where the decay of this run began, as if it had been given these --minutes.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace the run or model in the folder; with --resume, continue a state of an earlier version.",
)
@click.option("--ui", is_flag=True, help="Show the run in the terminal app; leaving it saves and stops the training.")
@data_dir_option
def train_command(
    dataset: str,
    model: str | None,
    target: str | None,
    stages: str | None,
    stem: int | None,
    blocks: int,
    channels: int | None,
    conv: str,
    activation: str,
    head: str,
    seed: int,
    compiled: bool,
    cuda_graphs: bool,
    device: str | None,
    out: Path | None,
    resume: Path | None,
    extend: Path | None,
    force: bool,
    ui: bool,
    data_dir: Path | None,
    **changes: Any,
) -> None:
    """Train a 1-Lipschitz net on CIFAR-10 or CIFAR-100, by the clock or by a recipe.

    Bare, it trains for 30 minutes on a CPU, and LipConvnet-5 by the paper's recipe on a GPU. With --minutes the net is
    chosen that came out best in about so many minutes of this machine; what to expect is said first. The run folder
    holds model.safetensors, metrics.jsonl and what --resume needs; Ctrl-C saves and stops.
    """
    from lipscope.commands.messages import narrate, say
    from lipscope.commands.train_budget import by_the_clock, chosen, say_what_it_takes
    from lipscope.data import load
    from lipscope.environment import check_device
    from lipscope.errors import typed
    from lipscope.files.run_log import read_run
    from lipscope.models.lipconvnet import LipConvnetConfig
    from lipscope.models.resnet import ResNetConfig
    from lipscope.models.shiftnet import ShiftNetConfig
    from lipscope.training.budget import DEFAULT_MINUTES
    from lipscope.training.distribution import world
    from lipscope.training.hardware import describe_hardware
    from lipscope.training.loop import Listeners, train
    from lipscope.training.run import RunFolder, create_run, open_run

    if resume is not None:
        _refuse_changes(click.get_current_context())
    if extend is not None:
        _refuse_changes(click.get_current_context(), "extend", "minutes", "out")
    if ui:
        from lipscope.commands.train_ui import require_terminal, train_and_show

        require_terminal()
    if device is not None:
        check_device(device)
    mode: Compiled | None = "reduce-overhead" if cuda_graphs else "default" if compiled else None
    with world(device) as here:
        gpu, leading = here.device.type != "cpu", here.rank == 0
        if resume is not None:
            run = open_run(resume)
            if leading and read_run(run.path).finished:
                narrate(f"this run is finished already: all of its {_length(run.recipe)} are trained")
            data = load(run.config.dataset, "train", data_dir)
        elif extend is not None:
            run = open_run(extend)
            data = load(run.config.dataset, "train", data_dir)
            run = _extended(run, out, changes["minutes"], leading)
        else:
            width = (32 if gpu else 16) if channels is None else channels
            config: Config
            # Whatever cannot be trained is refused before a data set is loaded; only that knows its classes.
            budgeted = by_the_clock(click.get_current_context(), gpu)
            if budgeted:
                config, conv = ShiftNetConfig(dataset=dataset), "orthogonal"
                changes["recipe"] = "manifold"
                changes["minutes"] = changes["minutes"] or DEFAULT_MINUTES
            elif model in (None, "lipconvnet"):
                config = LipConvnetConfig(blocks, width, activation, head, dataset=dataset, conv=conv)
            elif model == "shiftnet":
                _refuse_other_architecture(click.get_current_context(), "channels", "conv")
                config = _shiftnet(stages, stem, dataset)
                conv = "orthogonal"
                changes["recipe"] = changes["recipe"] or "manifold"
            else:
                _refuse_other_architecture(click.get_current_context(), "gamma")
                assert model is not None
                config = ResNetConfig(int(model.removeprefix("resnet")), width, conv, dataset=dataset)
                # Radii of an expanding net are next to nothing: there is no certificate to regularise.
                changes["gamma"] = 0.0
            recipe = _recipe(gpu, leading, conv, seed, changes)
            data = load(dataset, "train", data_dir)
            if target is not None:
                say_what_it_takes(target, dataset, len(data.classes), recipe, here)
                return
            if budgeted:
                config = chosen(dataset, len(data.classes), recipe, here)
            config = replace(config, classes=len(data.classes))
            folder = out or RUNS / _run_name(config, recipe)
            run = create_run(folder, config, recipe, force=force) if leading else RunFolder(folder, config, recipe)
        if ui:
            # The child loads the data itself, and finds the run made.
            given = ["--resume", str(run.path), *_again(device=device, data_dir=data_dir)]
            given += [flag for flag, asked in (("--compile", compiled), ("--cuda-graphs", cuda_graphs)) if asked]
            given += ["--force"] if force and resume is not None else []
            train_and_show(run.path, given, data_dir)
            return
        if leading:
            narrate(
                f"{run.config.title} on {data.name} ({len(data)} images from {data.source}), recipe {run.recipe.name}, "
                f"{_length(run.recipe)}, on {describe_hardware(here.device)}"
            )
            narrate(f"run folder {run.path}")
        with stop_on_interrupt() as stopping, TrainingBar(enabled=leading) as bar:
            finished = train(run, data, here, Listeners(bar.step, bar.epoch, stopping), force=force, compiled=mode)
        if leading and not finished:
            narrate(f"stopped and saved; continue with {typed('train', '--resume', run.path)}")
            raise click.Abort
        if leading:
            if not isinstance(run.config, ResNetConfig):
                narrate(f"certify it with {typed('certify', run.model)}")
            say(run.model)


def _recipe(gpu: bool, leading: bool, conv: str, seed: int, changes: dict[str, Any]) -> Recipe:
    """The recipe that was asked for, or that suits the device, for these convolutions, with the options' changes."""
    from lipscope.commands.messages import narrate
    from lipscope.training.recipe import RECIPES, for_convolutions, with_loss

    name = changes.pop("recipe")
    if name is None:
        name = "paper" if gpu else "fast"
        if leading:
            narrate(f"recipe {name}, because this is a {'GPU' if gpu else 'CPU'} (choose with --recipe)")
    if changes.pop("float32"):
        changes["bfloat16"] = False
    given = {key: value for key, value in changes.items() if value is not None}
    recipe = for_convolutions(RECIPES[name](), conv)
    if "loss" in given:
        recipe = with_loss(recipe, given.pop("loss"))
    return replace(recipe, seed=seed, **given)


def _extended(earlier: RunFolder, out: Path | None, minutes: float | None, leading: bool) -> RunFolder:
    """The run folder of the longer training.

    Raises:
        UsageError: it is not said how long.
    """
    from lipscope.errors import UsageError
    from lipscope.training.run import RunFolder, extend_run

    if minutes is None:
        raise UsageError("--extend needs --minutes", next_step="say how long the whole training is to take")
    folder = out or RUNS / _run_name(earlier.config, earlier.recipe)
    if leading:
        return extend_run(earlier, folder, minutes)
    return RunFolder(folder, earlier.config, replace(earlier.recipe, minutes=minutes))


def _refuse_changes(context: click.Context, *allowed: str) -> None:
    """A resumed run keeps what it was started with.

    Raises:
        UsageError: an option that would change what is trained.
    """
    from lipscope.errors import UsageError

    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in ("resume", "device", "data_dir", "ui", "force", "compiled", "cuda_graphs", *allowed):
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


def _refuse_other_architecture(context: click.Context, *more: str) -> None:
    """Only a LipConvnet has a choice of blocks, activation and head.

    Raises:
        UsageError: an option that would have no effect.
    """
    from lipscope.errors import UsageError

    for name in ("blocks", "activation", "head", *more):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--{name} is for --model lipconvnet", next_step="leave the option out")


def _shiftnet(stages: str | None, stem: int | None, dataset: str) -> ShiftNetConfig:
    """The configuration that ``--stages 64x3,128x3`` and ``--stem`` ask for.

    Raises:
        UsageError: stages that are not written so.
    """
    from lipscope.errors import UsageError
    from lipscope.models.shiftnet import ShiftNetConfig

    config = ShiftNetConfig(dataset=dataset)
    if stages is not None:
        try:
            pairs = [tuple(map(int, stage.split("x"))) for stage in stages.split(",")]
            widths, blocks = zip(*((width, count) for width, count in pairs), strict=True)
        except ValueError as error:
            raise UsageError(
                f"--stages {stages[:80]} cannot be read", next_step="write WIDTHxMATRICES of each: 64x3,128x3"
            ) from error
        config = replace(config, widths=widths, blocks=blocks)
    return config if stem is None else replace(config, stem=stem)


def _length(recipe: Recipe) -> str:
    return f"{recipe.epochs} epochs" if recipe.minutes is None else f"{recipe.minutes:g} minutes"


def _run_name(config: Config, recipe: Recipe) -> str:
    from lipscope.models.shiftnet import ShiftNetConfig

    stamp = time.strftime("%Y%m%d-%H%M%S")
    if isinstance(config, ShiftNetConfig):
        return f"{config.dataset}-{config.architecture}-{recipe.name}-{stamp}"
    kind = getattr(config, "activation", config.architecture)
    return f"{config.dataset}-{config.conv}{config.channels}-{kind}-{recipe.name}-{stamp}"


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
