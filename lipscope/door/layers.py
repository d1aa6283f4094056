"""``lipscope.bound`` and ``lipscope.spectrum``: one layer, of lipscope's or of PyTorch's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lipscope.analysis.spectra.singular_values import measure_layer
from lipscope.door.subject import stored
from lipscope.errors import UsageError
from lipscope.layers.contract import LinearLayer, LipschitzLayer
from lipscope.layers.heads import Outputs
from lipscope.layers.reshape import Flatten, Normalize
from lipscope.models.composition import LipschitzNet, chain_of
from lipscope.records import Bound, Shape, Spectrum

AROUND = (Normalize, Flatten, Outputs)
"""What a captured layer is put between: none of them changes a singular value."""


def bound(layer: nn.Module, input_shape: Sequence[int]) -> Bound:
    """A proved upper bound on the Lipschitz constant of a layer, or of a whole network, in eval mode.

    The product over all layers, from pixels to logits for a network.

    Args:
        layer: a layer of lipscope's, or any module that :func:`lipscope.save` takes.
        input_shape: of one input, (C, H, W) or (features,).

    Raises:
        UsageError: a module that cannot be captured.

    >>> import torch, lipscope
    >>> layer = torch.nn.Linear(2, 2, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    >>> found = lipscope.bound(layer.eval(), (2,))
    >>> found.proved, 4.0 <= found.value < 4.0 + 1e-9
    (True, True)
    """
    if isinstance(layer, LipschitzLayer):
        return layer.bound(tuple(input_shape))
    bounds = [(name, part.bound(shape)) for name, part, shape in stored(layer, input_shape).net.layers()]
    return bounds[0][1] if len(bounds) == 1 else chain_of(bounds)


def spectrum(layer: nn.Module, input_shape: Sequence[int]) -> Spectrum:
    """The singular values of a linear layer with its stride and padding: estimates, and their proved range.

    Args:
        layer: a linear layer of lipscope's, or a module that is one: ``nn.Conv2d``, ``nn.Linear``, a parametrised one.
        input_shape: of one input, (C, H, W) or (features,).

    Raises:
        UsageError: the layer is not linear, or is several.

    >>> import torch, lipscope
    >>> layer = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False).eval()
    >>> _ = layer.weight.data.copy_(torch.tensor([[0.0, 0, 0], [0, 2, 0], [0, 0, 0]]))
    >>> lipscope.spectrum(layer, (1, 4, 4)).values[:2]
    (2.0, 2.0)
    """
    linear, shape = _linear(layer, tuple(input_shape))
    return measure_layer(linear, shape).spectrum


def _linear(layer: nn.Module, shape: Shape) -> tuple[LinearLayer, Shape]:
    if isinstance(layer, LinearLayer):
        return layer, shape
    if not isinstance(layer, (LipschitzLayer, LipschitzNet)):
        places = [(part, taken) for _, part, taken in stored(layer, shape).net.layers() if not isinstance(part, AROUND)]
        if len(places) == 1 and isinstance(places[0][0], LinearLayer):
            return places[0][0], places[0][1]
    raise UsageError(
        "is not one linear layer",
        where=type(layer).__name__,
        next_step="pass a convolution or a linear layer by itself",
    )
