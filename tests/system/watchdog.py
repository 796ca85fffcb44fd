"""Ends everything that a test session started, however the session ended.

Run as ``python -m tests.system.watchdog FOLDER``. It waits until its standard input closes, which
the session's end does, also by SIGKILL; then it ends what is left of the processes of ``FOLDER``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_drivepipe.cli.airflow_home import database_folder
from airflow_provider_drivepipe.cli.postgres import Postgres
from maxcompute_local import lifecycle
from maxcompute_local.settings import LOCK_FILE
from tests.system.component import Component

RUN = "run"
"""Folder of the pid files and logs of Airflow's components."""
CLOUD = "cloud"
"""Root of the local cloud."""
AIRFLOW = "airflow"
"""AIRFLOW_HOME, with the database in it."""


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Start a watchdog over ``folder``; on leaving end everything."""
    watchdog = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, str(folder)],
        stdin=subprocess.PIPE,
        # A Ctrl-C in the terminal is for the session only.
        start_new_session=True,
    )
    try:
        yield
    finally:
        # Here rather than in the watchdog, because only a parent can see its children off.
        end_all(folder)
        assert watchdog.stdin is not None
        watchdog.stdin.close()
        watchdog.wait(60)


def end_all(folder: Path) -> None:
    """End every process that works for ``folder``; data and logs stay."""
    for pid_file in (folder / RUN).glob("*.pid"):
        Component(pid_file.stem, pid_file.parent).end()
    if (folder / CLOUD / LOCK_FILE).exists():
        lifecycle.down(folder / CLOUD)
    Postgres(database_folder(folder / AIRFLOW)).stop()


def main() -> None:
    sys.stdin.read()
    end_all(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
