"""The learned angles of the Householder activations, for those who look at a model."""

from __future__ import annotations

from lipscope.layers.contract import LipschitzLayer
from lipscope.layers.householder import HouseHolder1, HouseHolder2


def angles(layer: LipschitzLayer) -> dict[str, tuple[float, ...]]:
    """The angles in radians by the names of their tensors, one a pair of channels; empty for other layers.

    >>> {name: len(values) for name, values in angles(HouseHolder2(8)).items()}
    {'theta0': 4, 'theta1': 4, 'theta2': 4}
    """
    if not isinstance(layer, (HouseHolder1, HouseHolder2)):
        return {}
    return {name: tuple(theta.detach().double().tolist()) for name, theta in layer.named_parameters()}
