"""The MaxCompute service of the local cloud: REST, tunnel, model catalog and LogView in one application."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from maxcompute_local import json_text
from maxcompute_local.odps import errors, logview, wire
from maxcompute_local.odps.auth import Authenticator, Tokens
from maxcompute_local.odps.catalog import DEFAULT_SCHEMA, OWNER, Catalog
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.instance_api import InstanceApi
from maxcompute_local.odps.instances import Instances
from maxcompute_local.odps.model_catalog import ModelCatalog, ModelSource
from maxcompute_local.odps.rest import MetaApi
from maxcompute_local.odps.sql.engine import Engine
from maxcompute_local.odps.storage import Storage, collect_garbage
from maxcompute_local.odps.storage_api import StorageApi
from maxcompute_local.odps.tasks import Instance, TaskService
from maxcompute_local.odps.tunnel import Tunnel
from maxcompute_local.odps.uploads import Uploads
from maxcompute_local.settings import HOST
from maxcompute_local.stats import Stats

_LOG = logging.getLogger(__name__)

GARBAGE_DELAY_SECONDS = 600.0
"""How long files that a table no longer names stay for readers that began before."""

_GARBAGE_INTERVAL_SECONDS = 60.0
_MAX_TOKEN_HOURS = 10 * 366 * 24
_SPOOL_BYTES = 8 * 1024 * 1024
_RESULT_WAIT_SECONDS = 60.0
_PREFIX = "/api"
_CATALOG_PATH = "/api/catalog/"
_STORAGE_API_PATH = "/api/storage/"


class OdpsService:
    """MaxCompute below one root folder, which no other process may use at the same time.

    ``credentials`` maps access key ids to secrets; ``projects`` are created when missing. ``extra_routes``
    are served beside, and look after their own authentication. ``app`` is the ASGI application; ``set_port``
    must be called with the port it is served on before the first request.
    """

    def __init__(
        self,
        root: Path,
        credentials: Mapping[str, str],
        projects: Sequence[str],
        models: ModelSource,
        stats: Stats,
        extra_routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._port = 0
        self._stats = stats
        self.database = self._database = Database(root / "catalog.sqlite")
        self._catalog = Catalog(self._database, projects)
        self._storage = Storage(root / "data")
        shutil.rmtree(root / "scratch", ignore_errors=True)  # what a killed server's queries spilled
        self._engine = engine = Engine(self._catalog, self._storage, root / "scratch", stats)
        self._instances = Instances(self._database, engine, root / "results")
        self.tokens = Tokens(self._database)
        self._authenticator = Authenticator(credentials, self.tokens)
        self._meta = MetaApi(self._catalog, self._storage, stats)
        self._instance_api = InstanceApi(self._instances, stats)
        self._uploads = Uploads(self._database, self._catalog, self._storage)
        self._tunnel = Tunnel(
            self._database, self._catalog, self._storage, self._uploads, self._instances, stats
        )
        self._storage_api = StorageApi(self._database, self._catalog, self._storage, self._uploads, stats)
        self._models = ModelCatalog(models, stats)
        self._clean_up()
        self._closed = threading.Event()
        self._collector = threading.Thread(target=self._collect, name="odps-garbage", daemon=True)
        self._collector.start()
        methods = ["GET", "PUT", "POST", "DELETE", "HEAD"]
        self.app = Starlette(
            routes=[*extra_routes, Route("/{path:path}", self._handle, methods=methods)],
            exception_handlers={Exception: _internal_error, ClientDisconnect: _nobody_there},
        )

    # For the server and the task services

    def set_port(self, port: int) -> None:
        """Set the port that clients are told to connect to."""
        self._port = port

    @property
    def address(self) -> str:
        """Return ``host:port``."""
        return f"{HOST}:{self._port}"

    @property
    def endpoint(self) -> str:
        """Return the endpoint that clients are configured with."""
        return f"http://{self.address}"

    def register_task_service(self, task_type: str, service: TaskService) -> None:
        """Hand tasks of a type to a service; ``recover`` is called for those left over from the last run."""
        self._instances.register(task_type, service)

    def finish_instance(
        self, instance: Instance, error: str | None = None, result_text: str | None = None
    ) -> None:
        """End an instance of a task service, well or with an error text; harmless when it has ended."""
        self._instances.finish(instance, error, result_text)

    def list_tables(self, project: str, prefix: str) -> list[str]:
        """Return the names of the tables in a project's default schema that start with ``prefix``."""
        return [table.name for table in self._catalog.tables(project, DEFAULT_SCHEMA, prefix)]

    def drop_table(self, project: str, name: str) -> None:
        """Drop a table of a project's default schema if it exists."""
        self._catalog.drop_table(project, DEFAULT_SCHEMA, name, if_exists=True)

    def close(self) -> None:
        """Cancel running SQL, wait for it and close the catalog."""
        self._closed.set()
        self._collector.join()
        self._instances.close()
        self._engine.close()
        self._database.close()

    # Garbage

    def _clean_up(self) -> None:
        """Remove what the last server left: garbage, and files that were written but never published."""
        self._forget_old()
        collect_garbage(self._catalog, self._storage, 0)
        needed = self._catalog.live_files() | self._uploads.open_files() | self._catalog.pinned_files()
        self._storage.remove(self._storage.files() - needed)
        self._storage.remove_empty_folders()
        self._instances.remove_leftovers()

    def _forget_old(self) -> None:
        self.tokens.forget_old()
        self._uploads.forget_old()
        self._tunnel.forget_old()
        self._storage_api.forget_old()

    def _collect(self) -> None:
        while not self._closed.wait(_GARBAGE_INTERVAL_SECONDS):
            try:
                self._forget_old()
                self._instances.remove_old()
                collect_garbage(self._catalog, self._storage, GARBAGE_DELAY_SECONDS)
            except Exception:  # noqa: BLE001 - whatever it is, it must not end the collection
                _LOG.exception("collecting garbage failed; it is tried again")

    # Requests

    async def _handle(self, request: Request) -> Response:
        request_id = uuid.uuid4().hex
        path = request.scope["path"]
        try:
            response = await self._dispatch(request, path)
        except errors.OdpsError as error:
            if path.startswith(_CATALOG_PATH):
                return wire.error_json(error, request_id)
            return wire.error_xml(error, request_id, self.address)
        response.headers.setdefault("x-odps-request-id", request_id)
        return response

    async def _dispatch(self, request: Request, path: str) -> Response:
        raw_path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        if path.startswith(f"{_PREFIX}/") and not path.startswith((_CATALOG_PATH, _STORAGE_API_PATH)):
            path = path.removeprefix(_PREFIX)
            raw_path = raw_path.removeprefix(_PREFIX)
        segments = [unquote(part) for part in raw_path.strip("/").split("/")]
        if segments == ["logview"]:
            return await run_in_threadpool(self._logview, request)
        query_string = request.scope["query_string"].decode("latin-1")
        headers = {name.lower(): value for name, value in request.headers.items()}
        await run_in_threadpool(
            self._authenticator.verify,
            request.method,
            f"{raw_path}?{query_string}" if query_string else raw_path,
            headers,
        )
        body = await _read_body(request)
        try:
            call = wire.Call(request.method, dict(request.query_params), headers, body)
            return await self._route(call, segments)
        finally:
            body.close()

    async def _route(self, call: wire.Call, segments: list[str]) -> Response:
        match segments:
            case ["logview", "host"]:
                return PlainTextResponse(self.endpoint)
            case ["webconsole", "host"]:
                return PlainTextResponse("")
            case ["catalogapi"]:
                return PlainTextResponse(self.address)
            case ["connection", "mcqa"]:
                raise errors.no_interactive_queries()
            case ["tenants"]:
                return _tenant()
            case ["api", "catalog", "v1alpha", *rest] if call.method == "GET":
                return await run_in_threadpool(self._models.handle, rest)
            case ["api", "storage", "v1", "projects", project, "schemas", schema, "tables", name, *rest]:
                return await run_in_threadpool(self._call_storage_api, call, project, schema, name, rest)
            case ["projects"]:
                return await run_in_threadpool(self._meta.projects, call)
            case ["projects", project, *rest]:
                known = await run_in_threadpool(self._has_project, project)
                if not known:
                    raise errors.no_such_project(project)
                return await self._route_in_project(call, project, rest)
        raise _not_implemented(call, segments)

    def _call_storage_api(
        self, call: wire.Call, project: str, schema: str, name: str, rest: Sequence[str]
    ) -> Response:
        if not self._catalog.has_project(project):
            raise errors.no_such_project(project)
        return self._storage_api.handle(call, self._catalog.table(project, schema.lower(), name), rest)

    def _has_project(self, project: str) -> bool:
        return self._catalog.has_project(project) or self._models.has_project(project)

    async def _route_in_project(self, call: wire.Call, project: str, segments: list[str]) -> Response:
        schema = call.query.get("curr_schema") or DEFAULT_SCHEMA
        if segments[:1] == ["schemas"] and len(segments) > 2:
            schema, segments = segments[1], segments[2:]
        if schema.lower() == project.lower() and schema.lower() not in self._catalog.schemas(project):
            # Clients of other databases take the project for a schema.
            schema = DEFAULT_SCHEMA
        match segments:
            case []:
                return self._meta.project(call, project)
            case ["schemas"]:
                return await run_in_threadpool(self._meta.schemas, call, project)
            case ["schemas", name]:
                return await run_in_threadpool(self._meta.schema, call, project, name)
            case ["tunnel"]:
                return PlainTextResponse(self.address)
            case ["logs"]:
                return Response()
            case ["authorization"]:
                return await run_in_threadpool(self._authorization, call)
            case ["tables"]:
                return await run_in_threadpool(self._meta.tables, call, project, schema)
            case ["tables", name] | ["tables", name, "preview"]:
                return await run_in_threadpool(self._table, call, project, schema, name, segments[2:])
            case ["instances"] if call.method == "POST":
                return await run_in_threadpool(self._instance_api.create, call, project, self.endpoint)
            case ["instances"]:
                return await run_in_threadpool(self._instance_api.list, call, project)
            case ["instances", instance_id] if self._tunnel.handles(call):
                return await self._result(call, project, instance_id)
            case ["instances", instance_id]:
                return await self._instance_api.handle(call, project, instance_id)
        raise _not_implemented(call, segments)

    def _table(self, call: wire.Call, project: str, schema: str, name: str, rest: Sequence[str]) -> Response:
        table = self._catalog.table(project, schema.lower(), name)
        if rest:
            return self._meta.preview(call, table)
        if self._tunnel.handles(call):
            return self._tunnel.table(call, table)
        if call.method not in ("GET", "HEAD"):
            raise _not_implemented(call, ["tables", name])
        return self._meta.table(call, table)

    async def _result(self, call: wire.Call, project: str, instance_id: str) -> Response:
        await self._instances.wait(instance_id, _RESULT_WAIT_SECONDS)
        instance = await run_in_threadpool(self._instances.get, project, instance_id)
        return await run_in_threadpool(self._tunnel.result, call, instance)

    def _authorization(self, call: wire.Call) -> Response:
        if "sign_bearer_token" in call.query:
            self._stats.count("odps.sign_bearer_token")
            try:
                wanted = json_text.load(call.body.read())
                hours = float(wanted.get("expires_in_hours") or 24)
            except (ValueError, AttributeError, TypeError, OverflowError) as error:
                raise errors.invalid_argument("the token request is not a JSON object") from error
            if not 0 < hours <= _MAX_TOKEN_HOURS:
                raise errors.invalid_argument(f"a token lives for at most {_MAX_TOKEN_HOURS} hours")
            token = self.tokens.issue(logview.purpose_of_policy(wanted.get("policy")), hours * 3600)
            return wire.xml(f"<Authorization>{wire.element('Result', token)}</Authorization>")
        self._stats.count("odps.security_query")
        question = (call.xml().findtext("Query") or "").strip().lower()
        if question != "whoami":
            raise errors.invalid_argument(f"security query {question!r} is not supported by the local cloud")
        answer = json.dumps({"DisplayName": OWNER, "ID": "1"})
        return wire.xml(f"<Authorization>{wire.element('Result', answer)}</Authorization>")

    def _logview(self, request: Request) -> Response:
        self._stats.count("odps.logview")
        query = request.query_params
        return logview.page(
            self._instances,
            self.tokens,
            query.get("p", ""),
            query.get("i", ""),
            query.get("token", ""),
            query.get("dagId"),
        )


async def _read_body(request: Request) -> IO[bytes]:
    """Return the body, spooled to disk when it is large."""
    body = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - closed by the caller
    try:
        async for chunk in request.stream():
            if chunk:
                await _append(body, chunk)
    except ClientDisconnect:
        body.close()
        raise
    body.seek(0)
    return body


async def _append(body: tempfile.SpooledTemporaryFile[bytes], chunk: bytes) -> None:
    if body.tell() + len(chunk) > _SPOOL_BYTES:
        await run_in_threadpool(body.write, chunk)
    else:
        body.write(chunk)


def _tenant() -> Response:
    return JSONResponse(
        {
            "Tenant": {
                "Name": "local",
                "OwnerId": "local",
                "TenantId": "local",
                "TenantState": "NORMAL",
                "CreateTime": 0,
                "UpdateTime": 0,
                "TenantMeta": {},
                "Parameters": {},
            }
        }
    )


def _not_implemented(call: wire.Call, segments: Sequence[str]) -> errors.OdpsError:
    return errors.not_supported(f"{call.method} /{'/'.join(segments)}")


async def _nobody_there(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _internal_error(_request: Request, _error: Exception) -> Response:
    # The server logs the exception itself; its text may hold anything, so it stays out of the answer.
    error = errors.OdpsError(
        500, "InternalServerError", "System internal error - see the log of the local cloud", "ODPS-0010000"
    )
    return wire.error_xml(error, uuid.uuid4().hex, "")
