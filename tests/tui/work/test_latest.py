import threading

from lipscope.tui.work.latest import Latest
from tests.waiting import GENEROUS, wait_until


def settle(latest):
    wait_until(lambda: not latest.busy)


def test_what_waits_is_forgotten_for_what_came_later():
    gate, begun, answered = threading.Event(), threading.Event(), []

    def answer(question):
        begun.set()
        gate.wait(GENEROUS)
        answered.append(question)

    latest = Latest(answer, "test", lambda run: run())
    assert not latest.busy
    latest.ask(1)
    assert begun.wait(GENEROUS)
    for question in (2, 3, 4):
        latest.ask(question)
    assert latest.busy
    gate.set()
    settle(latest)
    assert answered == [1, 4]
    latest.close()


def test_a_closed_one_ends_its_thread_and_answers_nothing_more():
    answered = []
    latest = Latest(answered.append, "test-closed", lambda run: run())
    latest.ask(1)
    settle(latest)
    latest.close()
    latest.ask(2)
    for thread in threading.enumerate():
        if thread.name == "test-closed":
            thread.join(GENEROUS)
    assert answered == [1]
    assert not latest.busy
