from __future__ import annotations

import torch

from lipscope.training.hardware import describe_hardware
from lipscope.visible import counted


def test_one_line_with_threads_and_version():
    text = describe_hardware(torch.device("cpu"))
    assert "\n" not in text
    assert counted(torch.get_num_threads(), "thread") in text
    assert text.endswith(f"torch {torch.__version__}")
    assert not text.startswith(",")
