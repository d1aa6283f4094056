from __future__ import annotations

import pytest

from lipscope.commands.progress import ImagesLines, TrainingBar, images_bar
from lipscope.records import RunEvent, StepEvent


def epoch(validation: float | None) -> RunEvent:
    return RunEvent(2, 8, 20, 1.2345, 0.5, 0.25, validation, validation, 0.1, 1234.5, 61.0)


def step(number: int) -> StepEvent:
    return StepEvent(1, 8, number, 80, 2.0, 0.3, 0.1, 500.0, 400.0)


def test_without_a_terminal_one_line_an_epoch(capsys):
    with TrainingBar() as bar:
        for number in range(10):
            bar.step(step(number))
        bar.epoch(epoch(None))
        bar.epoch(epoch(0.125))
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.splitlines() == [
        "lipscope: this will take about 7 min at 500 images/s",
        "lipscope: epoch 2/8: loss 1.234; estimates: clean 50.0%, certified@36/255 25.0% of training images; "
        "1234 images/s, 61 s, about 7 min left",
        "lipscope: epoch 2/8: loss 1.234; estimates: clean 50.0%, certified@36/255 25.0% of training images; "
        "clean 12.5%, certified 12.5% of held-out ones; 1234 images/s, 61 s, about 7 min left",
    ]


def test_every_process_but_the_first_is_silent(capsys):
    with TrainingBar(enabled=False) as bar:
        bar.step(step(9))
        bar.epoch(epoch(0.5))
    assert capsys.readouterr() == ("", "")


def test_images_without_a_terminal(capsys):
    with images_bar("certifying", 10) as advance:
        advance(5, 10)
        advance(10, 10)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_the_time_left_is_measured_and_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([100.0, 110.0, 111.0, 150.0, 250.0, 600.0, 601.0])
    told = ImagesLines("certifying", lambda: next(times))
    for done in (10, 20, 30, 260, 520, 980, 1000):
        told(done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "lipscope: certifying: 20 of 1,000 images, about 16 min left",
        "lipscope: certifying: 520 of 1,000 images, about 2 min left",
    ]
