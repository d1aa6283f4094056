from __future__ import annotations

from dataclasses import replace

import pytest

from lipscope.training.pace import WARMUP_STEPS, Decay, Pace, decay_from
from lipscope.training.recipe import manifold, schedule_at, with_loss

CLOCK = replace(manifold(), minutes=10, learning_rate=0.1, decay=0.25)


def test_by_epochs_it_is_the_recipes_schedule():
    pace = Pace(replace(manifold(), epochs=4), per_epoch=5)
    assert pace.steps(0, 0.0) == pace.steps(7, 3.0) == 20
    assert [pace.finished(step) for step in (0, 19, 20)] == [False, False, True]
    assert not pace.decay_due(19, 1e9)
    rates = [pace.learning_rate(step) for step in range(20)]
    largest = pace.recipe.learning_rate
    assert rates == [largest * risen * left for risen, left in (schedule_at(pace.recipe, k / 20) for k in range(1, 21))]


def test_the_decay_begins_when_its_share_of_the_time_is_left():
    pace = Pace(CLOCK, per_epoch=100)
    assert [pace.decay_due(3000, seconds) for seconds in (0.0, 449.9, 450.0, 700.0)] == [False, False, True, True]
    assert not pace.decay_due(0, 1e9)
    # 3,000 steps took 450 seconds, so 1,000 take the other 150.
    pace.begin_decay(3000)
    assert pace.steps(3500, 500.0) == 4000
    assert [pace.finished(step) for step in (3000, 3999, 4000)] == [False, False, True]
    assert not pace.decay_due(3001, 1e9)


def test_a_longer_training_is_where_its_own_decay_would_be():
    # 3,000 steps took 600 seconds. Of 12 minutes the last 3 decay, of which 2 are left; 40 are not that far.
    assert decay_from(CLOCK, 12, 3000, 600.0) == pytest.approx(Decay(3000, 2 / 3, 3600))
    assert decay_from(CLOCK, 40, 3000, 600.0) is None


def test_before_the_decay_the_steps_are_an_expectation():
    pace = Pace(CLOCK, per_epoch=100)
    assert pace.steps(300, 60.0) == 3000
    assert pace.steps(0, 0.0) == 2
    # Never so few that it would seem to be at its end.
    assert pace.steps(5000, 600.0) == 5002
    assert not pace.finished(5000)


def test_by_the_clock_what_is_left_is_time_and_by_epochs_it_is_steps():
    clock = Pace(CLOCK, per_epoch=100)
    assert clock.seconds_left(300, 60.0, per_second=0.01) == 540  # the first steps are slow, and mean nothing
    assert Pace(CLOCK, 100, Decay(3000, 1.0, 4000)).seconds_left(3500, 601.0, 1.0) == 0
    assert Pace(CLOCK, 100, Decay(3000, 1.0, 4000)).seconds_left(4000, 590.0, 1.0) == 0
    assert Pace(replace(manifold(), epochs=4), per_epoch=5).seconds_left(8, 1e9, per_second=3.0) == 4


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    stable = Pace(CLOCK, per_epoch=100)
    assert stable.learning_rate(0) == pytest.approx(0.1 / WARMUP_STEPS)
    assert stable.learning_rate(WARMUP_STEPS - 1) == stable.learning_rate(10**6) == 0.1
    pace = Pace(CLOCK, per_epoch=100, decay=Decay(3000, 1.0, 4000))
    assert pace.learning_rate(2999) == pace.learning_rate(3000) == 0.1
    assert pace.learning_rate(3500) == pytest.approx(0.05)
    assert pace.learning_rate(3999) == pytest.approx(0.0001)


def test_what_the_clock_has_fixed_makes_the_rest_exact():
    """A resumed training, given only the step at which the decay began, does the same steps at the same rates."""
    first, resumed = Pace(CLOCK, 100, decay=Decay(777, 1.0, 1036)), Pace(CLOCK, 100, decay=Decay(777, 1.0, 1036))
    assert first.steps(800, 1.0) == resumed.steps(1000, 99.0)
    assert [first.learning_rate(s) for s in range(700, 1030)] == [resumed.learning_rate(s) for s in range(700, 1030)]


def test_the_temperature_stays_while_the_learning_rate_rises_and_then_falls_with_it():
    falling = replace(CLOCK, temperature=2.0, end_temperature=1.0)
    pace = Pace(falling, per_epoch=100, decay=Decay(3000, 1.0, 4000))
    assert [pace.temperature(step) for step in (0, 2999, 3000, 3500)] == [2.0, 2.0, 2.0, 1.5]
    assert pace.temperature(3999) == pytest.approx(1.001)
    by_epochs = Pace(replace(falling, minutes=None, epochs=10), per_epoch=10)
    for step in range(100):
        fallen = by_epochs.learning_rate(step) / falling.learning_rate if step >= 10 else 1.0
        assert by_epochs.temperature(step) == pytest.approx(1.0 + fallen)


def test_the_weight_of_certificate_regularisation_goes_to_its_end_as_the_learning_rate_falls():
    for first, last in ((0.0, 0.4), (0.4, 0.0)):
        pace = Pace(replace(CLOCK, gamma=first, end_gamma=last), per_epoch=100, decay=Decay(3000, 1.0, 4000))
        assert [pace.gamma(step) for step in (0, 3000, 3500)] == pytest.approx([first, first, 0.2])
        assert pace.gamma(4000) == pytest.approx(last)
    assert Pace(replace(CLOCK, gamma=0.3), per_epoch=100, decay=Decay(3000, 1.0, 4000)).gamma(3999) == 0.3


def test_shifts_go_to_their_end_in_whole_pixels_as_the_learning_rate_falls():
    pace = Pace(replace(CLOCK, padding=4, end_padding=1), per_epoch=100, decay=Decay(3000, 1.0, 4000))
    assert [pace.padding(step) for step in (0, 3000, 3160, 3170, 3500, 3830, 3840, 4000)] == [4, 4, 4, 3, 2, 2, 1, 1]
    assert Pace(replace(CLOCK, padding=3, end_padding=None), per_epoch=100).padding(50) == 3


def test_the_distortion_goes_to_its_end_as_the_learning_rate_falls():
    pace = Pace(replace(CLOCK, distortion=1.0, end_distortion=0.2), per_epoch=100, decay=Decay(3000, 1.0, 4000))
    assert [pace.distortion(step) for step in (0, 3000, 3500)] == pytest.approx([1.0, 1.0, 0.6])
    assert Pace(replace(CLOCK, distortion=0.5), per_epoch=100).distortion(50) == 0.5


def test_a_temperature_without_an_end_stays():
    pace = Pace(replace(CLOCK, temperature=2.0, end_temperature=None), per_epoch=100, decay=Decay(3000, 1.0, 4000))
    assert {pace.temperature(step) for step in range(0, 4000, 7)} == {2.0}


def test_the_offset_of_a_loss_that_rises_is_whole_from_the_middle_on():
    by_epochs = Pace(replace(with_loss(CLOCK, "emma"), minutes=None, epochs=10, offset=2.0), per_epoch=10)
    assert [by_epochs.offset(step) for step in (0, 24, 49, 99)] == pytest.approx([0.04, 1.0, 2.0, 2.0])
    assert by_epochs.offset(75) == 2.0
    clock = Pace(replace(with_loss(CLOCK, "emma"), offset=2.0), per_epoch=100, decay=Decay(1000, 1.0, 1333))
    assert clock.steps(1000, 0.0) == 1333
    assert [clock.offset(step) for step in (0, 999)] == [0.0, 0.0]
    assert clock.offset(1000) == 2.0


def test_the_offset_of_any_other_loss_stays():
    pace = Pace(replace(CLOCK, offset=2.0), per_epoch=100, decay=Decay(3000, 1.0, 4000))
    assert {pace.offset(step) for step in range(0, 4000, 7)} == {2.0}


def test_a_machine_that_becomes_slower_does_fewer_steps_and_the_rate_falls_without_a_jump():
    pace = Pace(CLOCK, per_epoch=100)
    pace.begin_decay(3000)
    before = pace.learning_rate(3200)
    pace.set_decay(3200, 480.0, 2.5)  # two minutes are left
    assert pace.steps(3200, 480.0) == 3500
    assert pace.learning_rate(3200) == before == pytest.approx(0.08)
    assert pace.learning_rate(3350) == pytest.approx(0.04)
    assert [pace.finished(step) for step in (3499, 3500)] == [False, True]


def test_the_end_is_fixed_anew_after_a_sixteenth_of_what_was_left():
    pace = Pace(CLOCK, per_epoch=100)
    assert not pace.is_due(10**6)
    pace.begin_decay(3000)
    assert [pace.is_due(step) for step in (3000, 3061, 3062)] == [False, False, True]
    pace.set_decay(3992, 599.0, 8.0)
    assert [pace.is_due(step) for step in (3992, 3993, 4000)] == [False, True, False]


def test_where_the_time_is_over_one_step_is_left():
    pace = Pace(CLOCK, per_epoch=100)
    pace.begin_decay(3000)
    pace.set_decay(3900, 700.0, 5.0)
    assert [pace.finished(step) for step in (3900, 3901)] == [False, True]


def test_before_the_decay_and_by_epochs_nothing_is_fixed_anew():
    for recipe in (CLOCK, replace(CLOCK, minutes=None)):
        pace = Pace(recipe, per_epoch=100)
        pace.set_decay(500, 60.0, 1.0)
        assert pace.decay is None
