from __future__ import annotations

from hypothesis import strategies as st

from lipscope.commands.names import WIDTH, column_of, common_prefix
from tests.always import always

LORA = [
    f"base_model.model.distilbert.transformer.layer.{i}.attention.{part}.lora_{side}.weight"
    for i in range(6)
    for part in ("q_lin", "v_lin")
    for side in "AB"
]


def test_whole_where_nobody_looks_at_columns() -> None:
    names = column_of(LORA, whole=True)
    assert [names[name] for name in LORA] == [name.ljust(names.width) for name in LORA]
    assert names.above == []


def test_on_a_terminal_no_two_look_alike() -> None:
    names = column_of(LORA, whole=False)
    assert names.above == ["all names begin with base_model.model.distilbert.transformer.layer."]
    cells = [names[name] for name in LORA]
    assert len(set(cells)) == len(LORA)
    assert all(len(cell) == WIDTH for cell in cells)
    assert cells[0].startswith("0.attention")
    assert cells[0].endswith("A.weight")


@always(names=st.lists(st.text("ab.", min_size=1, max_size=6), min_size=2, max_size=5))
def test_the_common_prefix_is_one_and_no_longer_one_is(names: list[str]) -> None:
    prefix = common_prefix(names)
    assert all(name.startswith(prefix) for name in names)
    rests = [name[len(prefix) :].split(".") for name in names]
    assert any(len(rest) == 1 for rest in rests) or len({rest[0] for rest in rests}) > 1


def test_control_characters_are_escaped_and_huge_names_cut() -> None:
    names = column_of(["\x1b[31m\n", "x" * 10**6], whole=True)
    assert names.cells["\x1b[31m\n"] == "\\x1b[31m\\n"
    assert names.width == 200
