"""The hook as commands use it, outside of any task."""

from __future__ import annotations

from typing import Any

from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook


class CommandHook(MaxFrameHook):
    """Finds connections where the ``airflow`` command finds them, which includes Airflow's database."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Return a connection; CommandError when there is none of that id."""
        try:
            return Connection.get_connection_from_secrets(conn_id)
        except AirflowNotFoundException as error:
            raise CommandError(
                f"there is no connection {conn_id!r}: neither in AIRFLOW_CONN_{conn_id.upper()}, nor in a "
                "secrets backend or the database of this environment's Airflow"
            ) from error
