"""Write docs/api.md: what ``import lipscope`` offers, from its docstrings.

python docs/api.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

import lipscope


def page() -> str:
    """The whole page."""
    parts = [
        "# The Python interface\n",
        "Made by `python docs/api.py` from the docstrings. `import lipscope` imports no torch before a name is used.\n",
    ]
    for name in lipscope.PLACES:
        item = getattr(lipscope, name)
        parts.append(f"## `lipscope.{name}`\n")
        if inspect.isfunction(item):
            parts.append(f"```python\n{_signature(name, inspect.signature(item))}\n```\n")
        parts.append(f"```text\n{inspect.getdoc(item)}\n```\n")
    return "\n".join(parts)


def _signature(name: str, signature: inspect.Signature) -> str:
    """One argument per line, without the values of defaults that say nothing."""
    lines = []
    starred = False
    for argument in signature.parameters.values():
        if argument.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            lines.append("    *,")
            starred = True
        text = str(argument)
        lines.append(f"    {text.split(' = <function', maxsplit=1)[0]},")
    return "\n".join([f"lipscope.{name}(", *lines, f") -> {signature.return_annotation}"])


if __name__ == "__main__":
    target = Path(__file__).with_name("api.md")
    target.write_text(page(), encoding="utf-8")
    print(target)
