"""What a training ran on, for the metadata of its model."""

from __future__ import annotations

import platform

import torch

from lipscope.system import processor
from lipscope.visible import counted


def describe_hardware(device: torch.device) -> str:
    """One line: the GPU's name, or the CPU's with the threads that torch uses, and torch's version."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = (
            f"{processor() or platform.processor() or platform.machine()}, {counted(torch.get_num_threads(), 'thread')}"
        )
    return f"{name}, torch {torch.__version__}"
