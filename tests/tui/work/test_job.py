from lipscope.tui.work.job import Job, JobTold
from tests.waiting import GENEROUS


def test_a_command_is_followed_to_its_end():
    import threading

    told, ended = [], threading.Event()

    def post(message: JobTold) -> bool:
        told.append(message.view)
        if message.view.code is not None:
            ended.set()
        return True

    job = Job("certify", ["no-such-file.safetensors"], post)
    assert ended.wait(GENEROUS)
    assert not job.running
    assert told[-1].code not in (None, 0)
    assert "no-such-file" in " ".join(told[-1].said)
