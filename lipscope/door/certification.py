"""``lipscope.certify``: the certified radius of every image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from lipscope.certification import evaluate
from lipscope.certification.run import chosen_device
from lipscope.data import ImageSet, Split
from lipscope.door.images import GIVEN, image_set
from lipscope.door.subject import Model, stored
from lipscope.errors import UsageError
from lipscope.models.stored import StoredModel
from lipscope.records.certificates import Certificates
from lipscope.units import DEFAULT_EPS, parse_eps


def certify(
    model: Model,
    data: Any = None,
    *,
    eps: str | Fraction | Sequence[str | Fraction] = DEFAULT_EPS,
    split: Split = "test",
    limit: int | None = None,
    fast: bool = False,
    input_shape: Sequence[int] | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Certificates:
    """Sound certified radii: float64, every rounding error bounded and subtracted, rounded down (docs/soundness.md).

    Nothing is kept on the disk; ``lipscope certify`` keeps its results beside the model.

    Args:
        model: a path, a network of :func:`lipscope.load`, or any module in eval mode that takes pixels in [0, 1].
        data: the name of a data set, a pair (images, labels) of arrays, or a ``torch.utils.data.Dataset`` of pairs;
            None for the data set that the model's file names.
        eps: the radii at which the result is summed up when it is printed.
        split: of a data set by name.
        limit: only the first so many images.
        fast: float32 instead, whose radii are estimates.
        input_shape: of one image, for a module; None for that of the data.
        device: a torch device; None for a GPU where there is one.
        data_dir: where to look for data sets first.
        on_progress: told (images done, images in all).

    Returns:
        one radius per image: ``.radius``, ``.accuracy("36/255")``, ``.certified("36/255")``.

    Raises:
        CheckFailedError: the Lipschitz constant or a rounding error is not proved.
        CheckpointError, DataError, UsageError: as of :func:`lipscope.load` and of the data.

    >>> import torch, lipscope
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2, bias=False)).eval()
    >>> _ = torch.nn.init.constant_(net[1].weight[0], 1.0), torch.nn.init.constant_(net[1].weight[1], -1.0)
    >>> found = lipscope.certify(net, (torch.ones(1, 3, 2, 2), [0]), eps="1/2")
    >>> found.radius.round(6).tolist(), found.accuracy("1/2")  # (f_0 - f_1) / ||w_0 - w_1|| = 24 / sqrt(48)
    ([3.464102], 1.0)
    """
    subject, images, radii = given(
        model, data, eps=eps, split=split, limit=limit, input_shape=input_shape, data_dir=data_dir
    )
    run = evaluate.estimate if fast else evaluate.certify
    evaluation = run(subject, images, device=chosen_device(device), on_progress=on_progress)
    return replace(evaluation.certificates, eps=radii)


def given(
    model: Model,
    data: Any,
    *,
    eps: str | Fraction | Sequence[str | Fraction],
    split: Split,
    limit: int | None,
    input_shape: Sequence[int] | None,
    data_dir: str | Path | None,
) -> tuple[StoredModel, ImageSet, tuple[Fraction, ...]]:
    """The network, the images and the exact radii that the arguments of :func:`certify` mean.

    Raises:
        CheckpointError, DataError, UsageError: they mean none.
    """
    radii = (eps,) if isinstance(eps, (str, Fraction)) else tuple(eps)
    exact = tuple(parse_eps(each) if isinstance(each, str) else each for each in radii)
    place = None if data_dir is None else Path(data_dir)
    images = None if data is None else image_set(data, split=split, limit=limit, data_dir=place)
    subject = stored(model, input_shape or (None if images is None else images.images.shape[1:]))
    if images is None:
        name = (subject.header.config or {}).get("dataset")
        if not name:
            raise UsageError("needs data", why="the model names no data set", next_step='e.g. data="cifar10"')
        images = image_set(str(name), split=split, limit=limit, data_dir=place)
    classes = subject.net.head.classes
    if images.source == GIVEN and len(images.classes) < classes:
        images = replace(images, classes=(*images.classes, *map(str, range(len(images.classes), classes))))
    return subject, images, exact
