"""Clients of a local cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxcompute_local.settings import REGION, ServerSettings

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient


def oss_client(settings: ServerSettings) -> OssClient:
    """Return an OSS client of a local cloud."""
    import alibabacloud_oss_v2 as sdk

    config = sdk.config.load_default()
    config.credentials_provider = sdk.credentials.StaticCredentialsProvider(
        settings.access_key_id, settings.access_key_secret
    )
    config.region, config.endpoint = REGION, settings.oss_endpoint
    return sdk.Client(config)
