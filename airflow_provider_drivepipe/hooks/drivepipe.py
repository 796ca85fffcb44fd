"""DrivepipeHook: one Airflow connection to OSS and MaxCompute, and the clients made from it."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_drivepipe import __version__
from airflow_provider_drivepipe.contracts import Column, OssUri
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.connection import CONN_TYPE, AccessKey, DrivepipeSettings, read_settings
from airflow_provider_drivepipe.hooks.errors import maxcompute_errors, oss_errors
from airflow_provider_drivepipe.stages.stage import Endpoint
from airflow_provider_drivepipe.worker.listing import OssAccess

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient
    from odps import ODPS

    from airflow_provider_drivepipe.scenario.partition import PartitionSpec

_AGENT = "AlibabaCloud-Agent-Skills/alibabacloud-maxframe-video-frame-pipeline"

_NAMED_MODELS = 20


def user_agent(run_identity: str) -> str:
    """Return the User-Agent of every SDK call; the session part is stable per DAG run.

    :param run_identity: what identifies the run, e.g. ``<dag_id>/<run_id>``.
    """
    session = hashlib.sha256(run_identity.encode()).hexdigest()[:32]
    return f"{_AGENT}/{session} airflow-provider-drivepipe/{__version__}"


class DrivepipeHook(BaseHook):
    """Clients for OSS and MaxCompute from an Airflow connection.

    :param conn_id: connection of type ``drivepipe``, or ``maxcompute`` as the Alibaba provider stores it.
    :param oss_conn_id: connection of type ``oss`` (or ``drivepipe``) to take OSS from instead.
    :param run_identity: identifies the DAG run in the User-Agent of every call.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "drivepipe_default"
    conn_type = CONN_TYPE
    hook_name = "DrivePipe (OSS + MaxCompute)"

    def __init__(
        self,
        conn_id: str = default_conn_name,
        oss_conn_id: str | None = None,
        run_identity: str = "interactive",
    ) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.oss_conn_id = oss_conn_id
        self.run_identity = run_identity
        self.known_columns: dict[str, list[Column]] = {}
        """Columns of the tables that were looked at, partition columns last."""

    @cached_property
    def settings(self) -> DrivepipeSettings:
        """What the connection says; read once. Raises ConfigurationError when it does not fit."""
        return self._read(self.conn_id)

    @cached_property
    def oss_settings(self) -> DrivepipeSettings:
        """The settings that OSS is taken from."""
        return self._read(self.oss_conn_id) if self.oss_conn_id else self.settings

    def _read(self, conn_id: str) -> DrivepipeSettings:
        try:
            return read_settings(self.get_connection(conn_id))
        except AirflowNotFoundException as error:
            raise ConfigurationError(
                f"there is no connection {conn_id!r}. Make it in Airflow's UI under Admin, Connections (type "
                f"{self.hook_name}), or set AIRFLOW_CONN_{conn_id.upper()}; for the local cloud, "
                "'drivepipe local env' prints it"
            ) from error

    @cached_property
    def odps(self) -> ODPS:
        """The pyodps entry object of the connection's project."""
        from odps import ODPS
        from odps.accounts import CloudAccount, StsAccount

        # The tunnel logs each result that is read; a person on call needs none of it.
        logging.getLogger("odps.tunnel").setLevel(logging.WARNING)
        mc = self.settings.require_maxcompute()
        key = mc.access_key
        account = (
            StsAccount(key.id, key.secret, key.security_token)
            if key.security_token
            else CloudAccount(key.id, key.secret)
        )
        return ODPS(
            account,
            project=mc.project,
            endpoint=mc.endpoint,
            region_name=mc.region,
            quota_name=mc.quota_name,
            overwrite_global=False,
            rest_client_kwargs={"user_agent": user_agent(self.run_identity)},
        )

    @cached_property
    def oss(self) -> OssClient:
        """The OSS client of the connection."""
        return self.oss_access().client()

    def oss_access(self) -> OssAccess:
        """Return how the connection's OSS is reached."""
        settings = self.oss_settings.require_oss()
        key, agent = settings.access_key, user_agent(self.run_identity)
        return OssAccess(settings.endpoint, settings.region, agent, key.id, key.secret, key.security_token)

    def oss_root(self, bucket: str, root: str | None = None) -> OssUri:
        """Return the root of all inputs and outputs: ``root`` if given, else the whole bucket."""
        return OssUri.parse(root) if root else OssUri(self.oss_settings.require_oss().netloc, bucket)

    def role_arn(self) -> str:
        """Return the RAM role with which workers mount OSS; raise ConfigurationError without one."""
        return self.oss_settings.require_role_arn()

    def model_project(self) -> str:
        """Return the project that holds the models; raise ConfigurationError without one."""
        return self.settings.require_model_project()

    def oss_key(self) -> AccessKey:
        """Return the key pair of OSS; raise ConfigurationError without one."""
        return self.oss_settings.require_oss().access_key

    def image_places(self) -> tuple[str, ...]:
        """Return the endpoints of OSS at which the key pair can read images."""
        return self.oss_settings.require_oss().netlocs

    def endpoint(self, conn_id: str) -> Endpoint:
        """Return the service that a connection of type ``http`` is to; its password is the key."""
        try:
            found = self.get_connection(conn_id)
        except AirflowNotFoundException as error:
            raise ConfigurationError(
                f"there is no connection {conn_id!r}. Make it in Airflow's UI under Admin, Connections (type "
                "HTTP): the endpoint's address as host, its key as password"
            ) from error
        if not found.host:
            raise ConfigurationError(f"connection {conn_id!r} has no host: the endpoint's address")
        url = found.host if "://" in found.host else f"{found.schema or 'http'}://{found.host}"
        if found.port:
            scheme, _, rest = url.partition("://")
            netloc, slash, path = rest.partition("/")
            url = f"{scheme}://{netloc}:{found.port}{slash}{path}"
        return Endpoint(url.rstrip("/"), found.password or "")

    def read_object(self, uri: OssUri) -> bytes:
        """Return an object; raise ConfigurationError when it is not there, or not in the connection's OSS."""
        import alibabacloud_oss_v2 as oss

        settings = self.oss_settings.require_oss()
        if uri.endpoint not in settings.netlocs:
            raise ConfigurationError(f"{uri} is not in the connection's OSS")
        with oss_errors(self.oss_settings.conn_id, settings.endpoint):
            found = self.oss.get_object(oss.GetObjectRequest(bucket=uri.bucket, key=uri.key))
            return bytes(found.body.read())

    def write_object(self, uri: OssUri, content: bytes, content_type: str) -> None:
        """Write an object to the connection's OSS; raise an error of our tree when that does not work."""
        import alibabacloud_oss_v2 as oss

        request = oss.PutObjectRequest(
            bucket=uri.bucket, key=uri.key, body=content, content_type=content_type
        )
        with oss_errors(self.oss_settings.conn_id, self.oss_settings.require_oss().endpoint, uri.bucket):
            self.oss.put_object(request)

    def errors(self) -> AbstractContextManager[None]:
        """Return a context in which the SDKs' errors become ours, naming the connection and the endpoint."""
        return maxcompute_errors(self.conn_id, self.settings.require_maxcompute().endpoint)

    def table_columns(self, table: str) -> tuple[list[Column], list[str]]:
        """Return a table's columns and the names of its partition columns.

        Raises ConfigurationError when there is no such table.
        """
        with self.errors():
            schema = self.odps.get_table(table).table_schema
            columns = [Column(c.name, str(c.type).lower(), c.comment or "") for c in schema.simple_columns]
            partition = [Column(c.name, str(c.type).lower(), c.comment or "") for c in schema.partitions]
            self.known_columns[table] = [*columns, *partition]
            return columns, [c.name for c in partition]

    def require_models(self, names: Sequence[str]) -> None:
        """Look models up in the connection's model project; name those it lacks.

        Raises ConfigurationError when it lacks one.
        """
        from odps.errors import NoSuchObject

        project = self.settings.require_model_project()
        missing = []
        with self.errors(), self.catalog():
            for name in dict.fromkeys(names):
                try:
                    self.odps.get_model(name, project).reload()
                except NoSuchObject:
                    missing.append(name)
            if missing:
                known = sorted(model.name for model in self.odps.list_models(project))
                more = ", …" if len(known) > _NAMED_MODELS else ""
                raise ConfigurationError(
                    f"model project {project} has no model {', '.join(missing)}; it has "
                    f"{', '.join(known[:_NAMED_MODELS]) or 'none'}{more}"
                )

    def table_comment(self, table: str) -> str | None:
        """Return a table's comment, None when there is no such table."""
        from odps.errors import NoSuchObject

        with self.errors():
            try:
                found = self.odps.get_table(table)
                found.reload()
            except NoSuchObject:
                return None
            return found.comment or ""

    def has_partition(self, table: str, partition: PartitionSpec) -> bool:
        """Whether there is such a table with such a partition."""
        if self.table_comment(table) is None:
            return False
        with self.errors():
            return bool(self.odps.get_table(table).exist_partition(str(partition)))

    def partitions(self, table: str) -> list[PartitionSpec]:
        """Return the partitions of a table, none when there is no such table."""
        from airflow_provider_drivepipe.scenario.partition import PartitionSpec

        if self.table_comment(table) is None:
            return []
        with self.errors():
            found = self.odps.get_table(table).partitions
            return [PartitionSpec.parse(str(each.partition_spec)) for each in found]

    def list_tables(self, prefix: str) -> list[str]:
        """Return the tables whose names start with ``prefix`` (``name`` or ``project.name``)."""
        project, _, start = prefix.rpartition(".")
        with self.errors():
            found = [table.name for table in self.odps.list_tables(project=project or None, prefix=start)]
        return [f"{project}.{name}" if project else name for name in found]

    def execute_sql(self, sql: str, hints: dict[str, str] | None = None) -> list[list[Any]]:
        """Run a statement to its end and return the rows of a query, or an empty list.

        Raises an error of our tree; the message names the connection and the endpoint.
        """
        with self.errors():
            instance = self.odps.execute_sql(sql, hints=hints)
            self.log.debug("SQL instance %s: %s", instance.id, sql)
            if not sql.lstrip().lower().startswith(("select", "with")):
                return []
            with instance.open_reader(tunnel=True) as reader:
                return [list(record.values) for record in reader]

    def execute_script(self, statements: Sequence[str]) -> None:
        """Run statements that make tables, and then such as fill them, as one instance in script mode.

        None may read what another one writes. Raises an error of our tree.
        """
        self.execute_sql(";\n".join([*statements, ""]), hints={"odps.sql.submit.mode": "script"})

    @contextmanager
    def catalog(self) -> Iterator[None]:
        """Let pyodps reach the model catalog inside: it has to be told where that is."""
        from odps import options
        from odps.config import option_context

        with option_context():
            options.catalog.endpoint = f"http://{self.odps.get_catalog_host()}"
            yield


def check_python(settings: DrivepipeSettings) -> None:
    """Raise ConfigurationError when this interpreter's minor version is not the one of DPE workers.

    Functions travel to DPE as byte code, which only the same minor version can run.
    """
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    if mine != settings.dpe_python_version:
        raise ConfigurationError(
            f"this Airflow worker runs Python {mine}, DPE workers run {settings.dpe_python_version}: "
            "functions are shipped as byte code and need the same minor version. Run the worker on "
            f"Python {settings.dpe_python_version}, or, if your DPE image has {mine}, set the connection's "
            "extra field 'dpe_python_version'"
        )
