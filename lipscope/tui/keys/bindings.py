"""The one table of bindings: footer, help screen, command palette and remapping all read it.

Every binding has an id (for a keymap), a key, a description (for the footer) and a tooltip (for the help).
"""

from __future__ import annotations

from collections.abc import Iterator

from textual.binding import Binding

from lipscope.tui.registry import SCREENS

SIGNS = {
    "slash": "/", "plus": "+", "escape": "esc", "equals_sign": "=", "question_mark": "?", "minus": "-",
    "left_square_bracket": "[", "right_square_bracket": "]", "left": "←", "right": "→", "up": "↑",
    "down": "↓", "shift+left": "shift+←", "shift+right": "shift+→", "g": "gg",
}  # fmt: skip
"""Keys that are printed as a sign."""


def _key(
    id: str, keys: str, action: str, words: str, tooltip: str, *, hide: bool = False, always: bool = False,  # noqa: A002
    group: Binding.Group | None = None,
) -> Binding:  # fmt: skip
    """One binding: its id, its keys, what they do, the words of the footer and the sentence of the help."""
    first, *others = keys.split(",")
    display = SIGNS.get(first) or (f"{first} {SIGNS.get(others[0], others[0])}" if others else None)
    return Binding(
        keys, action, words, show=not hide, key_display=display, priority=always, tooltip=tooltip, id=id, group=group,
    )  # fmt: skip


MOVE = Binding.Group("Move eps", compact=True)
"""Two keys that share one description in the footer."""


def _eps_keys(scope: str) -> Iterator[Binding]:
    """The keys that choose the radius, which all screens share."""
    for key, steps, name in (("left,h", -1, "less"), ("right,l", 1, "more"), ("shift+left", -10, "much_less"),
                             ("shift+right", 10, "much_more")):  # fmt: skip
        once, verb = abs(steps) == 1, "Lower" if steps < 0 else "Raise"
        yield _key(f"{scope}.{name}", key, f"move({steps})", f"{steps:+}/255", f"{verb} eps by {abs(steps)}/255",
                   hide=not once, group=MOVE if once else None)  # fmt: skip
    yield _key(f"{scope}.type", "equals_sign", "type_eps", "Type eps",
               "Type a radius such as 36/255 or 0.5; tables list it from then on")  # fmt: skip
    yield _key(f"{scope}.unlist", "minus", "unlist_eps", "Unlist eps", "Take eps off the list, where it was typed",
               hide=True)  # fmt: skip


BINDINGS: dict[str, tuple[Binding, ...]] = {
    "Everywhere": (
        *(_key(f"show.{one.id}", one.key, f"show_tab('{one.id}')", one.title, one.tooltip, hide=True)
          for one in SCREENS),
        _key("analysis.cancel", "X", "cancel", "Cancel", "Stop the analysis; what is known so far stays"),
        _key("swap", "x", "swap", "Swap A, B", "Of two models, show the other one on every screen"),
        _key("analysis.reload", "r", "reload", "Reload", "Read the files again and analyse from the start"),
        _key("export", "e", "export", "Export", "Write what is shown to a file: SVG, JSON or CSV"),
        _key("report", "R", "report", "Report", "Write every number and picture into one file, as Markdown and as HTML",
             hide=True),
        _key("copy", "c", "copy", "Copy",
             "Copy the selected row, or the line that answers, to the terminal's clipboard (OSC 52)", hide=True),
        _key("copy.cell", "C", "copy_cell", "Copy one value",
             "Choose one value of the selected row and copy it alone, with all its digits", hide=True),
        _key("fold.left", "left_square_bracket", "fold('left')", "Fold left",
             "Fold the left or upper pane to one line, and back", hide=True),
        _key("fold.right", "right_square_bracket", "fold('right')", "Fold right",
             "Fold the right or lower pane to one line, and back", hide=True),
        _key("open", "o", "open", "Open", "Open another file or run, alone or beside this one"),
        _key("about", "i", "about", "File", "What the file is, what is recomputed, what it claims"),
        _key("help", "question_mark", "help", "Help", "This table of keys"),
        _key("help.here", "f1", "help_here", "Help here",
             "What the focused pane shows, a line for every column, sign and word, and its keys", hide=True),
        _key("back", "escape", "back", "Back",
             "Step out: of a typed text, an enlarged pane, back to the screen that led here", hide=True),
        _key("quit", "q", "quit", "Quit", "Leave at once, even in mid-computation"),
        _key("quit.always", "ctrl+c", "quit", "Quit", "Leave at once, also while typing", hide=True, always=True),
        _key("palette", "ctrl+p", "command_palette", "Commands", "Search every command by name", hide=True,
             always=True),
    ),
    "Overview": (
        _key("overview.cause", "enter", "cause", "Cause", "The row that the warning is about"),
        *_eps_keys("overview"),
    ),
    "Move": (
        _key("go.down", "j,down", "app.go('down')", "Down", "One down", hide=True),
        _key("go.up", "k,up", "app.go('up')", "Up", "One up", hide=True),
        _key("go.left", "h,left", "app.go('left')", "Left", "One left", hide=True),
        _key("go.right", "l,right", "app.go('right')", "Right", "One right", hide=True),
        _key("go.half_down", "ctrl+d", "app.go('half_down')", "Half down", "Half a page down", hide=True),
        _key("go.half_up", "ctrl+u", "app.go('half_up')", "Half up", "Half a page up", hide=True),
        _key("go.page_down", "pagedown", "app.go('page_down')", "Page down", "A page down", hide=True),
        _key("go.page_up", "pageup", "app.go('page_up')", "Page up", "A page up", hide=True),
        _key("go.first", "g", "app.go_first", "Top", "Twice: to the top", hide=True),
        _key("go.home", "home", "app.go('first')", "Top", "To the top", hide=True),
        _key("go.last", "G,end", "app.go('last')", "Bottom", "To the bottom", hide=True),
    ),
    "Layers": (
        _key("layers.filter", "slash", "filter", "Filter", "Keep the layers whose name or kind contains a text"),
        _key("layers.sort", "s", "sort", "Sort", "Sort by the next column; numbers worst first"),
        _key("layers.reverse", "S", "reverse", "Reverse", "Turn the order round", hide=True),
        _key("layers.unfold", "plus", "unfold", "Unfold", "Unfold neighbours that are alike, or fold them again"),
        _key("layers.log", "y", "log_axis", "Log", "Count singular values on a logarithmic axis, and back"),
        _key("layers.view", "v", "view", "View",
             "The singular values as a histogram, as a sorted curve, the kernel's matrices, in turn"),
        _key("layers.angle", "a", "next_angle", "Angle",
             "Show the next angle of a Householder activation, or the next tap of a kernel", hide=True),
        _key("layers.enlarge", "enter", "enlarge", "Enlarge", "Give the selected layer the whole screen, and back",
             hide=True),
    ),
    "Gradients": (
        _key("gradients.layer", "enter", "cause", "Layer", "The layer under the cursor, its spectrum"),
    ),
    "Radii": (
        *_eps_keys("radii"),
        _key("radii.images", "enter", "open_images", "Images",
             "The images just beyond eps, or those of the class under the cursor"),
        _key("radii.certify", "w", "app.start('certify')", "Certify",
             "Certify the model now, in a process of its own; X stops it"),
        _key("radii.attack", "b", "show_attack", "Attack",
             "Attack distances against radii: a scatter and the gaps, and back"),
        _key("radii.log", "y", "log_axis", "Log", "Count images on a logarithmic axis, and back"),
    ),
    "Images": (
        _key("images.filter", "f", "keep(1)", "Filter",
             "The next filter: all, wrong, correct, certified at eps, not certified, attacked, broken"),
        _key("images.filter_back", "F", "keep(-1)", "Filter back", "The filter before", hide=True),
        _key("images.class", "n", "label(1)", "Class", "Only the next class; after the last one all"),
        _key("images.class_back", "N", "label(-1)", "Class back", "Only the class before", hide=True),
        _key("images.sort", "s", "sort", "Sort", "Sort by radius, attack distance, their ratio, number"),
        _key("images.reverse", "S", "reverse", "Reverse", "Turn the order round"),
        _key("images.grid", "t", "grid", "Thumbnails", "A grid instead of the list, and back"),
        _key("images.search", "slash", "search", "Go to", "Go to the image of a number, or to a class"),
        _key("images.attack", "w", "app.start('attack')", "Attack",
             "Attack the certificates now, in a process of its own; X stops it", hide=True),
        _key("images.turn", "v", "turn", "Next picture", "Image, adversarial, difference in turn, where not all fit",
             hide=True),
        *_eps_keys("images"),
    ),
    "Training": (
        _key("training.log", "y", "log_axis", "Log", "Draw the loss on a logarithmic axis, and back"),
        _key("training.unfold", "plus", "unfold", "Unfold", "List the layers that stay as well, and back"),
        _key("training.layer", "enter", "cause", "Layer", "The layer as it is in the model"),
    ),
    "Compare": (
        _key("compare.quantity", "v", "quantity", "Quantity",
             "All that differs, or one quantity alone: bound, largest, smallest singular value, gradient"),
        _key("compare.sort", "s", "sort", "Sort", "Largest difference first, and back"),
        _key("compare.which", "d", "which", "Which images", "List the images that one alone certifies: either, A, B"),
        _key("compare.unfold", "plus", "unfold", "Unfold", "List the layers that are alike as well, and back"),
        _key("compare.enlarge", "z", "enlarge", "Curves",
             "Give both curves of certified accuracy the whole screen, and back"),
        _key("compare.cause", "enter", "enter", "Cause", "The image or the layer under the cursor, on its own screen",
             hide=True),
        *_eps_keys("compare"),
    ),
    "Export": (_key("export.close", "escape", "close", "Close", "Back without writing anything"),),
    "Copy": (_key("copy.close", "escape", "close", "Close", "Back without copying anything"),),
    "Open": (
        _key("open.open", "enter", "open", "Open", "Open what is under the cursor"),
        _key("open.second", "b", "open(True)", "Open as B", "Open it beside the one that is open"),
        _key("open.type", "slash", "type", "Path", "Type another path"),
        _key("open.close", "escape,q", "close", "Close", "Back without opening anything"),
    ),
    "Help": (_key("help.close", "escape,q,question_mark", "close", "Close", "Back to where you were"),),
}  # fmt: skip
"""Scope to bindings; those of a screen hold while it is in front, those of a dialog while it is open."""

MOVES = "Move"
DIALOGS = ("Export", "Copy", "Open", "Help")


def bindings_of(*scopes: str) -> list[Binding | tuple[str, str] | tuple[str, str, str]]:
    """The bindings of some scopes, in the type that Textual declares; a screen may have none of its own."""
    return [binding for scope in scopes for binding in BINDINGS.get(scope, ())]


def bindings_in_force(scope: str) -> list[Binding]:
    """All bindings that hold together while a screen or a dialog of that name is in front."""
    scopes = (scope, MOVES) if scope in DIALOGS else dict.fromkeys((scope, "Everywhere", MOVES))
    return [binding for name in scopes for binding in BINDINGS.get(name, ())]


def described() -> Iterator[tuple[str, Binding]]:
    """Every binding with its scope, in the order of the help."""
    return ((scope, binding) for scope, bindings in BINDINGS.items() for binding in bindings)


def key_text(binding: Binding) -> str:
    """The key as it is printed."""
    return binding.key_display or binding.key
