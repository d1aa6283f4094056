"""What is analysed: a checkpoint of lipscope's, or any file with a description of how its tensors are connected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lipscope.files.checkpoint import Header
from lipscope.layers.batch_norm import BatchNorm
from lipscope.layers.block import Block
from lipscope.layers.contract import LipschitzLayer, check_provable
from lipscope.layers.heads import Head
from lipscope.layers.reshape import Normalize
from lipscope.models.described import DescribedNet, load_described
from lipscope.models.network import Network
from lipscope.models.stored import StoredModel, read_model
from lipscope.records import Shape


@dataclass(frozen=True)
class Subject:
    """A network under analysis.

    Args:
        net: in eval mode.
        head: its last layer, where that has constants for pairs of classes; None otherwise.
        dataset: whose images it is for, as the file or the description claims; None where nothing is claimed.
        sha256: of the bytes that the weights were read from.
        layerwise: whether each layer of the body is claimed 1-Lipschitz, so that one that expands breaks the claim;
            otherwise only the network as a whole can.
        header: what the file says of itself.
        unused: the tensors of the file that are no part of it.
    """

    net: Network
    head: Head | None
    dataset: str | None
    sha256: str
    layerwise: bool
    header: Header
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A layer in its network; ``inside`` a block such as a residual sum, whose own row counts."""

    name: str
    layer: LipschitzLayer
    input_shape: Shape
    inside: bool


def load_subject(path: Path, description: Path | None = None) -> Subject | Header:
    """The network of a file; only the header where nothing says how its tensors are connected.

    Raises:
        CheckpointError: the file is damaged, or is not what it claims to be.
        UsageError: the description cannot be.
    """
    if description is not None:
        model = load_described(path, description)
        return Subject(
            model.net, model.net.head, model.description.dataset, model.sha256, False, model.header, model.unused
        )
    found = read_model(path)
    return found if isinstance(found, Header) else subject_of(found)


def subject_of(stored: StoredModel) -> Subject:
    """The network of a model that was read."""
    dataset = str((stored.header.config or {}).get("dataset", ""))
    return Subject(stored.net, stored.net.head, dataset, stored.sha256, _layerwise(stored.net), stored.header)


def _layerwise(net: Network) -> bool:
    """Others' networks, and those with batch normalisation or residual sums, are not claimed 1-Lipschitz by layer."""
    if isinstance(net, DescribedNet):
        return False
    return not any(isinstance(layer, BatchNorm | Block) for _, layer, _ in net.layers())


def places_of(net: Network) -> list[Place]:
    """Every layer in forward order; those inside a block before it. What stands for no normalisation is none.

    Raises:
        UsageError: the network is in training mode.
        CheckFailedError: the arithmetic is not IEEE's.
    """
    check_provable((name, layer) for name, layer, _ in net.layers())
    found = []
    for name, layer, shape in net.layers():
        if isinstance(net, DescribedNet) and isinstance(layer, Normalize) and layer.does_nothing:
            continue
        found += [*_parts(layer, shape), Place(name, layer, shape, inside=False)]
    return found


def _parts(layer: LipschitzLayer, shape: Shape) -> list[Place]:
    if not isinstance(layer, Block):
        return []
    found = []
    for name, part, taken in layer.parts(shape):
        found += [*_parts(part, taken), Place(name, part, taken, inside=True)]
    return found
