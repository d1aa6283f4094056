"""The footer: the keys that work now, as many as fit, the important ones always."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

IMPORTANT = ("quit", "help", "analysis.cancel")
"""Never left out while anything else is there."""

SOON_LEFT_OUT = ("palette", "export", "analysis.reload")
"""The first to go in a narrow window: the help lists them."""

GAP = 2


@dataclass(frozen=True)
class Hint:
    """One entry of the footer."""

    id: str  # of the binding, or of the first one of a group
    keys: tuple[tuple[str, str], ...]  # what is pressed, with the text that is shown for it
    words: str  # what it does

    @property
    def width(self) -> int:
        """In cells."""
        return sum(cell_len(shown) for _, shown in self.keys) + 1 + cell_len(self.words)


def hints(bindings: Iterable[tuple[Binding, str]]) -> list[Hint]:
    """The entries for some bindings and their key texts; a group becomes one entry, two keys of a binding too."""
    found: dict[str, Hint] = {}
    for binding, shown in bindings:
        words = binding.group.description if binding.group else binding.description
        name = f"group {words}" if binding.group else str(binding.id)
        if name not in found:
            found[name] = Hint(str(binding.id), ((binding.key, shown),), words)
        elif binding.group and shown not in [text for _, text in found[name].keys]:
            found[name] = Hint(found[name].id, (*found[name].keys, (binding.key, shown)), words)
    return list(found.values())


def fitting(entries: list[Hint], width: int) -> list[Hint]:
    """The entries that fit into ``width`` cells, in their order."""
    kept = list(entries)

    def importance(entry: Hint) -> tuple[int, int]:
        if entry.id in IMPORTANT:
            return 0, IMPORTANT.index(entry.id)
        if entry.id in SOON_LEFT_OUT:
            return 2, -SOON_LEFT_OUT.index(entry.id)
        return 1, entries.index(entry)

    for entry in sorted(entries, key=importance, reverse=True):
        if sum(kept_entry.width + GAP for kept_entry in kept) - GAP <= width:
            break
        kept.remove(entry)
    return kept


class KeysLine(Widget):
    """One line of keys; a click presses one."""

    auto_links = False

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.refresh())

    def render(self) -> Content:
        """``x Cancel  r Reload  ? Help  q Quit``."""
        active = [
            binding for _, binding, enabled, _ in self.screen.active_bindings.values() if enabled and binding.show
        ]
        if isinstance(self.app.focused, Input):
            pairs = (("⏎", " takes it  "), ("esc", " leaves  "), ("ctrl+c", " Quit"))
            return Content.assemble(*(part for key, words in pairs for part in ((key, "bold $text-primary"), words)))
        shown = fitting(hints((binding, self.app.get_key_display(binding)) for binding in active), self.size.width)
        parts: list[tuple[str, str] | str] = []
        for entry in shown:
            presses = [f"@click=app.simulate_key('{key}')" for key, _ in entry.keys]
            for (_, text), press in zip(entry.keys, presses, strict=True):
                parts.append((text, f"bold $text-primary {press}"))
            parts += [(f" {entry.words}", presses[0] if len(presses) == 1 else ""), " " * GAP]
        return Content.assemble(*parts)
