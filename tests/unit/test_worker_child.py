"""A function in a child process: answers, deadlines, deaths; and nothing of the parent is disturbed."""

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from airflow_provider_drivepipe.worker.child import ChildDiedError, ChildTimeoutError, run_in_child


def test_answer_comes_from_another_process():
    assert run_in_child(os.getpid, 30) != os.getpid()


def test_answer_larger_than_a_pipe_holds():
    assert run_in_child(lambda: ["x" * 1000] * 3000, 30) == ["x" * 1000] * 3000


def is_alive(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_child_that_hangs_is_gone_after_the_deadline(tmp_path):
    note = tmp_path / "pid"

    def hang():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note.write_text(str(os.getpid()))
        time.sleep(600)

    with pytest.raises(ChildTimeoutError):
        run_in_child(hang, 1)
    assert not is_alive(int(note.read_text()))


def test_child_ends_on_its_own_when_nobody_keeps_its_deadline():
    # The alarm is the kernel's, so it works within native code and without the parent.
    assert 0 < run_in_child(lambda: signal.getitimer(signal.ITIMER_REAL)[0], 20) <= 21
    assert run_in_child(lambda: signal.getsignal(signal.SIGALRM) == signal.SIG_DFL, 20)


def segfault():
    # pytest's handler would print a traceback.
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def fail():
    raise ValueError("not for anybody's eyes")


@pytest.mark.parametrize(
    ("death", "said"),
    [
        (lambda: os._exit(77), "exit code 77"),
        (segfault, "SIGSEGV"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: sys.exit(3), "exit code 1"),
        (fail, "exit code 1"),
    ],
)
def test_death_is_told(death, said):
    with pytest.raises(ChildDiedError, match=said):
        run_in_child(death, 30)


def test_works_where_children_are_reaped_by_the_system():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert run_in_child(lambda: 5, 30) == 5
        with pytest.raises(ChildDiedError):
            run_in_child(lambda: os._exit(1), 30)
    finally:
        signal.signal(signal.SIGCHLD, before)


def _in_daemon(queue):
    queue.put(run_in_child(lambda: 5, 30))


def test_works_in_a_daemonic_worker():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_in_daemon, args=(queue,), daemon=True)
    process.start()
    assert queue.get(timeout=30) == 5
    process.join()


SCRIPT = """
import os, sys, atexit
from airflow_provider_drivepipe.worker.child import run_in_child
atexit.register(print, "parent's exit handler")
sys.stdout.write("before ")
def work():
    os.write(2, b"native noise")
    print("python noise")
    return 1
run_in_child(work, 30)
sys.stdout.write("after ")
"""


def test_output_is_neither_repeated_nor_mixed_with_noise():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("before after parent's exit handler\n", "")
