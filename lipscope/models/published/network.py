"""The network of a published state dict: its configuration from names and shapes, its stored state from tensors.

Names: ``layer{1..5}.{j}.conv.*``, ``layer{1..5}.{j}.activation.*``, ``last_layer.*``. What the published code trains
becomes the plain kernels that evaluation uses; nothing of the training remains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from lipscope.errors import CheckpointError, UsageError
from lipscope.layers.convolutions import CONVOLUTIONS
from lipscope.layers.heads import OrthogonalHead
from lipscope.layers.orthogonal import OrthogonalConv2d
from lipscope.models.composition import LipschitzNet
from lipscope.models.lipconvnet import STAGES, LipConvnetConfig
from lipscope.models.published.families import FAMILIES
from lipscope.models.published.reading import stored_tensor

DATASET_OF = {10: "cifar10", 100: "cifar100"}


def import_published(tensors: Mapping[str, Tensor], config: LipConvnetConfig, where: str) -> LipschitzNet:
    """The network of a published state dict, in eval mode.

    Args:
        tensors: as of :func:`load_published`.
        config: as of :func:`published_config`.
        where: the file, for messages.

    Raises:
        CheckpointError: names or shapes that do not fit the configuration.
    """
    # Nothing of the size that the names suggest is allocated before the tensors are seen to fit.
    with torch.device("meta"):
        planned = config.build()
    expected = {name: value.shape for name, value in planned.state_dict().items()}
    kernel_of = FAMILIES[config.conv].kernel
    state: dict[str, Tensor] = {}
    for stage in range(1, STAGES + 1):
        for block in range(config.blocks):
            theirs, ours = f"layer{stage}.{block}", f"stage{stage}.block{block + 1}"
            layer = planned.get_submodule(f"{ours}.conv")
            assert isinstance(layer, OrthogonalConv2d)
            state[f"{ours}.conv.kernel"] = kernel_of(tensors, f"{theirs}.conv", layer, where)
            state[f"{ours}.conv.bias"] = stored_tensor(tensors, f"{theirs}.conv.bias", where)
            for name, value in tensors.items():
                if name.startswith(f"{theirs}.activation."):
                    angle = name.rpartition(".")[2]
                    limit = 2 * torch.pi
                    state[f"{ours}.activation.{angle}"] = (
                        value.flatten() if config.activation == "hh1" else value.flatten().clamp(0.0, limit)
                    )
    if not isinstance(planned.head, OrthogonalHead):
        weight = stored_tensor(tensors, "last_layer.weight", where)
        state["head.weight"] = weight / torch.linalg.vector_norm(weight, dim=-1, keepdim=True)
        state["head.bias"] = stored_tensor(tensors, "last_layer.bias", where)
    else:
        state["head.conv.kernel"] = kernel_of(tensors, "last_layer", planned.head.conv, where)
        state["head.conv.bias"] = stored_tensor(tensors, "last_layer.bias", where)
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
    net = config.build()
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


def published_config(tensors: Mapping[str, Tensor], where: str, dataset: str | None = None) -> LipConvnetConfig:
    """The configuration that the names and shapes of a published state dict tell.

    Raises:
        CheckpointError: not one of the published code's models, or one of a family that is not imported.
    """
    places = [match for name in tensors if (match := re.match(r"layer([1-5])\.(\d+)\.conv\.", name))]
    if not places or "last_layer.bias" not in tensors:
        raise CheckpointError(
            "not a state dict of the paper's published code",
            where=where,
            why="no layer1..layer5 and last_layer among its names",
            next_step="`lipscope inspect` reads any safetensors file",
        )
    conv = next((name for name, family in FAMILIES.items() if f"layer1.0.conv.{family.mark}" in tensors), None)
    if conv is None:
        known = ", ".join(CONVOLUTIONS[name].title for name in FAMILIES)
        raise CheckpointError("unknown convolutions cannot be imported", where=where, why=f"known are {known}")
    blocks = 1 + max(int(match[2]) for match in places)
    classes = tensors["last_layer.bias"].numel()
    angles = {name.rpartition(".")[2] for name in tensors if ".activation." in name}
    activation = {frozenset(): "maxmin", frozenset({"theta"}): "hh1"}.get(frozenset(angles), "hh2")
    name = dataset or DATASET_OF.get(classes)
    if name is None:
        raise CheckpointError(
            f"{classes} classes: which data set is it?", where=where, next_step="say it with --dataset"
        )
    channels = stored_tensor(tensors, f"layer1.{blocks - 1}.conv.bias", where).numel() // 2
    orthogonal = f"last_layer.{FAMILIES[conv].mark}" in tensors or "last_layer.weight" not in tensors
    head = "orthogonal" if orthogonal else "lln"
    try:
        return LipConvnetConfig(blocks, channels, activation, head, conv, classes=classes, dataset=name)
    except UsageError as error:
        raise CheckpointError(error.what, where=where, why=error.why) from error
