"""What every column, sign and word means, pane by pane: ``f1`` lists it, and the mouse reads it where it rests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from textual.dom import DOMNode
from textual.widget import Widget

from lipscope.tui.widgets.long_list import LongList

PROVED = "proved from the stored numbers, with every rounding error on the safe side: it holds for all inputs"
ESTIMATE = "an estimate: measured, close to the truth, proved on neither side"
LAYER = "its name in the file, in forward order"
BOUND = "● proved: at most so many times does the layer stretch the difference of two inputs (l2); a dim 1 is exactly 1"
PASSED = "~ an estimate: how much of a gradient's norm the layer passes back, mean over images"
KEPT = PASSED + ", as a share of its bound; 1 loses nothing"
RADIUS = "● proved: no change of the image smaller than this (l2, pixels in [0, 1]) changes the predicted class"
ATTACK = "the smallest change (l2) with which an attack changed the class: the truth lies between radius and this"
CLASS = "the label; `cat as dog` is a cat that the model takes for a dog"
AT_EPS = "█ certified: right, with a radius above eps; ▒ right, but not proved at eps; ░ WRONG: another class"

AT_RADII = {
    "eps /255": "the radii of the literature and those typed (- takes one off), in 255ths; a press chooses one",
    "~ attack ≤": "of the attacked images, those that the attack could not break: the true share is at most that",
    "? attack ≤": "so says somebody else's file of an attack that was not made here",
    "● proved": "right, and no change up to eps can make it wrong; this share of all images, in per cent",
    "? claimed": "so says somebody else's file; nothing was proved here",
}
"""The table of radii, which two screens share."""

GLOSSARY: Mapping[str, Mapping[str, str]] = {
    "overview-pane": {
        "✔": "YES: the constant L of the network is proved to be at most 1, for every input",
        "≤": "a constant above 1 is proved: the network is Lipschitz, but not shown to be 1-Lipschitz",
        "?": "no bound of the whole network is proved; the warnings name the layer",
        "✘": "NO: a layer was found that stretches, so what the file promises is violated",
        "…": "still being computed, or ended without an answer",
        "L": "the Lipschitz constant: a change of 1 in the input moves the output by at most L (l2)",
        "◀ eps": "the size of a change of the image, l2 over pixels in [0, 1]; ← → or a press on ◀ ▶ move it",
        "█": AT_EPS,
        "pixels": "from pixels to logits: ● proved, the most that a change can grow on each part of the way",
        "per layer": "one bar a layer: low where its bound is at most 1, amber and higher where it is not",
        "gradient kept": KEPT,
        **AT_RADII,
        "bounds": "of how many layers a bound is proved",
        "σ max": "the largest singular value of all layers, σ min the smallest; " + ESTIMATE,
        "σ at 1": "how many singular values keep lengths as they are, in the layer with fewest; " + ESTIMATE,
        "gradient norm": PASSED + ", in the layer with least; not divided by its bound",
        "sound": "radii are sound where the rounding errors of the evaluation itself are subtracted from them",
    },
    "layers-list": {
        "layer": LAYER + "; `a … b` stands for neighbours of which there is nothing to see, + unfolds them",
        "kind": "how the layer is made: SOC, Cayley, LLN (last layer with normalised rows), MaxMin, ...",
        "in → out": "channels×height×width before and after",
        "● bound ≤": BOUND,
        "~σ": "~ the singular values on one axis: ┃ all at 1, bars where they are spread, ╎ 1, ▶ beyond the axis",
        "~ gradient kept": KEPT + "; of normalisation and head, grey, the norm itself; ◀ most: loses most",
        "LLN": "last layer normalisation: every row of the last matrix has norm 1; radii use differences of rows",
    },
    "detail": {
        "kind": "how the layer is made",
        "shapes": "channels×height×width before and after",
        "bound": BOUND,
        "σ max": "the largest singular value: how much the layer stretches at most; " + ESTIMATE,
        "σ min": "the smallest singular value: how much it shrinks at most; " + ESTIMATE,
        "spectrum": "all singular values, or their distribution where there are too many",
        "σ proved": "a proof about every singular value, not only the largest",
        "rank": "stable rank: the sum of σ² over the largest σ², full where no direction shrinks; "
        "condition number: largest over smallest",
        "σ lost": "singular values below 0.999: directions in which gradient is lost",
        "gradient": KEPT,
        "lost": "input directions that fewer outputs than inputs must map to 0, whatever the weights",
        "note": "what else the analysis found",
    },
    "gradients-pane": {
        "layer": LAYER,
        "~mean": KEPT,
        "├──┤": "from the 5th to the 95th percentile over the images; ● the mean, · the least, ╎ 1",
        "○": "the same for random gradients instead of those of the margin; ◉ both at one place",
        "cumul.": "cumulative: what is left of the norm from the logits back to this layer",
        "0 to 1": "the cumulative norm as a bar; > is above 1 (the normalisation scales)",
        "tightness": "how steep the margin really is, over what its proved bound allows: 1 is all, low means slack",
    },
    "radii-pane": {
        "eps": "the size of a change of the image, l2 over pixels in [0, 1]",
        "◀ eps": "← → by 1/255, shift by 10/255, = types one, - takes it off the list, the mouse picks one on plots",
        "radius": RADIUS,
        "█": AT_EPS,
        **AT_RADII,
        "average": "the mean radius over all images, a wrong one counting as 0",
        "sound": "the rounding errors of the evaluation itself are subtracted from these radii",
        "plots": "above: how many right images have each radius; below: the three shares at every eps",
    },
    "radii-classes": {
        "class": "of the label; enter shows its images, the line over the area is this class alone",
        "█ cert.": AT_EPS,
        "cert.": "the share of the class that is certified at eps",
        "mean r": "the mean radius of the right images of the class",
    },
    "images-list": {
        "image": "its record number in the data set",
        "radius": RADIUS,
        "attack": ATTACK + "; – not found",
        "at eps": AT_EPS,
        "class": CLASS,
    },
    "images-picture-side": {
        "image": "its record number and label",
        "predicted": "the class with the largest logit",
        "runner-up": "the class that decides the radius: the one that could be reached first",
        "radius": RADIUS,
        "at": AT_EPS,
        "attack": ATTACK,
        "pixels": "whether the image that an attack found is kept",
        "logits": "of the model in float32, " + ESTIMATE,
        "P": "P the predicted class, R its runner-up, L the label",
        "difference": "what the attack added, magnified, around grey",
    },
    "training-pane": {
        "loss": "what the training makes small, mean over an epoch",
        "clean": "the share of right predictions; " + ESTIMATE,
        "certified": "right with a radius above 36/255, in float32: " + ESTIMATE,
        "held out": "on images that the training never sees; drawn dotted",
        "layer": "those whose bound or gradient changes by more than a thousandth; + lists the others",
        "? bound ≤": "the Lipschitz bound of the layer as the log has it, not proved here; beside it how it went",
        "~ gradient kept": PASSED + "; first and last epoch, beside it how it went",
    },
    "compare-pane": {
        "A": "the model that was named first; x swaps the two on every screen",
        "B": "the other model",
        "B − A": "by how much B is larger; = is less than a millionth",
        "layer": LAYER,
        "● bound ≤": BOUND,
        "~ σ max": "the largest singular value, " + ESTIMATE,
        "~ σ min": "the smallest singular value, " + ESTIMATE,
        "~ gradient": KEPT,
        "radius above": "the share of all images certified beyond this eps",
        "only A": "certified by A and not by B at eps",
    },
    "compare-images": {
        "image": "its record number; enter shows it",
        "A": "its radius by A, or WRONG",
        "B": "its radius by B, or WRONG",
        "class": "the label",
    },
    "open-list": {
        "verdict": "of your own kept analysis of these very bytes; – where there is none",
        "clean / claimed": "accuracy, and certified at the first radius, as the summary beside the file claims",
        "age": "since the file was written",
        "file": "enter opens it, b beside the one that is open",
    },
}
"""By the id of a pane: the word that stands there, and what it means."""

INSIDE = {"images-pane": "images-picture-side", "layers-pane": "detail"}
"""What is explained of a pane that has the focus itself, its list being folded."""


def glossaries(node: DOMNode | None) -> Iterator[Mapping[str, str]]:
    """What is explained of a widget: of the nearest pane around it first."""
    while node is not None:
        if (words := GLOSSARY.get(INSIDE.get(node.id or "", node.id or ""))) is not None:
            yield words
        node = node.parent


def explained(widget: Widget, x: int, y: int) -> str | None:
    """What stands in a cell of a widget, in a sentence; None where nothing is known of it.

    A list is explained by the heading nearest to the cell, other lines by the word that they begin with.
    """
    terms = next(glossaries(widget), {})
    if isinstance(widget, LongList):
        heading = widget.heading_text
        places = [(max(at - x, x - at - len(term), 0), term) for term in terms if (at := heading.find(term)) >= 0]
        found = min(places)[1] if places else None
    else:
        lines = (widget.render_line(line).text.strip() for line in range(min(y, widget.size.height - 1), -1, -1))
        begins = (term for line in lines for term in sorted(terms, key=len, reverse=True) if line.startswith(term))
        found = next(begins, None)
    return f"{found}: {terms[found]}" if found is not None else None
