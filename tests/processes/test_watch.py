from __future__ import annotations

import pytest

from lipscope.processes.watch import COMPUTED, GONE, HANGS, _judge


def verdict(signs, every=1.0):
    """What is found when these signs of life are read one after another; None where nothing is wrong."""
    peers = {}
    for number, sign in enumerate(signs):
        found = _judge(peers, 3, sign, number * every)
        if found is not None:
            return str(found)
    return None


LONG = int(3 * HANGS)


def test_one_that_computes_is_waited_for_however_slow_it_is():
    share = 2 * COMPUTED / HANGS  # of a core, as where a hundred others want it
    assert verdict(f"{beat} {beat * share:.2f} 0" for beat in range(LONG)) is None


def test_one_that_waits_for_others_need_not_compute():
    assert verdict(f"{beat} 7.00 1" for beat in range(LONG)) is None


def test_one_that_neither_computes_nor_waits_hangs():
    found = verdict(f"{beat} 7.00 0" for beat in range(LONG))
    assert "process 3 hangs" in found
    assert f"{HANGS:.0f} s" in found


def test_one_that_computed_before_it_hung_is_found_from_then_on():
    assert verdict(f"{beat} {min(beat, 200):.2f} 0" for beat in range(int(200 + HANGS))) is None
    assert "hangs" in verdict(f"{beat} {min(beat, 200):.2f} 0" for beat in range(int(202 + HANGS)))


@pytest.mark.parametrize("waits", [0, 1])
def test_one_without_a_sign_of_life_is_gone_within_a_minute(waits):
    assert GONE < 60
    assert verdict([f"9 7.00 {waits}"] * int(GONE)) is None
    assert "process 3 has given no sign of life" in verdict([f"9 7.00 {waits}"] * int(GONE + 2))
