"""The demo as a person runs it: five times, interrupted, killed, and with the local cloud killed under it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from maxcompute_local import lifecycle


class Demo:
    """Runs ``drivepipe demo``, or another one, in folders of its own, on free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "cloud"
        lifecycle.up(self.root, odps_port=0, oss_port=0)
        lifecycle.down(self.root)

    def start(self, command: str = "demo") -> subprocess.Popen[str]:
        module = "airflow_provider_drivepipe.cli.main"
        folders = ["--root", str(self.root), "--home", str(self.folder / "airflow")]
        return subprocess.Popen(
            [sys.executable, "-m", module, command, *folders],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until(self, process: subprocess.Popen[str], text: str) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if text in line:
                return
        raise AssertionError(f"the demo ended before it said {text!r}")

    def until_logged(self, text: str) -> None:
        """Wait until the log of the latest run has a text."""
        log = max(
            (self.folder / "airflow" / "logs").glob("demo-*.jsonl"), key=lambda path: path.stat().st_mtime
        )
        while text not in log.read_text():
            time.sleep(0.05)

    def jobs(self) -> set[Path]:
        """Return what the MaxFrame DAGs that have begun wrote of their processes."""
        return set((self.root / "maxframe").glob("*/*/process.json"))

    def hold_job(self, known: set[Path]) -> None:
        """Wait for a DAG that is not known yet, and stop its process, so that it cannot end by itself."""
        while not (new := self.jobs() - known):
            time.sleep(0.01)
        os.kill(json.loads(new.pop().read_text())["pid"], signal.SIGSTOP)

    def start_and_hold_job(self) -> subprocess.Popen[str]:
        """Run the demo until it waits for a job that cannot end by itself."""
        known = self.jobs()
        process = self.start()
        self.until(process, "submitted MaxFrame job")
        self.hold_job(known)
        self.until_logged("LogView: ")
        return process

    def left_over(self) -> list[list[str]]:
        """Return the command lines of processes that still work in the folders."""
        found = []
        for process in psutil.process_iter(["cmdline", "pid"]):
            command = process.info["cmdline"] or []
            if process.pid != os.getpid() and str(self.folder) in " ".join(command):
                found.append(command)
        return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    lifecycle.down(demo.root)


@pytest.fixture(autouse=True)
def _sigint_is_not_ignored() -> Iterator[None]:
    """A shell that starts the tests in the background has SIGINT ignored, by all that they start too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate()
    return process.returncode, output


def test_interrupted_then_complete(demo: Demo) -> None:
    process = demo.start()
    demo.until(process, "drawing and encoding")
    os.kill(process.pid, signal.SIGTERM)
    code, output = finish(process)
    assert code == 130, output
    assert demo.left_over() == []

    code, output = finish(demo.start())
    assert code == 0, output
    assert "Everything is as it must be" in output
    assert "1 not_a_video, 1 truncated" in output
    assert "1 empty_file" in output
    secret = json.loads((demo.root / "server.json").read_text())["access_key_secret"]
    assert secret not in output
    assert demo.left_over() == []


def test_closed_terminal_cancels_the_job_in_a_cloud_that_stays(demo: Demo) -> None:
    lifecycle.up(demo.root)
    process = demo.start_and_hold_job()
    # The kernel and the shell both say that the terminal is gone.
    os.killpg(process.pid, signal.SIGHUP)
    os.killpg(process.pid, signal.SIGHUP)
    code, output = finish(process)
    assert code == 130, output
    assert lifecycle.running(demo.root) is not None
    with closing(sqlite3.connect(demo.root / "odps" / "catalog.sqlite")) as catalog:
        query = "SELECT status FROM maxframe_dags ORDER BY number DESC LIMIT 1"
        assert catalog.execute(query).fetchone()[0] in ("CANCELLING", "CANCELLED")
    assert lifecycle.down(demo.root) is True
    assert demo.left_over() == []


def test_killed_demo_is_taken_over_by_the_next(demo: Demo) -> None:
    process = demo.start_and_hold_job()
    of_demo = [
        p for p in psutil.Process(process.pid).children(recursive=True) if "airflow_run" in str(p.cmdline())
    ]
    for each in (psutil.Process(process.pid), *of_demo):
        each.kill()
    finish(process)

    code, output = finish(demo.start())
    assert code == 0, output
    assert "took the partition over from run" in output
    assert "is being written" not in output
    assert "8 input units: 2 to do from the start, 6 kept" in output
    lifecycle.down(demo.root)


def test_killed_cloud_is_named_and_the_same_command_completes(demo: Demo) -> None:
    process = demo.start()
    demo.until(process, "submitted MaxFrame job")
    settings = lifecycle.require_running(demo.root)
    os.kill(settings.pid, signal.SIGKILL)
    code, output = finish(process)
    assert code == 1, output
    assert "drivepipe_default" in output
    assert settings.odps_endpoint in output
    assert "The local cloud has gone" in output
    assert demo.left_over() == []

    code, output = finish(demo.start())
    assert code == 0, output

    # What failed three times is not tried again: no job, and no more said to be carried over than is ok.
    for _ in range(2):
        code, output = finish(demo.start())
        assert code == 0, output
        assert "8 input units: 8 kept" in output
        assert "submitted MaxFrame job" not in output


@pytest.mark.timeout(900)
@pytest.mark.parametrize("command", ["demo-qa", "demo-reasoning"])
def test_demos_of_other_families_are_as_they_must_be_and_pay_nothing_twice(demo: Demo, command: str) -> None:
    code, output = finish(demo.start(command))
    assert code == 0, output
    assert "Everything is as it must be" in output
    code, output = finish(demo.start(command))
    assert code == 0, output
    assert "0 model calls: every answer was there from an earlier run." in output
