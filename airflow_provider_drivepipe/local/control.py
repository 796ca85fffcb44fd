"""``/drivepipe/health`` and ``/drivepipe/stats``, for those who hold the server's control token."""

from __future__ import annotations

import hmac
import os

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from airflow_provider_drivepipe.local.settings import HEALTH_PATH, STATS_PATH
from airflow_provider_drivepipe.local.stats import Stats


def control_routes(token: str, stats: Stats, models: ASGIApp) -> list[BaseRoute]:
    """Return what the MaxCompute port serves besides MaxCompute: health, counters, models."""

    def denied(request: Request) -> Response | None:
        given = request.headers.get("authorization", "").encode()
        if hmac.compare_digest(given, f"Bearer {token}".encode()):
            return None
        return JSONResponse({"error": "a valid control token is needed"}, 401)

    async def health(request: Request) -> Response:
        return denied(request) or JSONResponse({"status": "ok", "pid": os.getpid()})

    async def counters(request: Request) -> Response:
        return denied(request) or JSONResponse(stats.snapshot())

    return [
        Route(HEALTH_PATH, health, methods=["GET"]),
        Route(STATS_PATH, counters, methods=["GET"]),
        Mount("/models", app=models),
    ]
