"""A real terminal to run lipscope in: a tmux server of its own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import GENEROUS, wait_until

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A window in which lipscope runs with nothing of the user's own; ``kill`` ends it.

    Args:
        folder: for the settings, the cache and what tmux needs.
        columns: of the window.
        rows: of the window.
    """

    def __init__(self, folder: Path, columns: int, rows: int) -> None:
        self._socket = ""
        self._size = ["-x", str(columns), "-y", str(rows)]
        self.settings = folder / "config.toml"
        self._environment = f"XDG_CACHE_HOME={folder / 'cache'} LIPSCOPE_CONFIG={self.settings} OMP_NUM_THREADS=1"

    def tmux(self, *arguments: str, check: bool = False) -> str:
        """One command to the server; with ``check`` it must succeed."""
        return subprocess.run(
            ["tmux", "-L", self._socket, "-f", "/dev/null", *arguments],
            capture_output=True, text=True, timeout=GENEROUS, check=check,
        ).stdout  # fmt: skip

    def start(self, arguments: str, environment: str = "") -> None:
        """Run lipscope; its exit code stands behind the word ``code`` at the end."""
        # A server that is told to end still answers for a moment, and a new window would end with it.
        self._socket = f"lipscope-{secrets.token_hex(8)}"
        run = f"env {environment} {self._environment} {sys.executable} -m lipscope {arguments}"
        self.tmux(
            "new-session", "-d", "-s", "app", *self._size, f"{run}; echo code $?; exec sleep infinity", check=True
        )

    def press(self, *keys: str) -> None:
        """Press keys, each by tmux's name for it."""
        self.tmux("send-keys", "-t", "app", *keys)

    def ask(self, what: str) -> str:
        """One of tmux's variables."""
        return self.tmux("display-message", "-p", "-t", "app", what).strip()

    def screen(self) -> str:
        """What is seen now; a line that was wrapped is one."""
        return self.tmux("capture-pane", "-p", "-J", "-t", "app")

    def wait_for(self, text: str) -> str:
        """The screen as soon as the text is seen on it."""
        seen = ""

        def there() -> bool:
            nonlocal seen
            seen = self.screen()
            return text in seen

        # A look is a process of its own: without a pause they would take half of the time of what they look at.
        wait_until(there, lambda: seen, every=0.1)
        return seen

    def kill(self) -> None:
        """End the window and all that runs in it."""
        self.tmux("kill-server")
