from dataclasses import replace
from pathlib import Path

import pytest

from lipscope.files.checkpoint import Header, TensorInfo, read_header
from lipscope.records import NOT_YET, Bound, Estimate, GradientNorms, LayerReport, Spectrum
from lipscope.tui.layers.lines import gradient_runs, heading, item_line, layout, sigma_axis
from lipscope.tui.layers.rows import SORTS, Row, Rows, arranged, folded, line_name, main_row, natural
from lipscope.tui.panes import next_of
from lipscope.tui.work.state import Phase, State
from tests.tui.conftest import VERDICT, bounds, measured


def rows(state: State) -> list[Row]:
    return Rows(state.header).at(state)


def header(*names: str, config: dict | None = None) -> Header:
    tensors = tuple(TensorInfo(name, "F32", (2, 2), (16 * i, 16 * i + 16)) for i, name in enumerate(names))
    return Header(Path("a.safetensors"), 1000, tensors, {}, config)


def test_before_the_analysis_the_header_is_grouped_by_layer(model):
    listed = rows(State(read_header(model)))
    assert [row.key for row in listed] == [
        *(f"stage{s}.block1.{part}" for s in range(1, 6) for part in ("conv", "activation")),
        "head",
    ]
    assert listed[0].kind == "bias 4, kernel 4×4×3×3"
    assert all(row.active and row.report is None for row in listed)


def test_names_count():
    listed = rows(State(header("layer10.weight", "layer2.weight", "layer2.bias", "weight")))
    assert [row.key for row in listed] == ["layer2", "layer10", "weight"]


def test_real_rows_replace_the_headers_as_they_come(model):
    state = State(read_header(model), phase=Phase.RUNNING)
    first = {report.name: report for report in bounds()[:2]}
    listed = rows(replace(state, layers=first))
    assert [row.key for row in listed[:3]] == ["normalise", "stage1.block1.conv", "stage1.block1.activation"]
    assert [row.report is not None for row in listed[:3]] == [True, True, False]
    assert len({row.key for row in listed}) == len(listed) == 12
    everything = {report.name: report for report in bounds()}
    done = rows(replace(state, layers=everything, verdict=VERDICT))
    assert [row.key for row in done] == list(everything)


def test_a_row_is_made_again_only_when_more_is_known(model):
    state = State(read_header(model), phase=Phase.RUNNING)
    of, first = Rows(state.header), {report.name: report for report in bounds()[:2]}
    before = {row.key: row for row in of.at(state)}
    now = {row.key: row for row in of.at(replace(state, layers=first))}
    assert [key for key in now if now[key] is not before.get(key)] == list(first)
    ended = of.at(replace(state, layers=first, phase=Phase.CANCELLED))
    assert not any(row.active for row in ended)
    assert [(row.key, row.kind, row.report) for row in ended] == [(r.key, r.kind, r.report) for r in now.values()]


def test_tensors_of_an_unknown_file_cover_their_group_and_sort_naturally():
    names = ("layer10.conv.weight", "layer2.conv.bias", "layer2.conv.weight")
    reports = {name: LayerReport(name, "tensor", None, None, Bound(1.0, "norm"), role="tensor") for name in names[::2]}
    listed = rows(State(header(*names), phase=Phase.RUNNING, layers=reports))
    assert [row.key for row in listed] == ["layer2.conv.weight", "layer10.conv.weight"]


def test_an_order_that_the_writer_has_chosen_stays():
    names = ("stem.weight", "block.weight", "fc.weight")
    reports = {name: LayerReport(name, "tensor", None, None, Bound(1.0, "norm"), role="tensor") for name in names}
    assert [row.key for row in rows(State(header(*names), layers=reports))] == list(names)


def test_many_tensors_of_one_name_are_summed_up():
    listed = rows(State(header(*(f"layer.{c}" for c in "abcdefg"))))
    assert listed[0].kind.endswith("and 3 more")


def report(name: str, value: float, sigma: float | None = None, gradient: float | None = None) -> Row:
    return Row(
        name,
        "convolution",
        LayerReport(
            name, "convolution", None, None,
            Bound(value, "norm") if value < 100 else Bound.unproved("no rule"),
            sigma_max=None if sigma is None else Estimate(sigma, "Lanczos"),
            gradient_norm=None if gradient is None else GradientNorms(gradient, 0, 1, 0, 1, "none"),
        ),
    )  # fmt: skip


def test_worst_first_unproved_and_nan_before_all_missing_last():
    some = [report("a", 1.0, 0.5, 0.9), report("b", 3.0), report("c", 1e9, float("nan"), 0.2), Row("d", "later")]
    assert [row.key for row in arranged(some, wanted="", sort=None)] == ["a", "b", "c", "d"]
    assert [row.key for row in arranged(some, wanted="", sort="bound")] == ["c", "b", "a", "d"]
    assert [row.key for row in arranged(some, wanted="", sort="sigma")] == ["c", "a", "b", "d"]
    assert [row.key for row in arranged(some, wanted="", sort="gradient")] == ["c", "a", "b", "d"]


def test_filter_finds_name_or_kind_in_any_case():
    some = [Row("stage1.conv", "SOC 3×3"), Row("head", "LLN")]
    assert [row.key for row in arranged(some, wanted="CONV", sort=None)] == ["stage1.conv"]
    assert [row.key for row in arranged(some, wanted="lln", sort=None)] == ["head"]
    assert arranged(some, wanted="nothing", sort=None) == []


@pytest.mark.parametrize("width", range(24, 220, 7))
@pytest.mark.parametrize("longest", [0, 10, 25, 44])
def test_lines_and_heading_fit_and_are_as_wide_as_each_other(width, longest):
    hostile = measured(bounds()[1], 1)
    hostile = replace(hostile, kind="\x1b[2J" * 1000, input_shape=(10**9,) * 9, sigma_max=Estimate(1.0, "[red]" * 100))
    columns, over = layout(width, (longest, 24)), sigma_axis([hostile])
    line = "".join(text for text, _ in item_line((Row("x" * 80, hostile.kind, hostile),), columns, over, "x" * 80))
    assert len(line) <= max(width, 24)
    assert line.isprintable()
    assert abs(len(line) - len(heading(columns, over))) <= 2


def text_of(*line: Row) -> str:
    return "".join(text for text, _ in item_line(line, layout(100, (10, 24)), sigma_axis([]), ""))


def test_missing_cells_say_whether_more_may_come():
    assert "…" in text_of(Row("a", "k", None, True))
    assert "–" in text_of(Row("a", "k", None, False))


def test_the_strip_shows_where_the_singular_values_are():
    spread = replace(bounds()[1], spectrum=Spectrum((0.5, 1.5), (1.0, 1.0), 2, "by hand", True))
    line = text_of(Row("a", "k", spread))
    assert "┃" not in line
    assert "╎" in line
    assert "┃" in text_of(Row("a", "k", replace(spread, spectrum=Spectrum((1.0, 1.0), (1.0, 1.0), 2, "", True))))


def test_only_neighbours_with_nothing_to_see_are_folded():
    quiet = [Row(f"stage{k}.conv", "SOC", report(f"stage{k}.conv", 1.0).report) for k in range(1, 6)]
    loud = Row("odd", "k", report("odd", 2.0).report)
    items = folded([*quiet[:3], loud, *quiet[3:]])
    assert [len(item) for item in items] == [3, 1, 1, 1]
    assert line_name(items[0]) == "stage1 … stage3"
    assert [row for item in items for row in item] == [*quiet[:3], loud, *quiet[3:]]


def test_biases_and_buffers_are_folded_away():
    def tensor(name: str, proved: bool) -> Row:
        bound = Bound(1.5, "norm") if proved else Bound.unproved("a bias is no map")
        return Row(name, "k", LayerReport(name, "k", None, None, bound, role="tensor"))

    weight, bias, mean, other = tensor("a.weight", True), tensor("a.bias", False), tensor("a.mean", False), "b.weight"
    assert folded([weight, bias, mean, tensor(other, True)]) == [(weight, bias, mean), (tensor(other, True),)]
    assert folded([bias, weight]) == [(weight, bias)]  # as safetensors sorts them
    assert folded([weight, bias], {"a.weight"}) == [(weight,), (bias,)]
    assert text_of(weight, bias).split()[:3] == ["a.weight", "k", "+1"]
    alone = [tensor(f"{name}.bias", False) for name in "ab"]
    assert folded(alone) == [tuple(alone)]
    nan = LayerReport("a.kernel", "", None, None, Bound.unproved("holds NaN or infinite values"), role="tensor")
    items = folded([tensor("a.bias", False), Row("a.kernel", "", nan), tensor("a.mean", False)])
    assert [[row.key for row in item] for item in items] == [["a.kernel", "a.bias", "a.mean"]]  # it is seen first
    known = State(header(), layers={"a.weight": tensor("a.weight", True).report})
    assert (main_row(known), main_row(replace(known, verdict=VERDICT))) == ("", "a.weight")


def test_the_gradient_kept_is_what_its_bar_shows():
    loose = report("a", 1.5, gradient=0.6).report
    assert loose is not None
    (bar, _), (words, _) = gradient_runs(Row("a", "k", loose), most=False)
    assert bar == "██   "  # 0.6 of 1.5
    assert words.strip() == "~0.40"


def test_what_is_still_to_be_computed_has_its_line_and_is_sorted_last():
    """Otherwise a line stands for all that is not reached yet, and the cursor on it ends anywhere."""
    coming = [
        Row(name, "k", LayerReport(name, "k", None, None, Bound.unproved(NOT_YET), role="tensor"), active=True)
        for name in ("a", "b", "c")
    ]
    known = Row("d", "k", LayerReport("d", "k", None, None, Bound(1.5, "norm"), role="tensor"))
    assert folded([*coming, known]) == [(row,) for row in (*coming, known)]
    for reverse in (False, True):
        assert arranged([*coming, known], wanted="", sort="bound", reverse=reverse) == [known, *coming]
    assert "…" in text_of(coming[0])
    assert "not proved" not in text_of(coming[0])


def test_natural_survives_a_name_of_digits():
    assert natural("1" * 10_000) == natural("1" * 10_000)
    assert sorted(["²", "2", "a"], key=natural)


def test_sort_cycle_visits_every_order_and_returns_to_forward_order():
    seen, sort = [], None
    for _ in range(len(SORTS) + 1):
        sort = next_of([None, *SORTS], sort)
        seen.append(sort)
    assert seen == [*SORTS, None]


def test_every_order_sorts_and_reverses_with_missing_last():
    full = [Row(r.name, r.kind, measured(r, i)) for i, r in enumerate(bounds())]
    some = [*full, Row("later", "kernel")]
    for sort, (rank, words) in SORTS.items():
        forward = arranged(some, wanted="", sort=sort)
        ranks = [place for row in forward if (place := rank(row)) is not None]
        assert ranks == sorted(ranks), sort
        backward = arranged(some, wanted="", sort=sort, reverse=True)
        assert [rank(row) for row in backward if rank(row) is not None] == ranks[::-1], sort
        if rank(some[-1]) is None:
            assert forward[-1] is some[-1]
            assert backward[-1] is some[-1]
        assert words
    assert [row.key for row in arranged(some, wanted="", sort=None, reverse=True)] == [row.key for row in some[::-1]]


@pytest.mark.parametrize("alone", [False, True])
def test_a_kind_is_shown_whole_or_not_at_all(alone):
    shown = {layout(width, (24, 36), alone=alone).kind for width in range(20, 220)}
    assert shown == {0, 36}
