"""Clients of a local cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxcompute_local.settings import PROJECT, REGION, ServerSettings

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient
    from odps import ODPS


def oss_client(settings: ServerSettings) -> OssClient:
    """Return an OSS client of a local cloud."""
    import alibabacloud_oss_v2 as sdk

    config = sdk.config.load_default()
    config.credentials_provider = sdk.credentials.StaticCredentialsProvider(
        settings.access_key_id, settings.access_key_secret
    )
    config.region, config.endpoint = REGION, settings.oss_endpoint
    return sdk.Client(config)


def odps_client(settings: ServerSettings) -> ODPS:
    """Return a MaxCompute client of a local cloud."""
    from odps import ODPS

    return ODPS(
        settings.access_key_id,
        settings.access_key_secret,
        project=PROJECT,
        endpoint=settings.odps_endpoint,
        overwrite_global=False,
    )
