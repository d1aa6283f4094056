from lipscope.tui.work.job import Job
from tests.waiting import GENEROUS


def test_a_command_is_followed_to_its_end():
    import threading

    told, ended = [], threading.Event()

    def tell(view):
        told.append(view)
        if view.code is not None:
            ended.set()

    job = Job("certify", ["no-such-file.safetensors"], tell)
    assert ended.wait(GENEROUS)
    assert not job.running
    assert told[-1].code not in (None, 0)
    assert "no-such-file" in " ".join(told[-1].said)
