"""The folder of a person's own Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_drivepipe.cli.airflow_home import write_local_settings

LOADED = "import sys, airflow.settings; print('maxframe' in sys.modules, 'odps' in sys.modules)"


@pytest.mark.parametrize(("component", "loads"), [("scheduler", True), ("triggerer", False)])
def test_only_the_scheduler_loads_what_tasks_import(tmp_path: Path, component: str, loads: bool) -> None:
    write_local_settings(tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADED, component],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"{loads} {loads}"
