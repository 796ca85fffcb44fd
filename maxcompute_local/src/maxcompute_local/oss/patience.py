"""Answers that take long: clients give up when no byte comes for some time (20 s in the SDK)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from starlette.responses import Response, StreamingResponse

from maxcompute_local.oss import markup

PATIENT_SECONDS = 5.0
"""Time after which, and then in which intervals, a client hears that its answer is being made."""


async def patiently(answer: Coroutine[Any, Any, Response]) -> Response:
    """Return an XML answer, or one that begins with white space while it is being made, as XML allows.

    Such a long one lacks the headers that only its end would tell. An error that comes so late closes the
    connection, after which clients try again.
    """
    making = asyncio.create_task(answer)
    await asyncio.wait({making}, timeout=PATIENT_SECONDS)
    if making.done():
        return making.result()
    return StreamingResponse(_in_time(making), media_type="application/xml")


async def _in_time(making: asyncio.Task[Response]) -> AsyncIterator[bytes]:
    declaration = markup.document("")
    yield declaration
    while not making.done():
        await asyncio.wait({making}, timeout=PATIENT_SECONDS)
        if not making.done():
            yield b"\n"
    yield bytes(making.result().body).removeprefix(declaration)
