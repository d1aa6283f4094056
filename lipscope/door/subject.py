"""A model as people have it: the path of a file, a network of lipscope's, or any ``torch.nn.Module``."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from lipscope.errors import UsageError
from lipscope.files.checkpoint import Header
from lipscope.models.capture.save import save
from lipscope.models.composition import LipschitzNet
from lipscope.models.stored import StoredModel, load_model

Model = str | Path | nn.Module | StoredModel


def stored(model: Model, input_shape: Sequence[int] | None = None) -> StoredModel:
    """The network with proofs that a model is, and the SHA-256 of the numbers it is made of.

    Args:
        model: a path; a model that was read; a network that :func:`lipscope.load` gave, in eval mode; or any other
            module, which is captured as :func:`lipscope.save` does it.
        input_shape: of one input, for a module that is captured.

    Raises:
        CheckpointError: the file is damaged, or is not what it claims to be.
        UsageError: the module cannot be captured, or is in training mode.
    """
    if isinstance(model, StoredModel):
        return model
    if isinstance(model, (str, Path)):
        return load_model(Path(model))
    if not isinstance(model, LipschitzNet):
        if input_shape is None:
            raise UsageError(
                "needs input_shape", why="a module does not say what it takes", next_step="e.g. (3, 32, 32)"
            )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            save(model, path, input_shape=input_shape)
            return load_model(path)
    if model.training:
        raise UsageError("the network is in training mode", next_step="call .eval(), or .frozen() after a training")
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return StoredModel(model, Header(Path(type(model).__name__), 0, ()), digest.hexdigest())
