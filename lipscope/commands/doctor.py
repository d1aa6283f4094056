"""``lipscope doctor``: what this installation is and what it finds."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import click

from lipscope.commands.messages import say
from lipscope.commands.options import data_dir_option, json_option
from lipscope.visible import counted, visible

PACKAGES = ("torch", "torchvision", "numpy", "safetensors", "click", "textual")


@click.command("doctor")
@data_dir_option
@json_option
def doctor_command(data_dir: Path | None, as_json: bool) -> None:
    """Print versions, devices, precision flags, paths, and the data sets found."""
    facts = _facts(data_dir)
    if as_json:
        say(json.dumps({"schema": "lipscope.doctor/1", **facts}))
        return
    for section, values in facts.items():
        say(section)
        for key, value in values.items():
            say(f"  {key:28s} {visible(str(value))}")


def _facts(data_dir: Path | None) -> dict[str, dict[str, Any]]:
    import torch

    from lipscope.data.listing import listing
    from lipscope.data.locate import search_folders
    from lipscope.environment import environment
    from lipscope.files.signing import Signer

    signer = Signer()
    context = environment()
    devices: dict[str, Any] = {
        "cpu": f"{platform.processor() or platform.machine()}, {counted(torch.get_num_threads(), 'thread')}"
    }
    devices |= {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    found: dict[str, Any] = {}
    for entry in listing(data_dir):
        found.setdefault(entry.name, f"{entry.form} {entry.path or ''}".rstrip())
    return {
        "versions": {
            "lipscope": context["lipscope"],
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
            "torch": context["torch"],  # with the CUDA that it was built for
        },
        "devices": devices,
        "float32 precision now (certify sets all of them to ieee)": context["fp32_precision"],
        "data searched in": {str(i + 1): str(folder) for i, folder in enumerate(search_folders(data_dir))},
        "data found": found,
        "what you keep is signed": {"key": str(signer.path), "usable": signer.why_no_key() or "yes"},
    }
