"""What a connection holds, read from Airflow connections of types drivepipe, maxcompute and oss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlparse

from airflow_provider_drivepipe.exceptions import ConfigurationError

CONN_TYPE = "drivepipe"
DEFAULT_DPE_PYTHON = "3.11"
"""Python minor version of DPE's stock image."""


class AirflowConnection(Protocol):
    """The part of ``airflow.sdk.Connection`` that is read here."""

    conn_id: str
    conn_type: str | None
    host: str | None
    login: str | None
    password: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The extra field as a dict."""


@dataclass(frozen=True)
class AccessKey:
    """An access key pair with an optional STS token; only the id shows in ``repr``."""

    id: str
    secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class MaxComputeSettings:
    """How to reach one MaxCompute project."""

    endpoint: str
    project: str
    access_key: AccessKey
    region: str | None = None
    quota_name: str | None = None
    inference_quota: str | None = None
    """Quota that AI functions run in; None for the service's own."""


@dataclass(frozen=True)
class OssSettings:
    """How to reach OSS. ``endpoint`` keeps its scheme; ``netloc`` is what OSS URIs embed."""

    endpoint: str
    region: str
    access_key: AccessKey
    role_arn: str | None = None

    @property
    def netloc(self) -> str:
        """``host`` or ``host:port`` of the endpoint."""
        return urlparse(self.endpoint if "://" in self.endpoint else f"https://{self.endpoint}").netloc

    @property
    def netlocs(self) -> tuple[str, ...]:
        """``netloc``, with its twin where it has one: a region's public and internal endpoints lead alike."""
        host, _, domain = self.netloc.partition(".")
        if domain != "aliyuncs.com":
            return (self.netloc,)
        public = host.removesuffix("-internal")
        return (f"{public}.{domain}", f"{public}-internal.{domain}")


@dataclass(frozen=True)
class DrivepipeSettings:
    """Everything a connection says. ``None`` where it says nothing about that part."""

    conn_id: str
    maxcompute: MaxComputeSettings | None
    oss: OssSettings | None
    model_project: str | None = None
    dpe_python_version: str = DEFAULT_DPE_PYTHON

    def require_maxcompute(self) -> MaxComputeSettings:
        """Return the MaxCompute part; raise ConfigurationError when the connection has none."""
        if self.maxcompute is None:
            raise ConfigurationError(
                f"connection {self.conn_id!r} has no MaxCompute endpoint: set its host to the endpoint "
                "(https://service.<region>.maxcompute.aliyun.com/api), login and password to the access key "
                "pair, and the extra field 'project'"
            )
        return self.maxcompute

    def require_oss(self) -> OssSettings:
        """Return the OSS part; raise ConfigurationError when the connection has none."""
        if self.oss is None:
            raise ConfigurationError(
                f"connection {self.conn_id!r} has no OSS endpoint: set its extra field 'oss_endpoint' "
                "(oss-<region>.aliyuncs.com), or give the operator an OSS connection as oss_conn_id"
            )
        return self.oss

    def require_role_arn(self) -> str:
        """Return the RAM role that MaxFrame mounts OSS with; raise ConfigurationError when it is missing."""
        role_arn = self.require_oss().role_arn
        if not role_arn:
            raise ConfigurationError(
                f"connection {self.conn_id!r} has no 'oss_role_arn': MaxFrame mounts OSS with a RAM role "
                "(acs:ram::<account>:role/<role>), not with an access key"
            )
        return role_arn

    def require_model_project(self) -> str:
        """Return the project whose models are used; raise ConfigurationError when it is missing."""
        if not self.model_project:
            raise ConfigurationError(
                f"connection {self.conn_id!r} has no 'model_project': name the MaxCompute project that holds "
                "the models (for Alibaba Cloud's public models: bigdata_public_modelset)"
            )
        return self.model_project


def read_settings(conn: AirflowConnection) -> DrivepipeSettings:
    """Read a connection of type ``drivepipe``, ``maxcompute`` or ``oss``.

    The last two are read as the Alibaba provider stores them: endpoint, project and access key pair in the
    extra field. Raises ConfigurationError naming every missing field at once.
    """
    readers = {CONN_TYPE: _read_drivepipe, "maxcompute": _read_maxcompute, "oss": _read_oss}
    reader = readers.get(conn.conn_type or "")
    if reader is None:
        raise ConfigurationError(
            f"connection {conn.conn_id!r} has type {conn.conn_type!r}; expected one of {', '.join(readers)}"
        )
    return reader(conn, _unprefixed(conn.extra_dejson))


def _unprefixed(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Drop empty values and the ``extra__<type>__`` prefix that old connection forms stored."""
    return {k.rsplit("__", 1)[-1]: v for k, v in extra.items() if v not in (None, "")}


def _missing(conn_id: str, **fields: object) -> None:
    missing = [name for name, value in fields.items() if not value]
    if missing:
        raise ConfigurationError(f"connection {conn_id!r} lacks {', '.join(missing)}")


def _read_drivepipe(conn: AirflowConnection, extra: dict[str, Any]) -> DrivepipeSettings:
    _missing(conn.conn_id, login=conn.login, password=conn.password)
    key = AccessKey(conn.login or "", conn.password or "", extra.get("security_token"))
    maxcompute = None
    if conn.host:
        _missing(conn.conn_id, project=extra.get("project"))
        maxcompute = MaxComputeSettings(
            conn.host,
            extra["project"],
            key,
            extra.get("region"),
            extra.get("quota_name"),
            extra.get("inference_quota"),
        )
    oss = None
    if extra.get("oss_endpoint"):
        region = extra.get("oss_region") or extra.get("region")
        _missing(conn.conn_id, oss_region=region)
        oss_key = key
        if extra.get("oss_access_key_id"):
            _missing(conn.conn_id, oss_access_key_secret=extra.get("oss_access_key_secret"))
            oss_key = AccessKey(extra["oss_access_key_id"], extra["oss_access_key_secret"])
        oss = OssSettings(extra["oss_endpoint"], str(region), oss_key, extra.get("oss_role_arn"))
    version = str(extra.get("dpe_python_version", DEFAULT_DPE_PYTHON)).removeprefix("python")
    return DrivepipeSettings(conn.conn_id, maxcompute, oss, extra.get("model_project"), version)


def _read_maxcompute(conn: AirflowConnection, extra: dict[str, Any]) -> DrivepipeSettings:
    wanted = ("access_key_id", "access_key_secret", "project", "endpoint")
    _missing(conn.conn_id, **{name: extra.get(name) for name in wanted})
    key = AccessKey(extra["access_key_id"], extra["access_key_secret"])
    maxcompute = MaxComputeSettings(extra["endpoint"], extra["project"], key, extra.get("region"))
    return DrivepipeSettings(conn.conn_id, maxcompute, None, extra.get("model_project"))


def _read_oss(conn: AirflowConnection, extra: dict[str, Any]) -> DrivepipeSettings:
    wanted = ("access_key_id", "access_key_secret", "region")
    _missing(conn.conn_id, **{name: extra.get(name) for name in wanted})
    region = str(extra["region"])
    endpoint = extra.get("endpoint") or f"oss-{region}.aliyuncs.com"
    key = AccessKey(extra["access_key_id"], extra["access_key_secret"])
    return DrivepipeSettings(
        conn.conn_id, None, OssSettings(endpoint, region, key, extra.get("oss_role_arn"))
    )
