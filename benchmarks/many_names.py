"""How long keys take in the app with 100,000 tensor names, in a real terminal (tmux).

    python benchmarks/many_names.py [--names 100000]

The names are those of a mixture of experts, in one file and in eight shards behind an index. For every key: seconds
of the clock until the screen shows what it asks for, and of all processors meanwhile, which other programs do not
lengthen. The targets: 1 s to the list of layers and in it, 0.5 s to quit, on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SHARDS = 8
LIMIT = 300.0
ESCAPE = 0.3
"""Seconds: a terminal sends alt and a letter as escape and that letter, so that one that follows at once is another."""
KEYS: tuple[tuple[str, str], ...] = (
    ("2", "bound ≤"), ("j", ""), ("G", ""), ("/", "part of a name"), ("Escape", ""), ("s", "largest first"),
    ("1", "IS IT"), ("2", "bound ≤"),
)  # fmt: skip
"""Each with what it shows, where that is more than any change."""


def write_names(folder: Path, names: int) -> tuple[Path, Path]:
    """A file and an index with shards, each with so many matrices of 2 x 2."""
    all_names = [
        f"base_model.model.language_model.layers.{k // 252}.block_sparse_moe.experts.{k // 3 % 84}.w{k % 3 + 1}.weight"
        for k in range(names)
    ]
    one, per_shard, places = np.eye(2, dtype=np.float32), -(-names // SHARDS), {}
    single, index = folder / "single.safetensors", folder / "model.safetensors.index.json"
    save_file(dict.fromkeys(all_names, one), single, {"format": "pt"})
    for shard in range(SHARDS):
        part = all_names[shard * per_shard : (shard + 1) * per_shard]
        name = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        save_file(dict.fromkeys(part, one), folder / name, {"format": "pt"})
        places.update(dict.fromkeys(part, name))
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return single, index


class Terminal:
    """A terminal of 120 columns and 36 rows that runs a command.

    Args:
        command: for a shell.
    """

    def __init__(self, command: str) -> None:
        self._socket = f"lipscope-{secrets.token_hex(8)}"  # a server that ends answers for a moment
        self.ask("new-session", "-d", "-s", "app", "-x", "120", "-y", "36", f"exec {command}")
        self.process = int(self.ask("display-message", "-p", "-t", "app", "#{pane_pid}"))

    def ask(self, *words: str) -> str:
        """One command to a tmux server of our own."""
        whole = ["tmux", "-L", self._socket, "-f", "/dev/null", *words]
        return subprocess.run(whole, capture_output=True, text=True, check=False).stdout

    def wait(self, arrived: Callable[[str], bool]) -> tuple[float, float]:
        """Seconds until the screen shows something: of the clock, and of the processors."""
        started, used = time.monotonic(), self.used
        while not arrived(self.ask("capture-pane", "-p", "-t", "app")):
            if time.monotonic() - started > LIMIT:
                raise TimeoutError
            time.sleep(0.005)
        return time.monotonic() - started, self.used - used

    @property
    def used(self) -> float:
        """Seconds of the processors so far."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> float:
        """Seconds from ``q`` to the end of the program."""
        started = time.monotonic()
        self.ask("send-keys", "-t", "app", "q")
        while self._runs:
            time.sleep(0.005)
        return time.monotonic() - started

    @property
    def _runs(self) -> bool:
        """Whether it has not ended; who collects what is left of it may take seconds."""
        try:
            return Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False


def measure(file: Path, pause: float) -> None:
    """Print what every key takes.

    Args:
        file: to open.
        pause: seconds between the first paint and the first key.
    """
    settings = Path(tempfile.mkdtemp(dir=file.parent)) / "config.toml"  # nothing is remembered of a session before
    terminal = Terminal(f"env LIPSCOPE_CONFIG={settings} {sys.executable} -m lipscope inspect --no-keep {file}")
    print(f"{file.name}, {pause:.0f} s after the first paint:")
    print("  first paint {:6.2f} s, processors {:5.2f} s".format(*terminal.wait(lambda text: "1 Overview" in text)))
    time.sleep(pause)
    for key, shows in KEYS:
        before = terminal.ask("capture-pane", "-p", "-t", "app")
        terminal.ask("send-keys", "-t", "app", key)
        if key == "Escape":
            time.sleep(ESCAPE)
        took = terminal.wait(lambda text, shows=shows, before=before: shows in text and text != before)
        print("  {:11} {:6.2f} s, processors {:5.2f} s".format(key, *took))
    print(f"  q           {terminal.end():6.2f} s")


def main() -> None:
    """Measure both files, right after the first paint and while the tensors are analysed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for file in write_names(Path(folder), arguments.names):
            for pause in (0.0, 20.0):
                measure(file, pause)


if __name__ == "__main__":
    main()
