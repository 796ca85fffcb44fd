"""One local cloud for all integration tests; every test has a bucket and table names of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import alibabacloud_oss_v2 as oss
import pytest
from odps import ODPS, options
from odps.config import option_context

from airflow_provider_drivepipe.cli.demo_data import oss_client as client_of
from airflow_provider_drivepipe.local import lifecycle
from airflow_provider_drivepipe.local.server import LocalCloud


@pytest.fixture(autouse=True)
def own_odps_options() -> Iterator[None]:
    """Keep what a test sets in pyodps' process-wide options (endpoints, the global entry) to itself."""
    with option_context():
        options.logview_host = options.catalog.endpoint = None
        yield


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    cloud = LocalCloud(tmp_path_factory.mktemp("cloud"), odps_port=0, oss_port=0).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def odps_client(local_cloud: LocalCloud) -> ODPS:
    return ODPS(
        local_cloud.access_key_id,
        local_cloud.access_key_secret,
        project=local_cloud.project,
        endpoint=local_cloud.odps_endpoint,
        overwrite_global=False,
    )


@pytest.fixture
def oss_client(local_cloud: LocalCloud) -> oss.Client:
    return client_of(local_cloud.settings)


@pytest.fixture
def bucket(oss_client: oss.Client) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    oss_client.put_bucket(oss.PutBucketRequest(bucket=name))
    return name


@pytest.fixture
def table() -> str:
    return f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def airflow_connection(local_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the connection drivepipe_default to the local cloud and return its id."""
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", lifecycle.connection_json(local_cloud.settings))
    return "drivepipe_default"
