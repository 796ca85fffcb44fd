"""Fixtures for tests that run against a local cloud: one for the session, a bucket and table names per test.

Import those you want into a ``conftest.py``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import alibabacloud_oss_v2 as oss
import pytest
from odps import ODPS, options
from odps.config import option_context

from maxcompute_local.clients import oss_client as client_of
from maxcompute_local.server import LocalCloud


@pytest.fixture(autouse=True)
def own_odps_options() -> Iterator[None]:
    """Keep what a test sets in pyodps' process-wide options (endpoints, the global entry) to itself."""
    with option_context():
        options.logview_host = options.catalog.endpoint = None
        yield


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Start a local cloud in this process, once for all tests of it."""
    cloud = LocalCloud(tmp_path_factory.mktemp("cloud"), odps_port=0, oss_port=0).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def odps_client(local_cloud: LocalCloud) -> ODPS:
    """Return a client of the local cloud's MaxCompute."""
    return ODPS(
        local_cloud.access_key_id,
        local_cloud.access_key_secret,
        project=local_cloud.project,
        endpoint=local_cloud.odps_endpoint,
        overwrite_global=False,
    )


@pytest.fixture
def oss_client(local_cloud: LocalCloud) -> oss.Client:
    """Return a client of the local cloud's OSS."""
    return client_of(local_cloud.settings)


@pytest.fixture
def bucket(oss_client: oss.Client) -> str:
    """Return the name of a new, empty bucket."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    oss_client.put_bucket(oss.PutBucketRequest(bucket=name))
    return name


@pytest.fixture
def table() -> str:
    """Return the name of a table that does not exist."""
    return f"t_{uuid.uuid4().hex[:12]}"
