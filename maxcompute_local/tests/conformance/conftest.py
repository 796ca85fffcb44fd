"""The fixtures of the integration tests: one local cloud, and clients of the real SDKs for it."""

from tests.integration.conftest import (  # noqa: F401 - fixtures
    bucket,
    local_cloud,
    odps_client,
    oss_client,
    own_odps_options,
    table,
)
