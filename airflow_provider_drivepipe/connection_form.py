"""Makes *Test* of a stored connection work in Airflow's list of connections.

The list of Airflow 3.3 sends ``port: 0`` for a connection that has no port. The API takes that for another
address than the stored one, to which it would not send the stored secret, and answers 400. A connection of
ours has no port, so there is nothing to compare.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow_provider_drivepipe.hooks.connection import CONN_TYPE

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[
    [MutableMapping[str, Any], Receive, Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_PATH = "/api/v2/connections/test"


class ConnectionTestWithoutPort:
    """An ASGI middleware that leaves ``port: 0`` out of requests that test a connection of ours."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith(_PATH):
            message = await _whole(receive)
            scope = {**scope, "headers": [h for h in scope["headers"] if h[0] != b"content-length"]}
            receive = _first(message, receive)
        await self._app(scope, receive, send)


async def _whole(receive: Receive) -> Message:
    """Return a request's body as one message, without the port; or that the client has gone."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return message
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return {"type": "http.request", "body": _without_port(body), "more_body": False}


def _without_port(body: bytes) -> bytes:
    try:
        values = json.loads(body)
    except ValueError:
        return body
    if not isinstance(values, dict) or values.get("conn_type") != CONN_TYPE or values.get("port") != 0:
        return body
    return json.dumps({name: value for name, value in values.items() if name != "port"}).encode()


def _first(message: Message, receive: Receive) -> Receive:
    waiting = [message]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
