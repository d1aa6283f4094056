"""The ground that every proof stands on: IEEE arithmetic that rounds to nearest and flushes nothing to zero.

A library that was built with ``-ffast-math``, or ``torch.set_flush_denormal(True)``, switches a thread of the processor
to another arithmetic, and the threads that it starts inherit that. A subnormal weight is then 0 in every product, and
the bound of a layer that it makes expand would be a proof of something else.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from lipscope.errors import CheckFailedError, UsageError

PART = 2**16
"""Numbers a thread: more than torch leaves to one thread."""

FORMATS = {
    # bits, digits behind the point, patterns of 1, of the smallest normal and of the smallest subnormal number
    "float32": (32, 23, 0x3F800000, 0x00800000),
    "float64": (64, 52, 0x3FF0000000000000, 0x0010000000000000),
}

SWITCHES = {
    "CUBLAS_EMULATE_DOUBLE_PRECISION": ("cuda", "0"),
    "CUBLAS_EMULATE_SINGLE_PRECISION": ("cuda", "0"),
    "NVIDIA_TF32_OVERRIDE": ("cuda", "0"),
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": ("cuda", "0"),
    "ONEDNN_DEFAULT_FPMATH_MODE": ("", "STRICT"),
    "DNNL_DEFAULT_FPMATH_MODE": ("", "STRICT"),
}
"""Environment variables that change products behind torch's back: where they act, and the value that changes nothing.

The first has cuBLAS sum float64 products of integers on the tensor cores, which no bound here is about.
"""


def check_ground(device: str = "cpu") -> None:
    """Refuse to prove anything where numbers are not what the proofs take them for.

    The thread that asks is looked at each time; numpy's loops, and torch's loops, casts and matrix products in all
    their threads, once in a process for each device and number of threads.

    Args:
        device: a torch device that evaluates.

    Raises:
        CheckFailedError: rounding is not to nearest, subnormal numbers are flushed to zero, torch's default dtype
            is too coarse for constants, or the environment asks for other products.
        UsageError: the device has no float64.
    """
    import torch

    if torch.get_default_dtype() not in (torch.float32, torch.float64):
        raise _refused(
            f"torch's default dtype is {torch.get_default_dtype()}", "torch.set_default_dtype(torch.float32)"
        )
    for name, (where, harmless) in SWITCHES.items():
        value = os.environ.get(name, "")
        if device.startswith(where) and value.upper() not in ("", harmless):
            raise _refused(f"{name}={value} changes how products are computed", f"unset {name}, and start again")
    _check_thread(1.0, 2.0**-60, 2.0**-1022)
    _check_libraries(device, torch.get_num_threads())


def _check_thread(one: float, little: float, smallest: float) -> None:
    """The thread that calls, in Python's own floats; the numbers are arguments, so that nothing is folded before."""
    if not (one + little == one - little == one and -one - little == -one):
        raise _not_nearest("in Python's floats")
    if (smallest * 0.5).hex() != "0x0.8000000000000p-1022" or (smallest * 0.5 * 2.0).hex() != smallest.hex():
        raise _flushed("in Python's floats")


@functools.cache
def _check_libraries(device: str, threads: int) -> None:
    import torch

    try:
        torch.zeros((), dtype=torch.float64, device=device)
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            "sound radii need float64, which this device does not have", where=f"--device {device}",
            why=str(error).strip().splitlines()[0], next_step="take --device cpu",
        ) from error  # fmt: skip
    count = PART * threads
    for name, (bits, digits, one, normal) in FORMATS.items():
        integer = getattr(np, f"int{bits}")

        def in_numpy(pattern: int, name: str = name, integer: Any = integer) -> Any:
            return np.full(count, pattern, integer).view(name)

        def in_torch(pattern: int, name: str = name, bits: int = bits) -> Any:
            whole = torch.full((count,), pattern, dtype=getattr(torch, f"int{bits}"))
            return whole.to(device).view(getattr(torch, name))

        for where, make, read in (
            ("numpy", in_numpy, lambda x, integer=integer: x.view(integer)),
            ("torch", in_torch, lambda x, bits=bits: x.view(getattr(torch, f"int{bits}")).cpu().numpy()),
        ):
            _check_loops(f"in {name} of {where}", make, read, digits, one, normal)
    _check_casts(device, count)
    _check_products(device)


def _check_loops(
    where: str, make: Callable[[int], Any], read: Callable[[Any], Any], digits: int, one: int, normal: int
) -> None:
    """Sums and products of numbers that are given, and compared, by their bits."""
    ulp = 1 << digits
    half = make(one - ulp)
    # 2^-(digits + 2), a quarter of the distance from 1 to the next number above it.
    little = make(one - (digits + 2) * ulp)
    for sign in (1, -1):
        same = read(sign * make(one) + little), read(sign * make(one) - little * half)
        if not all((found == read(sign * make(one))).all() for found in same):
            raise _not_nearest(where)
    tie = make(one + 1) + make(one - (digits + 1) * ulp)
    if not (read(tie) == one + 2).all():
        raise _not_nearest(where)
    results = {
        "half the smallest normal number": (make(normal) * half, normal >> 1),
        "twice a subnormal number": (make(1) + make(1), 2),
        "a subnormal number times 1": (make(1) * make(one), 1),
        "the difference of normal numbers": (make(normal + 1) - make(normal), 1),
    }
    for what, (found, expected) in results.items():
        if not (read(found) == expected).all():
            raise _flushed(f"{where}: {what}")


def _check_casts(device: str, count: int) -> None:
    """From one dtype to another, as weights are when they are read."""
    import torch

    def full(pattern: int, bits: int, dtype: torch.dtype) -> torch.Tensor:
        whole = torch.full((count,), pattern, dtype=getattr(torch, f"int{bits}"))
        return whole.to(device).view(dtype)

    smallest = 0x36A0000000000000  # 2^-149 in float64
    casts = {
        "float32 to float64": (full(1, 32, torch.float32).to(torch.float64).view(torch.int64), smallest),
        "float64 to float32": (full(smallest, 64, torch.float64).to(torch.float32).view(torch.int32), 1),
        "bfloat16 to float32": (full(1, 16, torch.bfloat16).to(torch.float32).view(torch.int32), 0x10000),
        "float16 to float32": (full(1, 16, torch.float16).to(torch.float32).view(torch.int32), 0x33800000),
    }
    for what, (found, expected) in casts.items():
        if not bool((found.cpu() == expected).all()):
            raise _flushed(f"in torch's cast from {what}")


def _check_products(device: str, size: int = 256) -> None:
    """Matrix products, which other libraries compute: sums of subnormal products are exact powers of two."""
    import torch

    for dtype, integer, powers, digits in (
        (torch.float32, torch.int32, (-80, -65), 149),
        (torch.float64, torch.int64, (-540, -530), 1074),
    ):
        factors = [torch.full((size, size), 2.0**power, dtype=torch.float64).to(device, dtype) for power in powers]
        found = (factors[0] @ factors[1]).view(integer)
        if not bool((found.cpu() == size << (sum(powers) + digits)).all()):
            raise _flushed(f"in torch's matrix products in {dtype}")


def _flushed(where: str) -> CheckFailedError:
    return _refused(
        f"numbers below the smallest normal one are flushed to zero {where}",
        "torch.set_flush_denormal(False), and load no library that was built with -ffast-math",
    )


def _not_nearest(where: str) -> CheckFailedError:
    return _refused(f"results are not rounded to nearest {where}", "restore the processor's rounding mode")


def _refused(why: str, next_step: str) -> CheckFailedError:
    return CheckFailedError("refused: nothing can be proved in this arithmetic", why=why, next_step=next_step)
