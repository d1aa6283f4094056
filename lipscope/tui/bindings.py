"""The one table of bindings: footer, help screen, command palette and remapping all read it.

Every binding has an id (for a keymap), a key, a description (for the footer) and a tooltip (for the help).
"""

from __future__ import annotations

from collections.abc import Iterator

from textual.binding import Binding

from lipscope.tui.registry import SCREENS


def _number_keys() -> Iterator[Binding]:
    """One key a screen, from the table of screens."""
    for screen in SCREENS:
        yield Binding(
            screen.key, f"show_tab('{screen.id}')", screen.title, show=False, id=f"show.{screen.id}",
            tooltip=screen.tooltip,
        )  # fmt: skip


MOVE = Binding.Group("Move eps", compact=True)
"""Two keys that share one description in the footer."""

BINDINGS: dict[str, tuple[Binding, ...]] = {
    "Everywhere": (
        *_number_keys(),
        Binding(
            "x", "cancel", "Cancel", id="analysis.cancel",
            tooltip="Stop the analysis; what is known so far stays",
        ),
        Binding(
            "r", "reload", "Reload", id="analysis.reload",
            tooltip="Read the files again and analyse from the start",
        ),
        Binding("question_mark", "help", "Help", key_display="?", id="help", tooltip="This table of keys"),
        Binding(
            "escape", "back", "Back", show=False, key_display="esc", id="back",
            tooltip="Step out: of a typed text, an enlarged pane, a screen",
        ),
        Binding("q", "quit", "Quit", id="quit", tooltip="Leave at once, even in mid-computation"),
        Binding(
            "ctrl+c", "quit", "Quit", show=False, priority=True, id="quit.always",
            tooltip="Leave at once, also while typing",
        ),
        Binding(
            "ctrl+p", "command_palette", "Commands", show=False, priority=True, id="palette",
            tooltip="Search every command by name",
        ),
    ),
    "Layers": (
        Binding(
            "slash", "filter", "Filter", key_display="/", id="layers.filter",
            tooltip="Keep the layers whose name or kind contains a text",
        ),
        Binding("s", "sort", "Sort", id="layers.sort", tooltip="Sort by the next column, worst first"),
        Binding(
            "y", "log_axis", "Log", id="layers.log",
            tooltip="Count singular values on a logarithmic axis, and back",
        ),
        Binding(
            "enter", "enlarge", "Enlarge", show=False, id="layers.enlarge",
            tooltip="Give the selected layer the whole screen, and back",
        ),
    ),
    "Radii": (
        Binding(
            "left", "move(-1)", "−1/255", key_display="←", id="radii.less", group=MOVE,
            tooltip="Lower eps by 1/255",
        ),
        Binding(
            "right", "move(1)", "+1/255", key_display="→", id="radii.more", group=MOVE,
            tooltip="Raise eps by 1/255",
        ),
        Binding(
            "shift+left", "move(-10)", "−10/255", show=False, key_display="shift+←", id="radii.much_less",
            tooltip="Lower eps by 10/255",
        ),
        Binding(
            "shift+right", "move(10)", "+10/255", show=False, key_display="shift+→", id="radii.much_more",
            tooltip="Raise eps by 10/255",
        ),
        Binding("e", "type_eps", "Type eps", id="radii.type", tooltip="Type a radius such as 36/255 or 0.5"),
    ),
    "Help": (
        Binding("escape,q,question_mark", "close", "Close", key_display="esc", id="help.close",
                tooltip="Back to where you were"),
    ),
}  # fmt: skip
"""Scope to bindings; the scopes after the first hold while their screen is in front."""


def bindings_of(scope: str) -> list[Binding | tuple[str, str] | tuple[str, str, str]]:
    """The bindings of one scope, in the type that Textual declares."""
    return list(BINDINGS[scope])


def described() -> Iterator[tuple[str, Binding]]:
    """Every binding with its scope, in the order of the help."""
    for scope, bindings in BINDINGS.items():
        for binding in bindings:
            yield scope, binding


def key_text(binding: Binding) -> str:
    """The key as it is printed.

    >>> key_text(BINDINGS["Everywhere"][0])
    '1'
    """
    return binding.key_display or binding.key
