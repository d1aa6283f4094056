"""What a training ran on, for the metadata of its model."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def describe_hardware(device: torch.device) -> str:
    """One line: the GPU's name, or the CPU's with the threads that torch uses, and torch's version."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{_cpu_name()}, {torch.get_num_threads()} threads"
    return f"{name}, torch {torch.__version__}"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
