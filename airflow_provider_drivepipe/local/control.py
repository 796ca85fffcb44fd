"""The control routes, for those who hold the server's control token: health, counters, rules of models.

Faults on demand never strike them.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from airflow_provider_drivepipe.local.models.script_rules import ModelRule, RuleError
from airflow_provider_drivepipe.local.models.service import ModelService
from airflow_provider_drivepipe.local.settings import HEALTH_PATH, MODEL_RULES_PATH, STATS_PATH
from airflow_provider_drivepipe.local.stats import Stats

Handler = Callable[[Request], Awaitable[Any]]


def control_routes(token: str, stats: Stats, models: ModelService) -> list[BaseRoute]:
    """Return what the MaxCompute port serves besides MaxCompute: the control routes, and models."""
    rules = models.rules

    async def health(_request: Request) -> Any:
        return {"status": "ok", "pid": os.getpid()}

    async def counters(_request: Request) -> Any:
        return stats.snapshot()

    async def model_rules(request: Request) -> Any:
        if request.method == "POST":
            return {"id": rules.add(ModelRule.from_json(await _json(request)))}
        if request.method == "DELETE":
            return {"dropped": rules.clear(request.query_params.get("model"))}
        return rules.describe()

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, _guarded(token, handler), methods=list(methods))

    return [
        route(HEALTH_PATH, health, "GET"),
        route(STATS_PATH, counters, "GET"),
        route(MODEL_RULES_PATH, model_rules, "GET", "POST", "DELETE"),
        Mount("/models", app=models.app),
    ]


def _guarded(token: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Let only holders of the token through, and answer in JSON; 400 for a rule that is wrong."""

    async def answer(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return JSONResponse({"error": "a valid control token is needed"}, 401)
        try:
            return JSONResponse(await handler(request))
        except RuleError as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer


async def _json(request: Request) -> object:
    try:
        value: object = json.loads(await request.body())
    except ValueError as error:
        raise RuleError("the request body is not JSON") from error
    return value
