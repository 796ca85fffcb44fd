"""``drivepipe local``: the local cloud's own command, which also knows how Airflow connects to it."""

from __future__ import annotations

import subprocess
import sys

from airflow.sdk import Connection

from airflow_provider_drivepipe.hooks.connection import read_settings
from maxcompute_local.server import LocalCloud


def test_env_has_the_airflow_connection_too(local_cloud: LocalCloud) -> None:
    settings = local_cloud.settings
    command = [sys.executable, "-m", "airflow_provider_drivepipe.cli.main", "local", "env"]
    export = subprocess.run(
        [*command, "--root", str(local_cloud.root)], capture_output=True, text=True, check=True
    ).stdout
    shell = f'{export}\nprintf "%s\\n%s" "$ODPS_ENDPOINT" "$AIRFLOW_CONN_DRIVEPIPE_DEFAULT"'
    said = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    endpoint, _, value = said.partition("\n")
    read = read_settings(Connection.from_json(value, conn_id="drivepipe_default"))
    assert read.require_maxcompute().endpoint == settings.odps_endpoint == endpoint
    assert read.require_maxcompute().access_key.secret == settings.access_key_secret
    assert read.require_oss().endpoint == settings.oss_endpoint
    assert read.require_role_arn() == "acs:ram::0:role/maxcompute-local"
    assert read.require_model_project() == "bigdata_public_modelset"
    assert read.dpe_python_version == f"{sys.version_info.major}.{sys.version_info.minor}"
