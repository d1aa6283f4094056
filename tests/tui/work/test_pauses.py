import os
import subprocess
import sys
import threading

import pytest

from lipscope.tui.work.pauses import POLITENESS, yield_to_keys
from tests.waiting import GENEROUS

IMPORTING = """
import gc
from lipscope.tui.work.pauses import uncollected
from tests.waiting import GENEROUS

collections = []
gc.callbacks.append(lambda phase, info: collections.append(info["generation"]) if phase == "start" else None)
before = gc.get_freeze_count()
with uncollected("torch"):
    inside = gc.isenabled()
    del collections[:]
    import torch
    during = len(collections)
seen, frozen = len(gc.get_objects()), gc.get_freeze_count()
with uncollected("torch"):
    again = gc.isenabled()
later = gc.get_freeze_count()
try:
    with uncollected("no_such_library"):
        import no_such_library
except ModuleNotFoundError:
    pass
print(inside, during, before, frozen > 50_000, seen < 10_000, again, later == frozen, gc.isenabled())
"""


def test_a_library_comes_without_collections_and_is_never_collected_again():
    answer = subprocess.run(
        [sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=GENEROUS, check=True
    ).stdout
    assert answer.split() == ["False", "0", "0", "True", "True", "True", "True", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_only_the_thread_that_computes_steps_back():
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def compute() -> None:
        yield_to_keys()
        seen.append(niceness())
        child = threading.Thread(target=lambda: seen.append(niceness()))
        child.start()
        child.join()

    before, seen = niceness(), list[int]()
    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert seen == [min(before + POLITENESS, 19)] * 2
    assert niceness() == before
