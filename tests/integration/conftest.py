"""One local cloud for all integration tests; every test has a bucket and table names of its own."""

from __future__ import annotations

import pytest

from airflow_provider_drivepipe.cli.local import connection_json
from maxcompute_local.pytest_fixtures import (  # noqa: F401 - fixtures
    bucket,
    local_cloud,
    odps_client,
    oss_client,
    own_odps_options,
    table,
)
from maxcompute_local.server import LocalCloud


@pytest.fixture
def airflow_connection(
    local_cloud: LocalCloud,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Set the connection drivepipe_default to the local cloud and return its id."""
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", connection_json(local_cloud.settings))
    return "drivepipe_default"
