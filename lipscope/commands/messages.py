"""Narration: what a person should know while a command runs goes to stderr."""

from __future__ import annotations

import click


def narrate(text: str) -> None:
    """One line on stderr."""
    click.echo(f"lipscope: {text}", err=True)


def duration(seconds: float) -> str:
    """A duration in words.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def cut(text: str, width: int) -> str:
    r"""Text from a file: printable characters only, and not too many of them.

    >>> cut("a\x1b[31m", 40), cut("conv1.weight", 6)
    ('a?[31m', 'conv1…')
    """
    harmless = "".join(c if c.isprintable() else "?" for c in text[: width + 1])
    return harmless if len(harmless) <= width else harmless[: width - 1] + "…"
