"""The arithmetic that numbers were computed in: versions, device, precision flags."""

from __future__ import annotations

import operator
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from lipscope.errors import UsageError
from lipscope.ground import check_ground
from lipscope.version import __version__

PRECISION_SETTINGS = ("cuda.matmul", "cudnn.conv", "mkldnn.matmul", "mkldnn.conv")
"""The parts of ``torch.backends`` that may round float32 to TF32 or bfloat16."""


AUTOCAST_DEVICES = ("cpu", "cuda", "xpu", "mps", "hpu")
"""Device types for which torch may be told to choose lower precisions by itself."""


@contextmanager
def full_precision(device: str = "cpu") -> Iterator[None]:
    """Turn TF32, autocast and every other reduced-precision float32 arithmetic off, and back to what it was.

    torch allows TF32 in cuDNN convolutions by default, with relative errors of 1e-3: certificates would be fiction.

    Args:
        device: on which float64 is evaluated.

    Raises:
        CheckFailedError, UsageError: the arithmetic is not IEEE's, see :func:`lipscope.ground.check_ground`.
    """
    import torch

    check_ground(device)
    settings = _precision_settings()
    before = {name: setting.fp32_precision for name, setting in settings.items()}
    try:
        for setting in settings.values():
            setting.fp32_precision = "ieee"
        with ExitStack() as stack:
            for autocast in filter(torch.is_autocast_enabled, AUTOCAST_DEVICES):
                stack.enter_context(torch.autocast(autocast, enabled=False))
            yield
    finally:
        for name, setting in settings.items():
            setting.fp32_precision = before[name]


@contextmanager
def plain_products() -> Iterator[None]:
    """Compute convolutions as sums of products in some order: cuDNN and oneDNN off, and back to what they were.

    They may choose Winograd's algorithm or a Fourier transform, whose rounding errors the budget does not bound; what
    remains gathers the inputs of every output and multiplies matrices.
    """
    import torch

    libraries: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.mkldnn)
    before = [library.enabled for library in libraries]
    try:
        for library in libraries:
            library.enabled = False
        yield
    finally:
        for library, enabled in zip(libraries, before, strict=True):
            library.enabled = enabled


def environment(device: str = "cpu", dtype: str = "float32") -> dict[str, Any]:
    """What stands beside every computed number, read at the time of the call."""
    import torch

    return {
        "lipscope": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "fp32_precision": {name: setting.fp32_precision for name, setting in _precision_settings().items()},
        "convolution_libraries": {name: getattr(torch.backends, name).enabled for name in ("cudnn", "mkldnn")},
    }


def check_device(name: str) -> None:
    """Refuse a device that torch does not know or cannot compute on.

    Raises:
        UsageError: naming it.
    """
    import torch

    try:
        float(torch.zeros((), device=name))
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            "not a device that torch can use here", where=f"--device {name}", why=str(error).strip().splitlines()[0],
            next_step="`lipscope doctor` lists the devices",
        ) from error  # fmt: skip


def _precision_settings() -> dict[str, Any]:
    import torch

    return {name: operator.attrgetter(name)(torch.backends) for name in PRECISION_SETTINGS}
