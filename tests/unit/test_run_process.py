"""Which processes are surely gone."""

import os
import subprocess
from dataclasses import replace

import psutil
import pytest

from airflow_provider_drivepipe.hooks.run_process import RunProcess


@pytest.fixture
def child():
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_living_process_has_not_ended_and_a_killed_one_has(child):
    process = RunProcess.of(child.pid)
    assert process == RunProcess.of(child.pid)
    assert not process.has_ended()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert process.has_ended(), "a zombie does no work"
    child.wait()
    assert process.has_ended()


def test_a_later_process_of_the_same_id_is_another_one(child):
    assert replace(RunProcess.of(child.pid), started=1.0).has_ended()


def test_of_another_machine_or_before_a_restart_nothing_is_known(child):
    process = RunProcess.of(child.pid)
    child.kill()
    child.wait()
    assert not replace(process, host=f"{process.host}x").has_ended()


def test_under_a_scheduler_a_run_lives_in_no_single_process():
    assert RunProcess.of_this_run() is None
