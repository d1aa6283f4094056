"""Two models compared on stdout: what ``lipscope inspect a b`` shows, without a terminal."""

from __future__ import annotations

from typing import Any

from lipscope.commands.names import Names, column_of
from lipscope.records import round_up
from lipscope.visible import counted, harmless, visible

LEGEND = "A, B: bound proved, rounded up; sigma max, sigma min, gradient (mean of ||J^T g|| / ||g||): estimates."

MOST_IMAGES = 12
"""Numbers of images that are printed of each list; --json has all of them."""


def comparison_text(facts: dict[str, Any]) -> str:
    """What :func:`lipscope.door.beside.comparison` found, for people."""
    lines = []
    for letter, model in facts["models"].items():
        lines += [
            f"{letter.upper()}  {visible(model['path'])}",
            f"   {model['architecture'] or 'unknown model'}, sha256 {model['sha256'][:16]}, "
            f"verdict {model['verdict']['status']}",
        ]
    heads = ("bound A", "bound B", "smax A", "smax B", "smin A", "smin B", "grad A", "grad B")
    names = column_of(layer["name"] for layer in facts["layers"])
    lines += [
        "",
        *names.above,
        f"{'layer':{names.width}s}" + "".join(f" {head:>14s}" if "bound" in head else f" {head:>9s}" for head in heads),
    ]
    lines += [_layer(layer, names) for layer in facts["layers"]]
    lines += ["", LEGEND, "", *_certified(facts["certified"])]
    return "\n".join(lines)


def _layer(layer: dict[str, Any], names: Names) -> str:
    sides = (layer["a"], layer["b"])
    cells = [f"{_bound(side):>14s}" for side in sides]
    for key in ("sigma_max", "sigma_min"):
        cells += [f"{_number(side and side[key], 'value'):>9s}" for side in sides]
    cells += [f"{_number(side and side['gradient_norm'], 'mean'):>9s}" for side in sides]
    alone = "" if all(sides) else f"   in {'A' if sides[0] else 'B'} only"
    return f"{names[layer['name']]} {' '.join(cells)}{alone}".rstrip()


def _bound(side: dict[str, Any] | None) -> str:
    if side is None:
        return "-"
    value = side["bound"]["value"]
    return round_up(value) if value is not None else "not proved"


def _number(found: dict[str, Any] | None, key: str) -> str:
    return f"{found[key]:.6f}" if found is not None and found[key] is not None else "-"


def _certified(certified: dict[str, Any]) -> list[str]:
    from lipscope.records.certificates import ADJECTIVES, WORDS

    a, b = certified["a"], certified["b"]
    lines = []
    if a or b:
        called = {ADJECTIVES[side["standing"]] for side in (a, b) if side is not None}
        title = f"{' or '.join(sorted(called))} beyond"
        lines.append(f"{title:16s} {'A':>8s} {'B':>8s}")
        lines.append(f"{'clean':{max(len(title), 16)}s} {_rate(a and a['clean'])} {_rate(b and b['clean'])}")
        for place, eps in enumerate((a or b)["certified"]):
            rows = (side and side["certified"][place] for side in (a, b))
            lines.append(f"{eps['eps']:{max(len(title), 16)}s} " + " ".join(map(_rate, rows)))
        for letter, side in (("A", a), ("B", b)):
            if side is not None:
                data = side["data"]
                stale = " (STALE: computed for other bytes than this file's)" if side["stale"] else ""
                what = f"{counted(data['n'], 'image')} of {harmless(data['name'], 40)} {harmless(data['split'], 40)}"
                lines.append(f"{letter}: {what}; {WORDS[side['standing']]}{stale}")
    if not certified["comparable"]:
        lines.append(f"not compared image by image: {certified['reason']}.")
        if not (a and b):
            lines.append("`lipscope certify` on each model makes its results.")
    return lines + [
        f"{row['eps']}: both {row['both']}, only A {row['only_a']}{_some(row['images_only_a'])}, "
        f"only B {row['only_b']}{_some(row['images_only_b'])}, neither {row['neither']}"
        for row in certified["at"]
    ]


def _rate(found: dict[str, Any] | None) -> str:
    return f"{found['rate']:8.2%}" if found else f"{'-':>8s}"


def _some(numbers: list[int]) -> str:
    more = ", ..." if len(numbers) > MOST_IMAGES else ""
    return f" ({', '.join(map(str, numbers[:MOST_IMAGES]))}{more})" if numbers else ""
