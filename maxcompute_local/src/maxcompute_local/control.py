"""The control routes, for those who hold the server's control token: health, counters, faults, model rules.

Faults on demand never strike them.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from maxcompute_local import json_text
from maxcompute_local.faults.book import Faults
from maxcompute_local.faults.presets import preset
from maxcompute_local.faults.rules import Fault, FaultError
from maxcompute_local.models.script_rules import ModelRule, RuleError
from maxcompute_local.models.service import ModelService
from maxcompute_local.settings import (
    ENGINE_PATH,
    FAULTS_PATH,
    HEALTH_PATH,
    MODEL_RULES_PATH,
    STATS_PATH,
)
from maxcompute_local.stats import Stats

Handler = Callable[[Request], Awaitable[Any]]


def control_routes(
    token: str, stats: Stats, faults: Faults, models: ModelService, is_job: Callable[[str], bool]
) -> list[BaseRoute]:
    """Return what the MaxCompute port serves besides MaxCompute: the control routes, and models.

    :param is_job: says whether a bearer token is that of a running job, which may report on itself.
    """
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

    async def faults_in_force(request: Request) -> Any:
        if request.method == "POST":
            values = await _json(request)
            if isinstance(values, dict) and "preset" in values:
                return {"id": faults.add(preset(str(values.pop("preset")), values))}
            return {"id": faults.add(Fault.from_json(values))}
        if request.method == "DELETE":
            number = request.query_params.get("id")
            return {"dropped": faults.clear(None if number is None else _number(number))}
        return faults.describe()

    async def part_of_job(request: Request) -> Any:
        event = await _json(request)
        if not isinstance(event, dict):
            raise RuleError("expected an object")
        counts = event.get("add", {})
        if not isinstance(counts, dict) or not all(isinstance(count, int) for count in counts.values()):
            raise RuleError("add: expected counts")
        for name, count in counts.items():
            stats.add(f"maxframe.{name}", count)
        if "begin" not in event:
            return {}
        kind = f"maxframe.{event['begin']}"
        stats.add(kind)
        return {"faults": [{"fault": f.fault, "seconds": f.seconds} for f in faults.meet_job(kind)]}

    def is_owner(given: str) -> bool:
        return hmac.compare_digest(given.encode(), token.encode())

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, _guarded(is_owner, handler), methods=list(methods))

    return [
        route(HEALTH_PATH, health, "GET"),
        route(STATS_PATH, counters, "GET"),
        route(FAULTS_PATH, faults_in_force, "GET", "POST", "DELETE"),
        Route(ENGINE_PATH, _guarded(is_job, part_of_job), methods=["POST"]),
        route(MODEL_RULES_PATH, model_rules, "GET", "POST", "DELETE"),
        Mount("/models", app=models.app),
    ]


def _guarded(knows: Callable[[str], bool], handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Let only holders of a token through, and answer in JSON; 400 for a rule or fault that is wrong."""

    async def answer(request: Request) -> Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # In a thread: it may look the token up in a file.
        if scheme != "Bearer" or not await run_in_threadpool(knows, given):
            return JSONResponse({"error": "a valid control token is needed"}, 401)
        try:
            return JSONResponse(await handler(request))
        except (RuleError, FaultError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer


async def _json(request: Request) -> object:
    try:
        value: object = json_text.load(await request.body())
    except ValueError as error:
        raise RuleError("the request body is not JSON") from error
    return value


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise FaultError(f"id: {text!r} is not a number") from error
