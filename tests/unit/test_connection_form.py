"""Which requests that test a connection lose their port."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_drivepipe.connection_form import ConnectionTestWithoutPort
from airflow_provider_drivepipe.plugin import DrivepipePlugin

PATH = "/api/v2/connections/test"
OURS = {"conn_type": "drivepipe", "connection_id": "c", "password": "***", "port": 0, "schema": ""}


def passed_on(body: bytes, path: str = PATH, method: str = "POST", piece: int = 10) -> bytes:
    """Return the body that the application gets of one that comes in pieces."""
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)] or [b""]
    sent: list[dict[str, Any]] = [
        {"type": "http.request", "body": p, "more_body": p is not pieces[-1]} for p in pieces
    ]
    sent.append({"type": "http.disconnect"})
    got = b""

    async def receive() -> dict[str, Any]:
        return sent.pop(0)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal got
        while (message := await receive())["type"] == "http.request":
            got += message["body"]
        lengths = [int(value) for name, value in scope["headers"] if name == b"content-length"]
        assert lengths in ([], [len(got)])

    headers = [(b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(ConnectionTestWithoutPort(application)(scope, receive, None))  # type: ignore[arg-type]
    return got


def test_a_port_that_is_not_there_is_left_out() -> None:
    [registered] = DrivepipePlugin.fastapi_root_middlewares
    assert registered["middleware"] is ConnectionTestWithoutPort
    kept = {name: value for name, value in OURS.items() if name != "port"}
    assert json.loads(passed_on(json.dumps(OURS).encode())) == kept


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({**OURS, "port": 8080}).encode(),
        json.dumps({**OURS, "conn_type": "postgres"}).encode(),
        json.dumps({"conn_type": "drivepipe"}).encode(),
        b"[1, 2]",
        b"{not json",
        b"",
    ],
)
def test_everything_else_passes_unchanged(body: bytes) -> None:
    assert passed_on(body) == body


def test_other_requests_pass_unchanged() -> None:
    body = json.dumps(OURS).encode()
    assert passed_on(body, path="/api/v2/connections") == body
    assert passed_on(body, method="PUT") == body
