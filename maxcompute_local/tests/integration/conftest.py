"""One local cloud for all integration tests; every test has a bucket and table names of its own."""

from maxcompute_local.pytest_fixtures import (  # noqa: F401 - fixtures
    bucket,
    local_cloud,
    odps_client,
    oss_client,
    own_odps_options,
    table,
)
