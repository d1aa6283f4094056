import threading
import time

import pytest

from lipscope.records.certificates import Checked
from lipscope.tui.work.state import Phase
from lipscope.tui.work.worker import Means, Work
from tests.tui.conftest import FAILURE, Script, write_radii
from tests.waiting import GENEROUS, wait_until


class Mailbox:
    """Hears what a work tells instead of a session."""

    def __init__(self):
        self.told = []

    def __call__(self, work, **facts):
        self.told.append(facts)

    @property
    def events(self):
        """The steps of the analysis: what is told stands for all that nobody has heard."""
        (first,) = self.facts("events")
        return list(first)

    def facts(self, name):
        return [facts[name] for facts in self.told if name in facts]


def finish(work: Work) -> None:
    wait_until(lambda: not work.alive)


def test_all_events_in_order_then_the_end(model, script):
    mailbox = Mailbox()
    work = Work(model, Means(script), mailbox)
    work.start()
    finish(work)
    done = [event.done for event in mailbox.events]
    assert done == sorted(done)
    assert done[-1] == 25
    told = [facts for facts in mailbox.told if {"events", "phase"} & facts.keys()]
    assert told[-1]["phase"] is Phase.DONE


def test_results_and_hash_arrive(model, script):
    certificates = write_radii(model, n=50)
    mailbox = Mailbox()
    work = Work(model, Means(script), mailbox)
    work.start()
    finish(work)
    assert len(mailbox.facts("results")[0].certificates) == 50
    assert mailbox.facts("sha256")[0] == certificates.model_sha256


def test_a_damaged_results_file_is_an_error_to_show(model, script):
    model.with_name("model.certified.safetensors").write_bytes(b"damaged")
    mailbox = Mailbox()
    work = Work(model, Means(script), mailbox)
    work.start()
    finish(work)
    results = mailbox.facts("results")[0]
    assert results.certificates is None
    assert results.error is not None


def test_results_without_images_are_an_error_to_show(model, script):
    write_radii(model, n=0)
    mailbox = Mailbox()
    work = Work(model, Means(script), mailbox)
    work.start()
    finish(work)
    assert "no images" in mailbox.facts("results")[0].error.what


@pytest.mark.parametrize(
    ("about", "asked"), [({"claimed": True}, True), ({}, False), ({"claimed": True, "sha256": "ab" * 32}, False)]
)
def test_what_somebody_else_claims_of_this_file_is_checked_after_the_analysis(model, script, about, asked):
    write_radii(model, n=50, **about)
    found, ended = Checked(64, 63), []

    def check(claimed, path):
        assert (path, claimed.standing, len(claimed)) == (model, "claimed", 50)
        ended.append(bool(mailbox.facts("phase")))
        return found

    mailbox = Mailbox()
    work = Work(model, Means(script, check=check), mailbox)
    work.start()
    finish(work)
    assert ended == ([True] if asked else [])
    first, *later = mailbox.facts("results")
    assert first.checked is None
    assert [results.checked for results in later] == ([found] if asked else [])


def test_results_that_come_during_a_check_are_not_told_over(model, script):
    write_radii(model, n=50, claimed=True)
    checked = []

    def check(claimed, path):
        checked.append(len(claimed))
        if len(checked) == 1:
            write_radii(model, n=40, claimed=True)
            work._find_results()  # as the thread that watches the results does
        return Checked(64, 63)

    mailbox = Mailbox()
    work = Work(model, Means(script, check=check), mailbox)
    work.start()
    finish(work)
    assert checked == [50, 40]
    told = [(len(results.certificates), results.checked is not None) for results in mailbox.facts("results")]
    assert told == [(50, False), (40, False), (40, True)]


def test_after_cancel_nothing_more_is_said(model, script):
    script.hold_at = 3
    mailbox = Mailbox()
    work = Work(model, Means(script), mailbox)
    work.start()
    assert script.waiting.wait(GENEROUS)
    work.cancel()
    script.gate.set()
    finish(work)
    assert len(mailbox.events) == 3
    assert not mailbox.facts("phase")


def test_the_next_analysis_waits_for_the_cancelled_one(model):
    first, second = Script(hold_at=1), Script()
    mailbox = Mailbox()
    old = Work(model, Means(first), mailbox)
    old.start()
    assert first.waiting.wait(GENEROUS)
    old.cancel()
    new = Work(model, Means(second), mailbox, after=[old])
    new.start()
    time.sleep(0.1)
    assert second.runs == 0
    assert new.alive
    first.gate.set()
    finish(new)
    assert second.runs == 1


def test_a_foreseen_failure_is_told(model, script):
    script.failure = FAILURE
    mailbox = Mailbox()
    work = Work(model, Means(script), mailbox)
    work.start()
    finish(work)
    assert mailbox.facts("failure")[0] is FAILURE


@pytest.mark.parametrize("error", [ZeroDivisionError("in a layer"), MemoryError(), SystemExit(3)])
def test_an_unforeseen_error_is_handed_over(model, script, error):
    script.failure = error
    mailbox = Mailbox()
    work = Work(model, Means(script), mailbox)
    work.start()
    finish(work)
    assert mailbox.facts("crash")[0] is error
    assert not mailbox.facts("phase")


def test_the_threads_do_not_outlive_the_program(model, script):
    script.hold_at = 0
    work = Work(model, Means(script), Mailbox())
    work.start()
    assert script.waiting.wait(GENEROUS)
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("lipscope-analysis")]
    assert ours
    assert all(thread.daemon for thread in ours)
