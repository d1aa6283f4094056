from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lipscope.errors import UsageError
from lipscope.models.shiftnet import ShiftNetConfig
from lipscope.training.budget import (
    SETTINGS,
    Setting,
    choose,
    for_data,
    images_per_second,
    minutes_for,
    parse_target,
)
from lipscope.training.recipe import manifold
from tests.training.conftest import ALONE

NARROW = ShiftNetConfig(stem=4, widths=(8,), blocks=(1,))
WIDE = ShiftNetConfig(stem=4, widths=(16,), blocks=(1,))
ROWS = (
    Setting(NARROW, 60_000, clean=0.5, certified=0.2),
    Setting(NARROW, 240_000, clean=0.6, certified=0.3),
    Setting(WIDE, 480_000, clean=0.7, certified=0.5),
)
"""1, 4 and 16 minutes at the speed below."""


def speed(config: ShiftNetConfig) -> float:
    return 1000.0 if config == NARROW else 500.0


@pytest.mark.parametrize(
    ("minutes", "config", "clean", "certified"),
    [
        (1, NARROW, 0.5, 0.2),
        (0.2, NARROW, 0.5, 0.2),
        (2, NARROW, 0.55, 0.25),
        (4, NARROW, 0.6, 0.3),
        (7.9, NARROW, 0.6 + 0.1 * math.log(7.9 / 4, 4), 0.3 + 0.2 * math.log(7.9 / 4, 4)),
        (8, None, 0.65, 0.4),
        (8.1, WIDE, 0.6 + 0.1 * math.log(8.1 / 4, 4), 0.3 + 0.2 * math.log(8.1 / 4, 4)),
        (720, WIDE, 0.7, 0.5),
    ],
)
def test_the_nearest_setting_is_chosen_and_its_accuracy_interpolated(minutes, config, clean, certified):
    choice = choose(ROWS, minutes, speed)
    assert choice.config == (config or choice.config)
    assert choice.minutes == minutes
    assert choice.images_per_second == speed(choice.config)
    assert choice.expected == pytest.approx((clean, certified))


@pytest.mark.parametrize(
    ("minutes", "about"), [(0.8, "under"), (1, "about"), (7, "about"), (17, "about"), (18, "over")]
)
def test_beyond_what_was_measured_the_figure_is_only_a_side(minutes, about):
    choice = choose(ROWS, minutes, speed)
    assert choice.about == about
    assert choice.measured == pytest.approx((1, 16))


def test_on_a_machine_twice_as_fast_all_takes_half_the_time():
    def fast(config: ShiftNetConfig) -> float:
        return 2 * speed(config)

    assert choose(ROWS, 2, fast).expected == pytest.approx(choose(ROWS, 4, speed).expected)
    assert minutes_for(ROWS, 0.3, fast) == pytest.approx(2)


@pytest.mark.parametrize(("target", "minutes"), [(0.1, 1), (0.2, 1), (0.25, 2), (0.3, 4), (0.4, 8), (0.5, 16)])
def test_the_time_to_a_target_by_hand(target, minutes):
    assert minutes_for(ROWS, target, speed) == pytest.approx(minutes)


def test_a_target_that_nothing_has_reached():
    with pytest.raises(UsageError, match=r"51\.0% at 36/255") as caught:
        minutes_for(ROWS, 0.51, speed)
    assert "50.0%, in some 16 minutes" in str(caught.value)


@pytest.mark.parametrize(("text", "share"), [("0.5@36/255", 0.5), ("0.5", 0.5), ("1/4@36/255", 0.25)])
def test_targets(text, share):
    assert parse_target(text) == share


@pytest.mark.parametrize(
    "text",
    ["", "half", "0@36/255", "1@36/255", "53@36/255", "0.5@72/255", "0.5@x", "1/0", "1e400", "1e99999999", "9" * 5000],
)
def test_targets_that_cannot_be_read(text):
    with pytest.raises(UsageError):
        parse_target(text)


def test_settings_are_made_for_a_data_set():
    (first, *_) = for_data(ROWS, "cifar100", 100)
    assert first == replace(ROWS[0], config=replace(NARROW, dataset="cifar100", classes=100))


@pytest.mark.parametrize("dataset", list(SETTINGS))
def test_the_table_rises_with_the_work(dataset):
    rows = SETTINGS[dataset]
    assert all(0 < row.certified < row.clean < 1 and row.images > 0 for row in rows)
    assert [row.certified for row in rows] == sorted(row.certified for row in rows)


def test_the_speed_is_that_of_steps(monkeypatch):
    monkeypatch.setattr("lipscope.training.budget.MEASURED_SECONDS", 0.05)
    steps = []
    real = __import__("lipscope.training.budget", fromlist=["take_step"]).take_step
    monkeypatch.setattr(
        "lipscope.training.budget.take_step",
        lambda *arguments: (steps.append(len(arguments[2][1])), real(*arguments))[1],
    )
    rate = images_per_second(NARROW, replace(manifold(), batch_size=32), ALONE)
    assert set(steps) == {32}
    assert len(steps) >= 3
    assert 0 < rate < 32 * len(steps) / 0.05
