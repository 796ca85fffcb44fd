"""Nothing outlives a test session, not even one that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.system.component import Component
from tests.system.conftest import eventually
from tests.system.watchdog import DATABASE, RUN

SESSION = """
import os, sys, time
from pathlib import Path
from tests.system.component import Component
from tests.system.postgres import PostgresServer
from tests.system.watchdog import watched

folder = Path(sys.argv[1])
with watched(folder) as database:
    PostgresServer(database).start()
    component = Component("parent", folder / "run")
    component.start([sys.executable, "-c", sys.argv[2]], os.environ)
    print("ready", flush=True)
    time.sleep(600)
"""

PARENT = "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"


def test_killed_session_leaves_no_process_and_no_database(tmp_path: Path):
    (tmp_path / RUN).mkdir()
    command = [sys.executable, "-c", SESSION, str(tmp_path), PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == "ready\n"
        parent = psutil.Process(Component("parent", tmp_path / RUN).pid)
        database = (tmp_path / DATABASE).resolve()
        postmaster = psutil.Process(int((database / "data" / "postmaster.pid").read_text().split()[0]))
        eventually(lambda: len(parent.children()) == 1)
        started = [parent, *parent.children(), postmaster, *postmaster.children()]
        os.kill(session.pid, signal.SIGKILL)
    eventually(lambda: not any(process.is_running() for process in started))
    eventually(lambda: not database.exists())
