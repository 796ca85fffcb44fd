"""The hook as commands use it, outside of any task."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from airflow.models.connection import Connection
from airflow.sdk import Connection as SdkConnection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_drivepipe.cli.child import go_on
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.hooks.maxframe import Job, JobStatus, MaxFrameHook


class CommandHook(MaxFrameHook):
    """Finds connections where the ``airflow`` command finds them, which includes Airflow's database.

    Where none is defined for ``drivepipe_default``, a local cloud that runs here is used, and that is said.
    """

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Return a connection; CommandError when there is none of that id."""
        try:
            return Connection.get_connection_from_secrets(conn_id)
        except AirflowNotFoundException as error:
            local = _local_cloud(conn_id) if conn_id == cls.default_conn_name else None
            if local is not None:
                return local
            raise CommandError(
                f"there is no connection {conn_id!r}: neither in AIRFLOW_CONN_{conn_id.upper()}, nor in a "
                "secrets backend or the database of this environment's Airflow"
            ) from error

    def status(self, job: Job) -> JobStatus:
        """Look at a job once; KeyboardInterrupt when the command has been asked to end."""
        go_on()
        return super().status(job)


def _local_cloud(conn_id: str) -> SdkConnection | None:
    """Return the connection to the local cloud of this folder, None where none runs."""
    if find_spec("maxcompute_local") is None:
        return None
    from airflow_provider_drivepipe.cli.local import connection_json, default_root
    from maxcompute_local import lifecycle

    settings = lifecycle.running(default_root())
    if settings is None:
        return None
    print(f"no connection {conn_id!r} is defined; using the local cloud of {default_root()}", file=sys.stderr)
    return SdkConnection.from_json(connection_json(settings), conn_id=conn_id)
