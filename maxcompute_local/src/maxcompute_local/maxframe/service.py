"""The MaxFrame task of MaxCompute instances: a session is an instance, its methods are ``PUT …?info`` calls.

The server stores a DAG as bytes and reads what its process has written; it never unpickles a user's data.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgpack

from maxcompute_local import json_text
from maxcompute_local.maxframe import logview
from maxcompute_local.maxframe.dags import JOB_PURPOSE, Addresses, Dags, Tokens
from maxcompute_local.maxframe.engine import environments
from maxcompute_local.maxframe.engine import job as files
from maxcompute_local.maxframe.engine.job import read_json
from maxcompute_local.maxframe.state import Dag, DagStatus, Session, StateStore
from maxcompute_local.maxframe.workers import Worker
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.errors import invalid_argument
from maxcompute_local.odps.tasks import Instance, Task
from maxcompute_local.stats import Stats

__all__ = ["JOB_PURPOSE", "Addresses", "MaxFrameService"]

logger = logging.getLogger(__name__)

_RECYCLE_DELAY_SECONDS = 120.0
_KEEP_CLOSED_SESSIONS_SECONDS = 7 * 86400.0
_KEEP_UNUSED_ENVIRONMENTS_SECONDS = 30 * 86400.0
_EXPIRY_POLL_SECONDS = 0.5
_PURGE_SECONDS = 3600.0


class Odps(Protocol):
    """What this service needs of the MaxCompute service."""

    @property
    def database(self) -> Database:
        """The database of its instances."""
        ...

    @property
    def tokens(self) -> Tokens:
        """The service's bearer tokens, which are in that database."""
        ...

    def list_tables(self, project: str, prefix: str) -> Iterable[str]:
        """Return names of the tables that start with a prefix."""
        ...

    def drop_table(self, project: str, name: str) -> None:
        """Drop a table; one that is gone is no error."""
        ...

    def finish_instance(self, instance: Instance) -> None:
        """Note that an instance has ended."""
        ...


@dataclass
class _Use:
    """What this server knows of an open session: when it was last used, on a clock that never goes back."""

    instance: Instance
    last: float = field(default_factory=time.monotonic)
    messages_read: dict[str, int] = field(default_factory=dict)
    """How many of a DAG's messages the client has been given; not kept over a restart."""


@dataclass(frozen=True)
class _Release:
    """Tables that a client let go of when its session had had ``dag_count`` DAGs; ``due`` is monotonic."""

    session: Session
    names: set[str]
    dag_count: int
    due: float


class MaxFrameService:
    """Runs MaxFrame sessions: a ``TaskService``.

    :param root: folder of the sessions.
    :param odps: the MaxCompute service, for tokens and the sessions' temporary tables.
    :param oss_root: folder with one folder per bucket, which mounts show.
    :param addresses: called when a DAG is started, by when the sockets are bound.
    :param worker: runs DAGs.
    """

    def __init__(
        self,
        root: Path,
        odps: Odps,
        oss_root: Path,
        stats: Stats,
        *,
        addresses: Callable[[], Addresses],
        worker: Worker,
    ) -> None:
        self._odps = odps
        self._db = odps.database
        self._stats = stats
        self._store = StateStore(root.resolve(), self._db)
        self._store.remove_leftovers()
        self._lock = threading.Lock()
        self._uses: dict[str, _Use] = {}
        self._releases: list[_Release] = []
        self._worker = worker
        self._closed = threading.Event()
        self._dags = Dags(
            self._store,
            self._db,
            odps.tokens,
            stats,
            worker=worker,
            oss_root=oss_root,
            addresses=addresses,
            on_ended=self._dag_ended,
        )
        self._dags.recover()
        self._tidier = threading.Thread(target=self._tidy_up, name="maxframe-expiry", daemon=True)
        self._tidier.start()

    # The protocol of task services.

    def start(self, instance: Instance, task: Task, record: Callable[[], None]) -> None:
        """Open a session; OdpsError for a command other than CREATE_SESSION."""
        self._stats.count("maxframe.create_session")
        if task.command != "CREATE_SESSION":
            raise invalid_argument(f"MaxFrame task with command {task.command!r}; expected CREATE_SESSION")
        settings = _json_object(task.settings.get("odps.maxframe.settings"))
        with self._db.write():
            record()
            self._store.add_session(Session(instance.id, instance.project, settings, started=time.time()))
        self._use(instance)
        self._dags.warm_up()

    def recover(self, instance: Instance) -> None:
        """Take a session up again after a restart of the server, or close it for good."""
        session = self._store.session(instance.id)
        if session is None:
            logger.error("nothing is known of MaxFrame session %s; it is closed", instance.id)
        elif session.closed is None:
            self._use(instance)
            return
        else:
            # The last server was killed while it closed the session.
            self._finish_closing(session)
        self._odps.finish_instance(instance)

    def stop(self, instance: Instance) -> None:
        """Close a session: cancel its DAGs, wait for them to end, and drop its temporary tables."""
        session = self._store.session(instance.id)
        if session is None:
            return
        if session.closed is None:
            self._stats.count("maxframe.stop_session")
            self._store.close_session(session.id)
        # Also when another call has begun to close it: the instance ends when the first of them is through.
        self._finish_closing(session)

    def _finish_closing(self, session: Session) -> None:
        with self._lock:
            self._uses.pop(session.id, None)
        self._dags.end_all(session.id)
        self._drop_tables(session)

    def get_info(self, instance: Instance, task_name: str, key: str) -> str:  # noqa: ARG002  (a TaskService)
        """Answer ``status``, which clients poll until the session is ready."""
        if key != "status":
            return "{}"
        session = self._store.session(instance.id)
        is_open = session is not None and session.closed is None
        return json.dumps({"status": "Running" if is_open else "Terminated"})

    def put_info(self, instance: Instance, task_name: str, method: str, value: str) -> str:  # noqa: ARG002
        """Run a method of the session protocol. A closed session answers ``{"result": null}``."""
        session = self._store.session(instance.id)
        if session is None or session.closed is not None:
            return json.dumps({"result": None})
        self._use(instance).last = time.monotonic()
        handlers: dict[str, Callable[[Session, dict[str, Any]], Any]] = {
            "CREATE_SESSION": self._get_session,
            "GET_SESSION": self._get_session,
            "SUBMIT_DAG": self._submit_dag,
            "GET_DAG_INFO": self._get_dag_info,
            "CANCEL_DAG": self._cancel_dag,
        }
        request = _json_object(value)
        if method == "DECREF":
            self._release(session, str(request.get("tileable_keys", "")).split(","))
            return json.dumps({"result": ""})
        if method == "DELETE_SESSION":
            self.stop(instance)
            self._odps.finish_instance(instance)
            return json.dumps({"result": ""})
        if method not in handlers:
            raise invalid_argument(f"unknown MaxFrame method {method!r}")
        return _encode(handlers[method](session, request), request.get("output_format", "msgpack"))

    def logview(self, instance: Instance, dag_id: str | None) -> str:
        """Return the session's DAGs, or one of them, as HTML."""
        if self._store.session(instance.id) is None:
            return logview.unknown_session()
        return logview.render(dag for dag in self._store.dags(instance.id) if dag_id in (None, dag.id))

    def close(self) -> None:
        """End all running DAGs as failed, and the engine with them; sessions stay usable after a restart."""
        self._closed.set()
        self._tidier.join()
        self._dags.close()

    # Methods of the session protocol.

    def _get_session(self, session: Session, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "session_id": session.id,
            "settings": {},
            "start_timestamp": session.started,
            "idle_timestamp": None,
            "dag_infos": {dag.id: _dag_info(dag, []) for dag in self._store.dags(session.id)},
        }

    def _submit_dag(self, session: Session, request: Mapping[str, Any]) -> dict[str, Any] | None:
        self._stats.count("maxframe.submit_dag")
        try:
            graph = base64.b64decode(request["dag"], validate=True)
            inputs = base64.b64decode(request.get("managed_input_infos") or "", validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise invalid_argument(f"SUBMIT_DAG without a readable DAG: {error}") from error
        dag = self._dags.submit(session.id, graph, inputs, _changed_settings(request))
        return _dag_info(dag, []) if dag is not None else None

    def _get_dag_info(self, session: Session, request: Mapping[str, Any]) -> dict[str, Any] | None:
        self._stats.count("maxframe.get_dag_info")
        dag = self._store.dag(session.id, str(request.get("dag_id")))
        return _dag_info(dag, self._unread_messages(dag)) if dag is not None else None

    def _cancel_dag(self, session: Session, request: Mapping[str, Any]) -> dict[str, Any] | None:
        self._stats.count("maxframe.cancel_dag")
        dag = self._store.dag(session.id, str(request.get("dag_id")))
        if dag is None:
            return None
        self._dags.cancel(dag)
        dag = self._store.dag(session.id, dag.id)
        return _dag_info(dag, []) if dag is not None else None

    def _unread_messages(self, dag: Dag) -> list[dict[str, Any]]:
        """Return the messages that the client has not been given yet."""
        path = dag.path(files.MESSAGES_FILE)
        with self._lock:
            use = self._uses.get(dag.session_id)
            if use is None or not path.exists():
                return []
            lines = path.read_text(encoding="utf-8").splitlines()
            unread = lines[use.messages_read.get(dag.id, 0) :]
            use.messages_read[dag.id] = len(lines)
        return [json.loads(line) for line in unread]

    # Sessions.

    def _use(self, instance: Instance) -> _Use:
        with self._lock:
            return self._uses.setdefault(instance.id, _Use(instance))

    def _dag_ended(self, dag: Dag) -> None:
        session = self._store.session(dag.session_id)
        if session is not None and session.closed is not None:
            # It may have made tables after those of the session were dropped.
            self._drop_tables(session)

    def _tidy_up(self) -> None:
        """Close sessions whose time is over, and delete what is old and in no use, until the service ends."""
        purged = -math.inf
        while not self._closed.wait(_EXPIRY_POLL_SECONDS):
            try:
                self._dags.retry()
                self._expire_sessions()
                self._drop_released()
                if time.monotonic() - purged > _PURGE_SECONDS:
                    purged = time.monotonic()
                    self._purge(time.time())
            except Exception:
                logger.exception("tidying up after MaxFrame sessions failed; it goes on")

    def _purge(self, now: float) -> None:
        self._store.purge_sessions_closed_before(now - _KEEP_CLOSED_SESSIONS_SECONDS)
        folder = self._store.root / files.ENVIRONMENTS_DIRECTORY
        environments.purge(folder, now - _KEEP_UNUSED_ENVIRONMENTS_SECONDS, keep=self._worker.python)

    def _expire_sessions(self) -> None:
        """Close sessions that have been open, or left alone, for longer than their settings allow."""
        with self._lock:
            uses = dict(self._uses)
        open_sessions = {session.id: session for session in self._store.open_sessions()}
        at_work = {dag.session_id for dag in self._store.live_dags()}
        for session_id, use in uses.items():
            if session_id not in open_sessions:
                with self._lock:
                    self._uses.pop(session_id, None)
                continue
            if session_id in at_work:  # a DAG that runs is use
                use.last = time.monotonic()
            reason = _expiry(open_sessions[session_id], use.last)
            if reason is not None and not self._closed.is_set():
                logger.info("MaxFrame session %s is closed: %s", session_id, reason)
                self.stop(use.instance)
                self._odps.finish_instance(use.instance)

    def _release(self, session: Session, keys: Iterable[str]) -> None:
        """Drop what the client no longer needs, once it has had time to need it again.

        Equal data has equal keys, so a client that lets go of a frame may have uploaded the same one anew
        just before. After the session's ``recycle_delay_seconds`` tables go, unless a DAG was submitted
        since: then they go with the session.
        """
        names = {f"tmp_mf_{session.id.lower()}_{key.lower()}" for key in keys}
        delay = float(session.settings.get("session.recycle_delay_seconds", _RECYCLE_DELAY_SECONDS))
        release = _Release(session, names, self._store.count_dags(session.id), time.monotonic() + delay)
        with self._lock:
            self._releases.append(release)

    def _drop_released(self) -> None:
        """Drop the tables that were released long enough ago."""
        now = time.monotonic()
        with self._lock:
            due = [release for release in self._releases if release.due <= now]
            self._releases = [release for release in self._releases if release.due > now]
        for release in due:
            session = self._store.session(release.session.id)
            is_open = session is not None and session.closed is None
            if is_open and self._store.count_dags(release.session.id) == release.dag_count:
                self._drop_tables(release.session, release.names)

    def _drop_tables(self, session: Session, names: set[str] | None = None) -> None:
        """Drop a session's temporary tables: those with these names, or all."""
        for name in list(self._odps.list_tables(session.project, f"tmp_mf_{session.id.lower()}_")):
            if names is None or name in names:
                self._odps.drop_table(session.project, name)


def _expiry(session: Session, last_used: float) -> str | None:
    """Return why a session has to be closed, None while it may stay open."""
    spent = {
        "session.max_alive_seconds": time.time() - session.started,
        "session.max_idle_seconds": time.monotonic() - last_used,
    }
    for name, seconds in spent.items():
        allowed = session.settings.get(name)
        if allowed and seconds > float(allowed):
            return f"{name}={allowed}"
    return None


def _json_object(text: object) -> dict[str, Any]:
    """Return a JSON object that a client sent; nothing, also ``null``, is an empty one."""
    try:
        value = json_text.load(text or "{}") if isinstance(text, str | None) else text
    except ValueError as error:
        raise invalid_argument(f"a value of the session protocol is not JSON: {error}") from error
    if value is not None and not isinstance(value, dict):
        raise invalid_argument("a value of the session protocol is not a JSON object")
    return value or {}


def _changed_settings(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that changed in the client since it opened the session."""
    outer = _json_object(request.get("new_settings"))
    return _json_object(outer.get("odps.maxframe.settings"))


def _dag_info(dag: Dag, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a DAG in the wire form of ``maxframe.protocol.DagInfo``."""
    progress = read_json(dag.path(files.PROGRESS_FILE)) or {}
    info: dict[str, Any] = {
        "session_id": dag.session_id,
        "dag_id": dag.id,
        "status": dag.status.value,
        "progress": 1.0 if dag.status is DagStatus.SUCCEEDED else progress.get("fraction", 0.0),
        "start_timestamp": dag.started,
    }
    optional = {
        "end_timestamp": dag.ended,
        "tileable_to_result_infos": dag.results,
        "error_info": dag.error,
        "display_messages": messages,
    }
    return info | {name: value for name, value in optional.items() if value}


def _encode(result: dict[str, Any] | None, output_format: str) -> str:
    if output_format == "msgpack":
        packed: bytes = msgpack.packb(result)
    elif output_format == "json":
        packed = json.dumps(result).encode()
    else:
        raise invalid_argument(f"output format {output_format!r} is not supported; use msgpack or json")
    return json.dumps({"result": base64.b64encode(packed).decode()})
