"""Other keys for the bindings, as the user's configuration wants them, held against the one table of bindings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.binding import Binding
from textual.keys import KEY_ALIASES, Keys
from textual.keys import _character_to_key as name_of

from lipscope.tui.keys.bindings import BINDINGS, bindings_in_force, described
from lipscope.tui.registry import SCREENS
from lipscope.visible import harmless

MODIFIERS = ("ctrl", "shift", "alt", "super", "hyper", "meta")


def checked(wanted: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    """The part of a keymap that can be followed, and a sentence for each entry that cannot.

    An entry falls when its id is unknown, its value is no key, or its key has another meaning at the same time.

    >>> checked({"help": "q"})[1]
    ["help = 'q' clashes with quit; help keeps its key"]
    """
    ids = {binding.id for _, binding in described()}
    keymap: dict[str, str] = {}
    complaints: list[str] = []
    for name, value in wanted.items():
        if name not in ids:
            complaints.append(f"there is no binding {harmless(name, 40)!r}; ? lists their names")
        elif not isinstance(value, str) or not all(map(_is_key, _keys(value))):
            complaints.append(f"{name} = {harmless(value, 40)!r} is not a key such as f, ctrl+f or f2")
        else:
            keymap[name] = ",".join(map(_long, _keys(value)))
    # Two entries may exchange their keys, so they are held against each other before any of them falls.
    while clash := _clash(keymap):
        name, other = clash
        complaints.append(f"{name} = {harmless(wanted[name], 40)!r} clashes with {other}; {name} keeps its key")
        del keymap[name]
    return keymap, complaints


def _clash(keymap: Mapping[str, str]) -> tuple[str, str] | None:
    """A remapped binding with a key that was not its own and that another one has at the same time."""
    for scope in (*BINDINGS, *(screen.title for screen in SCREENS)):
        in_force = bindings_in_force(scope)
        for binding in in_force:
            for key in set(_keys_of(binding, keymap)) - set(_keys_of(binding, {})):
                for other in in_force:
                    if other.id != binding.id and key in _keys_of(other, keymap):
                        return str(binding.id), str(other.id)
    return None


def _keys_of(binding: Binding, keymap: Mapping[str, str]) -> Iterable[str]:
    return map(_long, _keys(keymap.get(str(binding.id), binding.key)))


def _keys(text: str) -> list[str]:
    return [key.strip() for key in text.split(",")] if text != "," else [","]


def _long(key: str) -> str:
    *modifiers, last = key.split("+") if key != "+" else ["+"]
    return "+".join([*modifiers, name_of(last) if len(last) == 1 else last])


def _is_key(key: str) -> bool:
    *modifiers, last = key.split("+") if key != "+" else ["+"]
    if not all(modifier in MODIFIERS for modifier in modifiers):
        return False
    if len(last) == 1:
        return last.isprintable() and last != " "
    named = {str(key.value) for key in Keys} | set(KEY_ALIASES) | NAMED
    return last in named


NAMED = frozenset(name_of(character) for character in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
