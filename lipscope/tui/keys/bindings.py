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


def _eps_keys(scope: str) -> Iterator[Binding]:
    """The keys that choose the radius, which all screens share."""
    for key, steps, name, word in (
        ("left,h", -1, "less", "←"),
        ("right,l", 1, "more", "→"),
        ("shift+left", -10, "much_less", "shift+←"),
        ("shift+right", 10, "much_more", "shift+→"),
    ):
        change = f"{'−' if steps < 0 else '+'}{abs(steps)}/255"
        yield Binding(
            key, f"move({steps})", change, show=abs(steps) == 1, key_display=word, id=f"{scope}.{name}",
            group=MOVE if abs(steps) == 1 else None, tooltip=f"{'Lower' if steps < 0 else 'Raise'} eps by {change[1:]}",
        )  # fmt: skip
    yield Binding(
        "equals_sign", "type_eps", "Type eps", key_display="=", id=f"{scope}.type",
        tooltip="Type a radius such as 36/255 or 0.5",
    )  # fmt: skip


BINDINGS: dict[str, tuple[Binding, ...]] = {
    "Everywhere": (
        *_number_keys(),
        Binding(
            "X", "cancel", "Cancel", id="analysis.cancel",
            tooltip="Stop the analysis; what is known so far stays",
        ),
        Binding("x", "swap", "Swap A, B", id="swap", tooltip="Of two models, show the other one on every screen"),
        Binding(
            "r", "reload", "Reload", id="analysis.reload",
            tooltip="Read the files again and analyse from the start",
        ),
        Binding("e", "export", "Export", id="export", tooltip="Write what is shown to a file: SVG, JSON or CSV"),
        Binding(
            "R", "report", "Report", show=False, id="report",
            tooltip="Write every number and picture into one file, as Markdown and as HTML",
        ),
        Binding(
            "c", "copy", "Copy", show=False, id="copy",
            tooltip="Copy the selected row, or the line that answers, to the terminal's clipboard (OSC 52)",
        ),
        Binding(
            "C", "copy_cell", "Copy one value", show=False, id="copy.cell",
            tooltip="Choose one value of the selected row and copy it alone, with all its digits",
        ),
        Binding(
            "left_square_bracket", "fold('left')", "Fold left", show=False, key_display="[", id="fold.left",
            tooltip="Fold the left or upper pane to one line, and back",
        ),
        Binding(
            "right_square_bracket", "fold('right')", "Fold right", show=False, key_display="]", id="fold.right",
            tooltip="Fold the right or lower pane to one line, and back",
        ),
        Binding("o", "open", "Open", id="open", tooltip="Open another file or run, alone or beside this one"),
        Binding("i", "about", "File", id="about", tooltip="What the file is, what is recomputed, what it claims"),
        Binding("question_mark", "help", "Help", key_display="?", id="help", tooltip="This table of keys"),
        Binding(
            "f1", "help_here", "Help here", show=False, id="help.here",
            tooltip="What this screen shows, what it needs, and its keys",
        ),
        Binding(
            "escape", "back", "Back", show=False, key_display="esc", id="back",
            tooltip="Step out: of a typed text, an enlarged pane, back to the screen that led here",
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
    "Overview": (
        Binding("enter", "cause", "Cause", id="overview.cause", tooltip="The row that the warning is about"),
        *_eps_keys("overview"),
    ),
    "Move": (
        Binding("j,down", "app.go('down')", "Down", show=False, key_display="j ↓", id="go.down", tooltip="One down"),
        Binding("k,up", "app.go('up')", "Up", show=False, key_display="k ↑", id="go.up", tooltip="One up"),
        Binding("h,left", "app.go('left')", "Left", show=False, key_display="h ←", id="go.left", tooltip="One left"),
        Binding(
            "l,right", "app.go('right')", "Right", show=False, key_display="l →", id="go.right", tooltip="One right",
        ),
        Binding(
            "ctrl+d", "app.go('half_down')", "Half down", show=False, id="go.half_down", tooltip="Half a page down",
        ),
        Binding("ctrl+u", "app.go('half_up')", "Half up", show=False, id="go.half_up", tooltip="Half a page up"),
        Binding("g", "app.go_first", "Top", show=False, key_display="gg", id="go.first", tooltip="Twice: to the top"),
        Binding("G", "app.go('last')", "Bottom", show=False, id="go.last", tooltip="To the bottom"),
    ),
    "Layers": (
        Binding(
            "slash", "filter", "Filter", key_display="/", id="layers.filter",
            tooltip="Keep the layers whose name or kind contains a text",
        ),
        Binding("s", "sort", "Sort", id="layers.sort", tooltip="Sort by the next column; numbers worst first"),
        Binding("S", "reverse", "Reverse", show=False, id="layers.reverse", tooltip="Turn the order round"),
        Binding(
            "plus", "unfold", "Unfold", key_display="+", id="layers.unfold",
            tooltip="Unfold neighbours that are alike, or fold them again",
        ),
        Binding(
            "y", "log_axis", "Log", id="layers.log",
            tooltip="Count singular values on a logarithmic axis, and back",
        ),
        Binding(
            "v", "view", "View", id="layers.view",
            tooltip="The singular values as a histogram, as a sorted curve, the kernel's matrices, in turn",
        ),
        Binding(
            "a", "next_angle", "Angle", show=False, id="layers.angle",
            tooltip="Show the next angle of a Householder activation, or the next tap of a kernel",
        ),
        Binding(
            "enter", "enlarge", "Enlarge", show=False, id="layers.enlarge",
            tooltip="Give the selected layer the whole screen, and back",
        ),
    ),
    "Gradients": (
        Binding("enter", "cause", "Layer", id="gradients.layer", tooltip="The layer under the cursor, its spectrum"),
    ),
    "Radii": (
        *_eps_keys("radii"),
        Binding(
            "enter", "open_images", "Images", id="radii.images",
            tooltip="The images just beyond eps, or those of the class under the cursor",
        ),
        Binding("w", "app.start('certify')", "Certify", id="radii.certify",
                tooltip="Certify the model now, in a process of its own; X stops it"),
        Binding(
            "b", "show_attack", "Attack", id="radii.attack",
            tooltip="Attack distances against radii: a scatter and the gaps, and back",
        ),
        Binding(
            "y", "log_axis", "Log", id="radii.log",
            tooltip="Count images on a logarithmic axis, and back",
        ),
    ),
    "Images": (
        Binding(
            "f", "keep(1)", "Filter", id="images.filter",
            tooltip="The next filter: all, wrong, correct, certified at eps, not certified, attacked, broken",
        ),
        Binding("F", "keep(-1)", "Filter back", show=False, id="images.filter_back", tooltip="The filter before"),
        Binding("n", "label(1)", "Class", id="images.class", tooltip="Only the next class; after the last one all"),
        Binding("N", "label(-1)", "Class back", show=False, id="images.class_back", tooltip="Only the class before"),
        Binding("s", "sort", "Sort", id="images.sort", tooltip="Sort by radius, attack distance, their ratio, number"),
        Binding("S", "reverse", "Reverse", id="images.reverse", tooltip="Turn the order round"),
        Binding("t", "grid", "Thumbnails", id="images.grid", tooltip="A grid instead of the list, and back"),
        Binding("slash", "search", "Go to", key_display="/", id="images.search",
                tooltip="Go to the image of a number, or to a class"),
        Binding("w", "app.start('attack')", "Attack", show=False, id="images.attack",
                tooltip="Attack the certificates now, in a process of its own; X stops it"),
        Binding(
            "v", "turn", "Next picture", show=False, id="images.turn",
            tooltip="Image, adversarial, difference in turn, where not all fit",
        ),
        *_eps_keys("images"),
    ),
    "Training": (
        Binding(
            "y", "log_axis", "Log", id="training.log",
            tooltip="Draw the loss on a logarithmic axis, and back",
        ),
        Binding("plus", "unfold", "Unfold", key_display="+", id="training.unfold",
                tooltip="List the layers that stay as well, and back"),
        Binding("enter", "cause", "Layer", id="training.layer", tooltip="The layer as it is in the model"),
    ),
    "Compare": (
        Binding("v", "quantity", "Quantity", id="compare.quantity",
                tooltip="The next quantity first: bound, largest and smallest singular value, gradient"),
        Binding("s", "sort", "Sort", id="compare.sort", tooltip="Largest difference first, and back"),
        Binding("d", "which", "Which images", id="compare.which",
                tooltip="List the images that one alone certifies: either, A, B"),
        Binding("plus", "unfold", "Unfold", key_display="+", id="compare.unfold",
                tooltip="List the layers that are alike as well, and back"),
        Binding("z", "enlarge", "Curves", id="compare.enlarge",
                tooltip="Give both curves of certified accuracy the whole screen, and back"),
        Binding("enter", "enter", "Cause", show=False, id="compare.cause",
                tooltip="The image or the layer under the cursor, on its own screen"),
        *_eps_keys("compare"),
    ),
    "Export": (
        Binding("escape", "close", "Close", id="export.close", tooltip="Back without writing anything"),
    ),
    "Copy": (
        Binding("escape", "close", "Close", id="copy.close", tooltip="Back without copying anything"),
    ),
    "Open": (
        Binding("enter", "open", "Open", id="open.open", tooltip="Open what is under the cursor"),
        Binding("b", "open_second", "Open as B", id="open.second", tooltip="Open it beside the one that is open"),
        Binding("slash", "type", "Path", key_display="/", id="open.type", tooltip="Type another path"),
        Binding("escape,q", "close", "Close", key_display="esc", id="open.close",
                tooltip="Back without opening anything"),
    ),
    "Help": (
        Binding("escape,q,question_mark", "close", "Close", key_display="esc", id="help.close",
                tooltip="Back to where you were"),
    ),
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
    for scope, bindings in BINDINGS.items():
        for binding in bindings:
            yield scope, binding


def key_text(binding: Binding) -> str:
    """The key as it is printed.

    >>> key_text(BINDINGS["Everywhere"][0])
    '1'
    """
    return binding.key_display or binding.key
