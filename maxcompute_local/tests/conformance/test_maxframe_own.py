"""The tests that the maxframe wheel ships, run against the local cloud.

What is left out, and why, is in maxframe_out_of_scope.toml.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from maxcompute_local.server import LocalCloud

_FOLDER = Path(__file__).parent
_REPOSITORY = _FOLDER.parent.parent


@pytest.fixture
def configuration(local_cloud: LocalCloud, tmp_path: Path) -> Path:
    account = {
        "access_id": local_cloud.access_key_id,
        "secret_access_key": local_cloud.access_key_secret,
        "project": local_cloud.project,
        "endpoint": local_cloud.odps_endpoint,
    }
    parser = configparser.ConfigParser()
    parser.read_dict({"odps": account, "odps_with_schema": account})
    path = tmp_path / "test.conf"
    with path.open("w") as file:
        parser.write(file)
    return path


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("package", "least"), [("maxframe", 2700), ("maxframe_client", 25)])
def test_own_tests(package: str, least: int, configuration: Path, tmp_path: Path) -> None:
    arguments = ["-c", str(_FOLDER / "maxframe_pytest.ini"), "-p", "tests.conformance.maxframe_plugin"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "--pyargs", package],
        cwd=tmp_path,
        env={
            **os.environ,
            "DRIVEPIPE_MAXFRAME_TEST_CONF": str(configuration),
            "PYTHONPATH": os.pathsep.join([str(_REPOSITORY), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    report = run.stdout[-8000:] + run.stderr[-2000:]
    assert run.returncode == 0, report
    summary = run.stdout.strip().splitlines()[-1]
    assert int(summary.partition(" passed")[0].split()[-1]) >= least, report


def test_everything_left_out_has_a_reason() -> None:
    groups = tomllib.loads((_FOLDER / "maxframe_out_of_scope.toml").read_text())["group"]
    listed = [test for group in groups for test in group["tests"]]
    assert all(len(group["reason"]) > 20 and group["tests"] for group in groups)
    assert len(listed) == len(set(listed))
