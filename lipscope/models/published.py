"""Import of the state dicts that the paper's published code writes.

Names: ``layer{1..5}.{j}.conv.*``, ``layer{1..5}.{j}.activation.*``, ``last_layer.*``. The free kernels and the
vectors of the power iterations become the kernels that evaluation uses; nothing of the training remains.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lipscope.errors import CheckpointError, UsageError
from lipscope.layers.skew import conjugate_kernel
from lipscope.models.composition import LipschitzNet
from lipscope.models.lipconvnet import STAGES, LipConvnetConfig, lipconvnet

DATASET_OF = {10: "cifar10", 100: "cifar100"}

UNFOLDINGS = 4
"""Inner products <K, u_i v_i>; the smallest is the estimate of the norm that the kernel is divided by."""

WRAPPERS = ("state_dict", "model", "net")
"""Keys under which training scripts put a state dict beside other things."""


DAMAGE = (
    RuntimeError, EOFError, ValueError, OSError, LookupError, AttributeError, TypeError, AssertionError, OverflowError,
    MemoryError, struct.error,
)  # fmt: skip
"""What torch's unpickler raises on damaged bytes, found by damaging them."""


def load_published(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth file, read without running pickled code, ``module.`` prefixes dropped.

    Raises:
        CheckpointError: missing, damaged, pickled code in it, or no state dict.
    """
    where = str(path)
    if not path.exists():
        raise CheckpointError("no such file", where=where, next_step="check the path")
    if path.is_dir():
        raise CheckpointError("is a folder, not a checkpoint", where=where)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "refused or damaged: only tensors are read, no pickled code",
            where=where,
            why=str(error).strip().splitlines()[0][:200],
            next_step="save model.state_dict() instead of the model",
        ) from error
    except DAMAGE as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError("not a file that torch.save wrote, or damaged", where=where, why=why) from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError("holds no state dict", where=where)
    tensors = {str(name).removeprefix("module."): value for name, value in content.items()}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise CheckpointError("holds no state dict", where=where, why=f"{name[:80]!r} is not a tensor")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"tensor {name[:80]!r} holds NaN or infinite values", where=where)
    return tensors


def import_published(tensors: Mapping[str, Tensor], config: LipConvnetConfig, where: str) -> LipschitzNet:
    """The network of a published SOC state dict, in eval mode.

    Args:
        tensors: as of :func:`load_published`.
        config: as of :func:`published_config`.
        where: the file, for messages.

    Raises:
        CheckpointError: names or shapes that do not fit the configuration.
    """
    # Nothing of the size that the names suggest is allocated before the tensors are seen to fit.
    with torch.device("meta"):
        expected = {name: value.shape for name, value in lipconvnet(config).state_dict().items()}
    state: dict[str, Tensor] = {}
    for stage in range(1, STAGES + 1):
        for block in range(config.blocks):
            theirs, ours = f"layer{stage}.{block}", f"stage{stage}.block{block + 1}"
            state[f"{ours}.conv.kernel"] = _kernel(tensors, f"{theirs}.conv", where)
            state[f"{ours}.conv.bias"] = _get(tensors, f"{theirs}.conv.bias", where)
            for name, value in tensors.items():
                if name.startswith(f"{theirs}.activation."):
                    angle = name.rpartition(".")[2]
                    limit = 2 * torch.pi
                    state[f"{ours}.activation.{angle}"] = (
                        value.flatten() if config.activation == "hh1" else value.flatten().clamp(0.0, limit)
                    )
    if config.head == "lln":
        weight = _get(tensors, "last_layer.weight", where)
        state["head.weight"] = weight / torch.linalg.vector_norm(weight, dim=-1, keepdim=True)
        state["head.bias"] = _get(tensors, "last_layer.bias", where)
    else:
        state["head.conv.kernel"] = _kernel(tensors, "last_layer", where)
        state["head.conv.bias"] = _get(tensors, "last_layer.bias", where)
    for name in sorted(set(expected) | set(state)):
        if name not in state or name not in expected or state[name].shape != expected[name]:
            found = tuple(state[name].shape) if name in state else "missing"
            raise CheckpointError(
                f"does not fit {config.title}", where=where, why=f"{name}: {found}, expected {expected.get(name)}"
            )
        if not bool(torch.isfinite(state[name]).all()):
            raise CheckpointError(
                f"{name} cannot be computed",
                where=where,
                why="dividing by the stored norm gives NaN or infinite values",
            )
    net = lipconvnet(config)
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


def published_config(tensors: Mapping[str, Tensor], where: str, dataset: str | None = None) -> LipConvnetConfig:
    """The configuration that the names and shapes of a published state dict tell.

    Raises:
        CheckpointError: not one of the published code's SOC models.
    """
    places = [match for name in tensors if (match := re.match(r"layer([1-5])\.(\d+)\.conv\.", name))]
    if not places or "last_layer.bias" not in tensors:
        raise CheckpointError(
            "not a state dict of the paper's published code",
            where=where,
            why="no layer1..layer5 and last_layer among its names",
            next_step="`lipscope inspect` reads any safetensors file",
        )
    first = "layer1.0.conv"
    if f"{first}.random_conv_filter" not in tensors:
        family = (
            "BCOP" if f"{first}.conv_matrices" in tensors else "Cayley" if f"{first}.alpha" in tensors else "unknown"
        )
        raise CheckpointError(
            f"{family} convolutions cannot be imported", where=where, why="this version imports SOC state dicts"
        )
    blocks = 1 + max(int(match[2]) for match in places)
    classes = tensors["last_layer.bias"].numel()
    angles = {name.rpartition(".")[2] for name in tensors if ".activation." in name}
    activation = {frozenset(): "maxmin", frozenset({"theta"}): "hh1"}.get(frozenset(angles), "hh2")
    name = dataset or DATASET_OF.get(classes)
    if name is None:
        raise CheckpointError(
            f"{classes} classes: which data set is it?", where=where, next_step="say it with --dataset"
        )
    channels = _get(tensors, f"layer1.{blocks - 1}.conv.bias", where).numel() // 2
    head = "lln" if "last_layer.weight" in tensors else "orthogonal"
    try:
        return LipConvnetConfig(blocks, channels, activation, head, classes, name)
    except UsageError as error:
        raise CheckpointError(error.what, where=where, why=error.why) from error


def _kernel(tensors: Mapping[str, Tensor], prefix: str, where: str) -> Tensor:
    """The skew kernel times correction / sigma, sigma the smallest of the four stored inner products."""
    free = _get(tensors, f"{prefix}.random_conv_filter", where)
    correction = _get(tensors, f"{prefix}.correction", where)
    pairs = [
        (_get(tensors, f"{prefix}.u{i}", where), _get(tensors, f"{prefix}.v{i}", where))
        for i in range(1, UNFOLDINGS + 1)
    ]
    try:
        skew = (free - conjugate_kernel(free)) / 2
        sigma = min((skew * u * v).sum() for u, v in pairs)
        return skew * (correction.reshape(()) / sigma)
    except (RuntimeError, IndexError) as error:
        raise CheckpointError(
            f"the tensors of {prefix} do not fit together", where=where, why=str(error)[:200]
        ) from error


def _get(tensors: Mapping[str, Tensor], name: str, where: str) -> Tensor:
    if name not in tensors:
        raise CheckpointError(f"tensor {name} is missing", where=where, why="the published code writes it")
    return tensors[name].float()
