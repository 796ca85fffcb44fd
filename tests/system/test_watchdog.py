"""Nothing outlives a test session, not even one that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from airflow_provider_drivepipe.cli.airflow_home import database_folder
from tests.system.component import Component
from tests.system.conftest import eventually
from tests.system.watchdog import AIRFLOW, RUN

SESSION = """
import os, sys, time
from pathlib import Path
from tests.system.component import Component
from airflow_provider_drivepipe.cli.airflow_home import database_folder
from airflow_provider_drivepipe.cli.postgres import Postgres
from tests.system.watchdog import AIRFLOW, watched

folder = Path(sys.argv[1])
with watched(folder):
    Postgres(database_folder(folder / AIRFLOW)).start()
    component = Component("parent", folder / "run")
    component.start([sys.executable, "-c", sys.argv[2]], os.environ)
    print("ready", flush=True)
    time.sleep(600)
"""

PARENT = "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"


def test_killed_session_leaves_no_process(tmp_path: Path):
    (tmp_path / RUN).mkdir()
    command = [sys.executable, "-c", SESSION, str(tmp_path), PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == "ready\n"
        parent = psutil.Process(Component("parent", tmp_path / RUN).pid)
        database = database_folder(tmp_path / AIRFLOW)
        postmaster = psutil.Process(int((database / "data" / "postmaster.pid").read_text().split()[0]))
        eventually(lambda: len(parent.children()) == 1)
        started = [parent, *parent.children(), postmaster, *postmaster.children()]
        os.kill(session.pid, signal.SIGKILL)
    eventually(lambda: not any(process.is_running() for process in started))
