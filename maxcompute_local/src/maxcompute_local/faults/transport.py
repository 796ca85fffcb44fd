"""Faults of the answer on its way: late, slow, cut off, or lost with its connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maxcompute_local.faults import current
from maxcompute_local.faults.rules import Fault, FaultKind

_CUTS = (FaultKind.DROP, FaultKind.RESET, FaultKind.TRUNCATE)
_CLOSE_SECONDS = 5.0
_DRIP_SECONDS = 0.1
"""Time between two pieces of a slow body."""


class FaultyTransport:
    """An ASGI application whose answers suffer the faults that have struck their calls.

    :param connections: returns the open connections of the server that calls this application, with the
        attributes ``client`` and ``transport``, as uvicorn keeps them.
    """

    def __init__(self, app: ASGIApp, connections: Callable[[], Iterable[Any]]) -> None:
        self._app = app
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = current.Call()
        token = current.call.set(call)
        try:
            await self._app(scope, receive, _Answer(call, send, lambda: self._connection(scope)).send)
        finally:
            current.call.reset(token)

    def _connection(self, scope: Scope) -> asyncio.Transport | None:
        client = tuple(scope.get("client") or ())
        found = (
            c.transport for c in self._connections() if c.client is not None and tuple(c.client) == client
        )
        return next(found, None)


class _Answer:
    """One answer on its way."""

    def __init__(
        self, call: current.Call, send: Send, connection: Callable[[], asyncio.Transport | None]
    ) -> None:
        self._call = call
        self._send = send
        self._connection = connection
        self._sent = 0
        self._limit = 0
        self._lost = False

    async def send(self, message: Message) -> None:
        """Pass a message of the application on, or what the faults leave of it."""
        if self._lost:
            return
        if not self._call.on_answer:
            await self._send(message)
        elif message["type"] == "http.response.start":
            await self._start(message)
        else:
            await self._body(message)

    async def _start(self, message: Message) -> None:
        await asyncio.sleep(sum(f.seconds for f in self._call.on_answer if f.fault is FaultKind.LATENCY))
        cut = self._cut()
        if cut is not None:
            length = _length(message)
            # What has no body can only be lost as a whole.
            if cut.fault is FaultKind.DROP or length == 0:
                await self._lose(cut)
                return
            self._limit = _limit(cut, length)
        await self._send(message)

    async def _body(self, message: Message) -> None:
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        cut = self._cut()
        if cut is not None and (not more or self._sent + len(body) >= self._limit):
            await self._pass(body[: max(self._limit - self._sent, 0)], more=True)
            await self._lose(cut)
            return
        self._sent += len(body)
        await self._pass(body, more)

    async def _pass(self, body: bytes, more: bool) -> None:
        drip = next((f for f in self._call.on_answer if f.fault is FaultKind.DRIP), None)
        if drip is not None:
            size = max(1, round(drip.bytes_per_second * _DRIP_SECONDS))
            while len(body) > size:
                await self._send({"type": "http.response.body", "body": body[:size], "more_body": True})
                body = body[size:]
                await asyncio.sleep(size / drip.bytes_per_second)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _cut(self) -> Fault | None:
        return next((fault for fault in self._call.on_answer if fault.fault in _CUTS), None)

    async def _lose(self, cut: Fault) -> None:
        """End the connection: in order for a body that ends early, else with a reset."""
        self._lost = True
        connection = self._connection()
        if connection is None:
            return  # the client has gone already
        if cut.fault is FaultKind.TRUNCATE:
            connection.close()
        else:
            # Closing with nothing to linger for is what makes the system send a reset.
            linger = struct.pack("ii", 1, 0)
            connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.abort()
        # Let the server learn that the connection has gone before the application returns.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._connection() is connection:
                    await asyncio.sleep(0.001)


def _length(start: Message) -> int | None:
    """Return the length that an answer announces, None when it announces none."""
    lengths = [int(value) for name, value in start.get("headers", ()) if name.lower() == b"content-length"]
    return lengths[0] if lengths else None


def _limit(cut: Fault, length: int | None) -> int:
    """Return after how many bytes of its body an answer is cut; something is always missing."""
    if length is None:
        return cut.after_bytes or 0
    return length // 2 if cut.after_bytes is None else min(cut.after_bytes, length - 1)
