"""No damage to the files of a run that people can edit ends in anything but an error with a name."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from lipscope.commands.run_report import report_json, run_lines
from lipscope.errors import LipscopeError
from lipscope.files.run_log import LayerState, RunLayers, read_run
from lipscope.models.registry import build
from lipscope.records import RunEvent
from lipscope.training.recipe import fast, schedule_at
from lipscope.training.run import open_run
from tests.always import always
from tests.conftest import TINY

RUN = {"schema": "lipscope.run/1", "config": TINY.to_json(), "recipe": fast().to_json()}
METRICS = [
    RunEvent(epoch, 8, 10 * epoch, 1.5, 0.5, 0.25, 0.5, 0.25, 0.1, 100.0, 3.0 * epoch).to_json() for epoch in (1, 2)
]
LAYERS = [
    RunLayers(epoch, 10 * epoch, "16 images", (LayerState("conv", "SOC", 1.0, "by hand", 0.9),)).to_json()
    for epoch in (1, 2)
]

STRANGE = [
    None, True, False, -1, 0, 1, 3, 1.5, -0.0, 1e308, -1e308, math.nan, math.inf, 2**31, 2**63, 2**64, 10**400, "", "x",
    "many", "\ud800", "\x1b[31m", [], [0], {}, {"x": 1}, [[[]]], "lipconvnet", "resnet", "shiftnet", "nan",
]  # fmt: skip


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from places(child, (*path, key))


def changed(value: Any, path: tuple, new: Any, how: str) -> Any:
    """The value with something else at a place, or without it."""
    if not path:
        return new
    result = copy.deepcopy(value)
    at = result
    for key in path[:-1]:
        at = at[key]
    if how == "remove":
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return result


def edited(value: Any) -> st.SearchStrategy[Any]:
    one = st.tuples(st.sampled_from(list(places(value))), st.sampled_from(STRANGE), st.sampled_from(["put", "remove"]))
    return one.map(lambda change: changed(value, *change))


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes flipped, cut out or put in."""
    cut = st.tuples(st.integers(0, len(content)), st.integers(0, 9), st.binary(max_size=9))
    return cut.map(lambda change: content[: change[0]] + change[2] + content[change[0] + change[1] :])


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def lines(values: Any) -> bytes:
    return b"".join(text(value) + b"\n" for value in (values if isinstance(values, list) else [values]))


@always(
    run=edited(RUN).map(text) | damaged(text(RUN)),
    metrics=edited(METRICS).map(lines) | damaged(lines(METRICS)),
    layers=edited(LAYERS).map(lines) | damaged(lines(LAYERS)),
    which=st.sets(st.sampled_from(["run.json", "metrics.jsonl", "layers.jsonl"]), min_size=1),
)
def test_every_damage_is_an_error_with_a_name(run: bytes, metrics: bytes, layers: bytes, which: set[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        whole = {"run.json": text(RUN), "metrics.jsonl": lines(METRICS), "layers.jsonl": lines(LAYERS)}
        for name, content in (("run.json", run), ("metrics.jsonl", metrics), ("layers.jsonl", layers)):
            (folder / name).write_bytes(content if name in which else whole[name])
        with suppress(LipscopeError):
            log = read_run(folder)
            assert "\x1b" not in "".join(run_lines(log))
            json.dumps(report_json(log, None), allow_nan=False)
        with suppress(LipscopeError):
            opened = open_run(folder)
            with torch.device("meta"):
                build(opened.config.to_json(), place)
            schedule_at(opened.recipe, 0.5)
            (opened.recipe.epochs * opened.recipe.batch_size).bit_length()
        with suppress(LipscopeError):
            open_run(folder).forget_after(1)
