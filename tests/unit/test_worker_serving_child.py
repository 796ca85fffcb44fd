"""A child process that answers request after request."""

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from airflow_provider_drivepipe.worker.child import ChildDiedError, ChildTimeoutError
from airflow_provider_drivepipe.worker.serving_child import ServingChild, as_answered
from tests.unit.children import children


@pytest.fixture(autouse=True)
def no_child_stays():
    before = children()
    yield
    assert children() <= before


def test_answers_come_from_one_process():
    with ServingChild(lambda n: [n, os.getpid(), "x" * 200_000], 30) as child:
        answers = [child.ask(n) for n in range(20)]
    assert [a[0] for a in answers] == list(range(20))
    assert len({a[1] for a in answers}) == 1
    assert answers[0][1] != os.getpid()
    assert len(answers[0][2]) == 200_000


def test_a_request_that_hangs_is_killed_and_the_next_is_answered():
    with ServingChild(lambda n: time.sleep(3600) if n == 0 else n, 2) as child:
        with pytest.raises(ChildTimeoutError):
            child.ask(0)
        assert child.ask(1) == 1


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: os._exit(4), "exit code 4"),
        (lambda: 1 / 0, "exit code 1"),
    ],
)
def test_a_request_that_ends_the_child_is_told_and_the_next_is_answered(end, said):
    with ServingChild(lambda n: end() if n == 0 else n, 30) as child:
        with pytest.raises(ChildDiedError, match=said):
            child.ask(0)
        assert child.ask(1) == 1


def test_a_child_that_died_between_requests_is_not_the_next_ones_fault():
    with ServingChild(lambda n: os.getpid(), 30) as child:
        first = child.ask(0)
        os.kill(first, signal.SIGKILL)
        # Not reaped: only its end is awaited.
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert child.ask(1) != first


def test_the_child_ends_when_its_parent_was_killed():
    code = (
        "import os, signal\n"
        "from airflow_provider_drivepipe.worker.serving_child import ServingChild\n"
        "child = ServingChild(lambda n: os.getpid(), 30)\n"
        "print(child.ask(0), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    orphan = int(done.stdout)
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        try:
            os.kill(orphan, 0)
        except ProcessLookupError:
            return
        if "State:\tZ" in open(f"/proc/{orphan}/status").read():  # noqa: PTH123, SIM115
            return
        time.sleep(0.05)
    pytest.fail("the orphan is still there")


def test_closing_twice_and_without_a_request():
    child = ServingChild(lambda n: n, 30)
    child.close()
    assert child.ask(5) == 5
    child.close()
    child.close()


def test_children_answer_side_by_side(tmp_path):
    def meet(number):
        (tmp_path / str(number)).touch()
        while number < 2 and not all((tmp_path / other).exists() for other in "01"):
            time.sleep(0.01)
        return number * 10

    with ServingChild(meet, 30) as one, ServingChild(meet, 30) as two:
        found = {number: child.finish() for number, child in as_answered([one, two], range(5))}
    assert found == {number: number * 10 for number in range(5)}


def test_side_by_side_one_that_is_overdue_keeps_no_other_from_answering():
    def hang(number):
        return time.sleep(3600) if number == 0 else number

    outcomes = {}
    with ServingChild(hang, 2) as one, ServingChild(hang, 2) as two:
        for number, child in as_answered([one, two], range(4)):
            try:
                outcomes[number] = child.finish()
            except ChildTimeoutError:
                outcomes[number] = "overdue"
    assert outcomes == {0: "overdue", 1: 1, 2: 2, 3: 3}


def test_an_answer_that_is_fetched_late_still_counts():
    with ServingChild(lambda n: n, 30) as child:
        child.begin(1)
        select.select([child], [], [])
        child.began -= 60
        assert child.finish() == 1


def test_no_process_to_be_had_is_told_by_finish(monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    child = ServingChild(lambda n: n, 30)
    for number, refused in as_answered([child], range(2)):
        assert number in (0, 1)
        with pytest.raises(BlockingIOError):
            refused.finish()
