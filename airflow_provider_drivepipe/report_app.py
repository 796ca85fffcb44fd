"""Opens the report of a partition in Airflow: reads it from OSS for who is logged in and may read the DAG.

No address that lets anybody read OSS is ever made: the API server reads the file with the task's connection.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from html import escape
from typing import Any

from airflow_provider_drivepipe.links.report import REPORT_KEY, XCOM_KEY

Message = MutableMapping[str, Any]


async def report_app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer a request; the app is made with the first one, for plugins are loaded by all of Airflow."""
    await _app()(scope, receive, send)


@cache
def _app() -> Any:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI, Response

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/report", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))])
    def report(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Response:
        status, content = _read(dag_id, run_id, task_id, map_index)
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return Response(content, status, headers, "text/html; charset=utf-8")

    return app


_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The page runs nothing, and is of no origin: whatever it holds, it is not Airflow's."""


def _read(dag_id: str, run_id: str, task_id: str, map_index: int) -> tuple[int, bytes]:
    """Return the status of the answer, and the report that a task names in its XCom."""
    from airflow.models.connection import Connection
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_provider_drivepipe.contracts import OssUri
    from airflow_provider_drivepipe.exceptions import DrivepipeError
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook

    class ServerHook(DrivepipeHook):
        """Finds connections where the API server does."""

        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            """Return a connection."""
            return Connection.get_connection_from_secrets(conn_id)

    of_task = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    with create_session() as session:
        found = session.scalars(select(XComModel.value).filter_by(key=XCOM_KEY, **of_task)).first()
    place = json.loads(found) if isinstance(found, str) else found
    if not place:
        return 404, b"This task wrote no report."
    try:
        uri = OssUri.parse(place["uri"])
        if not REPORT_KEY.fullmatch(uri.key):
            # Who may edit an XCom may not read all of OSS by it.
            return 404, b"This is not the place of a report."
        return 200, ServerHook(place["conn_id"], place["oss_conn_id"]).read_object(uri)
    except DrivepipeError as error:
        return 502, escape(f"The report cannot be read: {error}").encode()
