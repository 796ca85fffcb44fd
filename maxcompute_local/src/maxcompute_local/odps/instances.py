"""Instances: submitted jobs, run as SQL here or handed to a task service, and remembered in SQLite."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from maxcompute_local import json_text
from maxcompute_local.durable import sync
from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import Column
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.sql import script
from maxcompute_local.odps.sql.engine import CANCELLED_CODE, Cancellation, Engine
from maxcompute_local.odps.sql.result import Rows
from maxcompute_local.odps.tasks import Instance, InstanceStatus, Task, TaskService

SQL_TASK = "SQL"
RETENTION_SECONDS = 30 * 86400.0
_SQL_WORKERS = 4
_INTERNAL_ERROR = "ODPS-0010000:System internal error - see the log of the local cloud"
_RETRY_SECONDS = 1.0
"""Between two tries to record the end of an instance, where the disk is full."""
_LOG = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE IF NOT EXISTS instances (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, tasks TEXT NOT NULL, status TEXT NOT NULL,
    start_time REAL NOT NULL, end_time REAL, error TEXT, result_text TEXT,
    cancelled INTEGER NOT NULL, result_rows INTEGER, result_columns TEXT);
CREATE INDEX IF NOT EXISTS instances_by_time ON instances (project, start_time);
CREATE TABLE IF NOT EXISTS instance_writes (
    instance_id TEXT PRIMARY KEY REFERENCES instances ON DELETE CASCADE, statements INTEGER NOT NULL);
"""
_COUNT_WRITE = (
    "INSERT INTO instance_writes VALUES (?, 1) ON CONFLICT DO UPDATE SET statements = statements + 1"
)


class Instances:
    """Creates, runs, finishes and recalls instances."""

    def __init__(self, database: Database, engine: Engine, results: Path) -> None:
        results.mkdir(parents=True, exist_ok=True)
        self._db = database
        self._engine = engine
        self._results = results
        self._lock = threading.Lock()
        self._services: dict[str, TaskService] = {}
        self._running: dict[str, Instance] = {}
        self._finishing: set[str] = set()
        self._cancellations: dict[str, Cancellation] = {}
        self._waiting: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(_SQL_WORKERS, thread_name_prefix="odps-sql")
        database.create(_TABLES)
        self.remove_old()
        self._load_running()

    def close(self) -> None:
        """Cancel running SQL and wait for it."""
        self._closed.set()
        with self._lock:
            cancellations = list(self._cancellations.values())
        for cancellation in cancellations:
            cancellation.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    # Starting up

    def remove_old(self) -> None:
        """Forget instances that ended long ago, with their results."""
        limit = time.time() - RETENTION_SECONDS
        with self._db.write() as db:
            old = db.execute(
                "SELECT id FROM instances WHERE end_time < ? AND status = ?",
                (limit, InstanceStatus.TERMINATED),
            ).fetchall()
            db.executemany("DELETE FROM instances WHERE id = ?", [(row["id"],) for row in old])
        for row in old:
            self._result_path(row["id"]).unlink(missing_ok=True)

    def _load_running(self) -> None:
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM instances WHERE status = ?", (InstanceStatus.RUNNING,)
            ).fetchall()
        for instance in map(_instance, rows):
            self._running[instance.id] = instance
            if instance.tasks[0].type == SQL_TASK:
                self._settle(instance)

    def _settle(self, instance: Instance) -> None:
        """End a script that the last server was stopped in, by what it had done."""
        with self._db.read() as db:
            row = db.execute(
                "SELECT statements FROM instance_writes WHERE instance_id = ?", (instance.id,)
            ).fetchone()
        done = 0 if row is None else row["statements"]
        wanted = _effective_statements(instance.tasks[0].query)
        if done and done == wanted:
            self.finish(instance, result_text="")
            return
        text = f"{done} of {wanted} statements had taken effect" if done else "no statement had taken effect"
        self.finish(instance, error=f"ODPS-0010000:System internal error - the server was restarted; {text}")

    def remove_leftovers(self) -> None:
        """Remove result files that no instance names. Only safe before the first request."""
        with self._db.read() as db:
            rows = db.execute("SELECT id FROM instances WHERE result_columns IS NOT NULL").fetchall()
        named = {self._result_path(row["id"]) for row in rows}
        for path in set(self._results.iterdir()) - named:
            path.unlink()

    def register(self, task_type: str, service: TaskService) -> None:
        """Hand tasks of a type to a service, beginning with those that ran when the server last ended."""
        with self._lock:
            self._services[task_type] = service
            left_over = [i for i in self._running.values() if i.tasks[0].type == task_type]
        for instance in left_over:
            service.recover(instance)

    # Running

    def create(self, project: str, job: ElementTree.Element) -> Instance:
        """Start a job; InvalidArgument when it has no task or one of a type that nobody runs."""
        tasks = tuple(
            replace(_task(node), guid=job.findtext("./Job/Guid") or "")
            for node in job.findall("./Job/Tasks/*")
        )
        if len(tasks) != 1:
            raise errors.invalid_argument(f"a job has exactly one task, this one has {len(tasks)}")
        task = tasks[0]
        if task.type == "SQLRT":
            raise errors.no_interactive_queries()
        service = self._services.get(task.type)
        if task.type != SQL_TASK and service is None:
            raise errors.invalid_argument(f"tasks of type {task.type} are not supported by the local cloud")
        now = time.time()
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(now)) + f"{int(now * 1000) % 1000:03d}"
        instance = Instance(f"{stamp}g{secrets.token_hex(5)}", project, tasks, now)
        if service is not None:
            return self._start(service, instance, task)
        self._insert(instance)
        cancellation = Cancellation()
        with self._lock:
            self._running[instance.id] = instance
            self._cancellations[instance.id] = cancellation
        self._pool.submit(self._run_sql, instance, task, cancellation)
        return instance

    def _start(self, service: TaskService, instance: Instance, task: Task) -> Instance:
        """Hand a new instance to its service; one that the service refuses has failed at once."""
        with self._lock:
            self._running[instance.id] = instance
        try:
            service.start(instance, task, lambda: self._insert(instance))
        except BaseException as error:
            with self._lock:
                self._running.pop(instance.id, None)
            if not isinstance(error, errors.OdpsError):
                raise
            with self._db.write():
                self._insert(instance)
                self._store_end(instance.id, time.time(), error=error.text)
            return self.get(instance.project, instance.id)
        return instance

    def _run_sql(self, instance: Instance, task: Task, cancellation: Cancellation) -> None:
        try:
            settings = {name: str(value) for name, value in task.settings.items()}
            # What a statement changes and that it did so become durable together: see _settle.
            with self._engine.storage.reading(), self._db.also(_COUNT_WRITE, (instance.id,)):
                result = self._engine.execute(
                    task.query, instance.project, settings, self._result_path(instance.id), cancellation
                )
            if result.rows is not None:
                sync(result.rows.path)
                sync(result.rows.path.parent)
        except errors.OdpsError as error:
            cancelled = error.odps_code == CANCELLED_CODE
            self._finish_sql(instance, error=error.text, cancelled=cancelled)
        except RecursionError:
            self._finish_sql(instance, error=errors.parse_error("the statement is nested too deeply").text)
        except Exception:  # noqa: BLE001 - whatever it is, the instance must not stay Running
            _LOG.exception("instance %s failed on a defect of the local cloud", instance.id)
            self._finish_sql(instance, error=_INTERNAL_ERROR)
        else:
            self._finish_sql(instance, result_text=result.text, rows=result.rows)

    def _finish_sql(self, instance: Instance, rows: Rows | None = None, **outcome: Any) -> None:
        """End an instance, as soon as there is room to record it."""
        if rows is None:
            self._result_path(instance.id).unlink(missing_ok=True)
        while True:
            try:
                self.finish(instance, rows=rows, **outcome)
            except (sqlite3.Error, OSError):
                _LOG.exception("cannot record how instance %s ended; trying again", instance.id)
                if self._closed.wait(_RETRY_SECONDS):
                    return  # the next server settles it
            else:
                return

    def stop(self, instance: Instance) -> None:
        """Cancel a running instance; InvalidStateSetting when it has ended."""
        if instance.terminated:
            raise errors.OdpsError(
                409, "InvalidStateSetting", f"instance {instance.id} has ended already", "ODPS-0420095"
            )
        cancellation = self._cancellations.get(instance.id)
        if cancellation is not None:
            cancellation.cancel()
            return
        service = self._services.get(instance.tasks[0].type)
        if service is not None:
            service.stop(instance)
        self.finish(instance, cancelled=True)

    def finish(
        self,
        instance: Instance,
        error: str | None = None,
        result_text: str | None = None,
        rows: Rows | None = None,
        cancelled: bool = False,
    ) -> None:
        """End an instance; does nothing when it has ended already."""
        with self._lock:
            live = self._running.get(instance.id)
            if live is None or instance.id in self._finishing:
                return
            self._finishing.add(instance.id)
        end_time = time.time()
        try:
            # Stored before anyone can see it, so that what a client saw survives a crash.
            self._store_end(instance.id, end_time, error, result_text, rows, cancelled)
        finally:
            with self._lock:
                self._finishing.discard(instance.id)
        with self._lock:
            self._running.pop(instance.id, None)
            for changed in {id(live): live, id(instance): instance}.values():
                changed.end_time = end_time
                changed.error = error
                changed.result_text = result_text
                changed.cancelled = cancelled
                changed.status = InstanceStatus.TERMINATED
            self._cancellations.pop(instance.id, None)
            waiting = self._waiting.pop(instance.id, set())
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def _store_end(
        self,
        instance_id: str,
        end_time: float,
        error: str | None = None,
        result_text: str | None = None,
        rows: Rows | None = None,
        cancelled: bool = False,
    ) -> None:
        with self._db.write() as db:
            db.execute(
                "UPDATE instances SET status = ?, end_time = ?, error = ?, result_text = ?, "
                "cancelled = ?, result_rows = ?, result_columns = ? WHERE id = ?",
                (
                    InstanceStatus.TERMINATED,
                    end_time,
                    error,
                    result_text,
                    cancelled,
                    None if rows is None else rows.count,
                    None if rows is None else json.dumps([asdict(c) for c in rows.columns]),
                    instance_id,
                ),
            )

    async def wait(self, instance_id: str, seconds: float) -> None:
        """Wait until an instance has ended, at most ``seconds``."""
        event = asyncio.Event()
        entry = (asyncio.get_running_loop(), event)
        with self._lock:
            if instance_id not in self._running:
                return
            self._waiting.setdefault(instance_id, set()).add(entry)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        finally:
            with self._lock:
                self._waiting.get(instance_id, set()).discard(entry)

    def service(self, instance: Instance) -> TaskService:
        """Return the service of an instance's task; InvalidArgument when there is none."""
        service = self._services.get(instance.tasks[0].type)
        if service is None:
            raise errors.invalid_argument(f"tasks of type {instance.tasks[0].type} take no such call")
        return service

    def has_service(self, instance: Instance) -> bool:
        """Return whether an instance is run by a task service."""
        return instance.tasks[0].type in self._services

    # Recalling

    def get(self, project: str, instance_id: str) -> Instance:
        """Return an instance; NoSuchObject when it does not exist in the project."""
        with self._lock:
            running = self._running.get(instance_id)
        if running is not None and running.project == project:
            return running
        row = self._row(project, instance_id)
        if row is None:
            raise errors.OdpsError(
                404, "NoSuchObject", f"The instance '{instance_id}' does not exist.", "ODPS-0420095"
            )
        return _instance(row)

    def list(
        self,
        project: str,
        *,
        status: str | None = None,
        started: tuple[float, float] = (-math.inf, math.inf),
        after: str | None = None,
        limit: int,
    ) -> list[Instance]:
        """Return the latest instances of a project, newest first.

        :param started: earliest and latest start, seconds since the epoch.
        :param after: id of the instance that the list goes on behind, None for its beginning.
        """
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM instances WHERE project = ? AND status = coalesce(?, status) "
                "AND start_time BETWEEN ? AND ? AND (? IS NULL OR "
                "(start_time, id) < (SELECT start_time, id FROM instances WHERE id = ?)) "
                "ORDER BY start_time DESC, id DESC LIMIT ?",
                (project, status, *started, after, after, limit),
            ).fetchall()
        return [_instance(row) for row in rows]

    def rows(self, instance: Instance) -> Rows | None:
        """Return the rows of a finished SELECT, None for any other instance."""
        row = self._row(instance.project, instance.id)
        if row is None or row["result_columns"] is None:
            return None
        columns = tuple(Column(**c) for c in json.loads(row["result_columns"]))
        return Rows(self._result_path(instance.id), row["result_rows"], columns)

    def _row(self, project: str, instance_id: str) -> sqlite3.Row | None:
        with self._db.read() as db:
            row: sqlite3.Row | None = db.execute(
                "SELECT * FROM instances WHERE id = ? AND project = ?", (instance_id, project)
            ).fetchone()
        return row

    def _insert(self, instance: Instance) -> None:
        tasks = json.dumps([asdict(task) for task in instance.tasks])
        with self._db.write() as db:
            db.execute(
                "INSERT INTO instances (id, project, tasks, status, start_time, cancelled) "
                "VALUES (?, ?, ?, ?, ?, 0)",
                (instance.id, instance.project, tasks, instance.status, instance.start_time),
            )

    def _result_path(self, instance_id: str) -> Path:
        return self._results / f"{instance_id}.parquet"


def _task(node: ElementTree.Element) -> Task:
    properties = {p.findtext("Name"): p.findtext("Value") for p in node.findall("./Config/Property")}
    return Task(
        type=node.tag,
        name=node.findtext("Name") or "",
        settings=_settings(properties.get("settings")),
        command=node.findtext("Command") or "",
        query=node.findtext("Query") or "",
    )


def _effective_statements(text: str) -> int:
    """Return how many statements of a script are more than settings of the script itself."""
    return sum(
        script.setting(statement) is None and script.assignment(statement) is None
        for statement in script.split_statements(text)
    )


def _settings(text: str | None) -> Mapping[str, Any]:
    try:
        settings = json_text.load(text or "{}")
    except ValueError as error:
        raise errors.invalid_argument("the task's settings are not JSON") from error
    if not isinstance(settings, dict):
        raise errors.invalid_argument("the task's settings are not a JSON object")
    return settings


def _instance(row: sqlite3.Row) -> Instance:
    return Instance(
        row["id"],
        row["project"],
        tuple(Task(**task) for task in json.loads(row["tasks"])),
        row["start_time"],
        InstanceStatus(row["status"]),
        row["end_time"],
        row["error"],
        row["result_text"],
        bool(row["cancelled"]),
    )
