"""The MaxFrame task of MaxCompute instances: a session is an instance, its methods are ``PUT …?info`` calls.

The server stores a DAG as bytes and reads what its process has written; it never unpickles a user's data.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgpack

from airflow_provider_drivepipe.local import json_text
from airflow_provider_drivepipe.local.maxframe import logview
from airflow_provider_drivepipe.local.maxframe.engine import environments
from airflow_provider_drivepipe.local.maxframe.engine import job as files
from airflow_provider_drivepipe.local.maxframe.engine.errors import describe_exit, text_error
from airflow_provider_drivepipe.local.maxframe.engine.job import Job, is_alive, read_json
from airflow_provider_drivepipe.local.maxframe.engine.mounts import remove_links
from airflow_provider_drivepipe.local.maxframe.launcher import EngineLauncher
from airflow_provider_drivepipe.local.maxframe.state import Dag, DagStatus, Session, StateStore
from airflow_provider_drivepipe.local.odps.errors import OdpsError, invalid_argument
from airflow_provider_drivepipe.local.odps.tasks import Instance, Task
from airflow_provider_drivepipe.local.stats import Stats

logger = logging.getLogger(__name__)

JOB_PURPOSE = "maxframe:"
"""Beginning of the purpose of every DAG's token."""

_KILL_AFTER_SECONDS = 5.0
_STOP_WITHIN_SECONDS = 10.0
_ORPHAN_POLL_SECONDS = 0.2
_TOKEN_SECONDS = 7 * 86400.0
"""Longest life of a DAG's token, which is revoked earlier when the same server sees the DAG's end."""
_RECYCLE_DELAY_SECONDS = 120.0
_KEEP_CLOSED_SESSIONS_SECONDS = 7 * 86400.0
_KEEP_UNUSED_ENVIRONMENTS_SECONDS = 30 * 86400.0
_EXPIRY_POLL_SECONDS = 0.5
_PURGE_SECONDS = 3600.0


class Tokens(Protocol):
    """Bearer tokens of the MaxCompute service."""

    def issue(self, purpose: str, lifetime_seconds: float | None = None) -> str:
        """Return a new token."""
        ...

    def revoke(self, token: str) -> None:
        """Make a token invalid."""
        ...


class Odps(Protocol):
    """What this service needs of the MaxCompute service."""

    @property
    def tokens(self) -> Tokens:
        """The service's bearer tokens."""
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


@dataclass(frozen=True)
class Addresses:
    """Where DAG processes reach the local cloud: base URLs of MaxCompute and OSS, and the region of OSS."""

    odps: str
    oss: str
    oss_region: str


class MaxFrameService:
    """Runs MaxFrame sessions: a ``TaskService``.

    :param root: folder of the sessions.
    :param odps: the MaxCompute service, for tokens and the sessions' temporary tables.
    :param oss_root: folder with one folder per bucket, which mounts show.
    :param addresses: called when a DAG is started, by when the sockets are bound.
    :param python: interpreter that runs DAGs; it needs maxframe and what the DAGs' functions require.
    """

    def __init__(
        self,
        root: Path,
        odps: Odps,
        oss_root: Path,
        stats: Stats,
        *,
        addresses: Callable[[], Addresses],
        python: str = sys.executable,
    ) -> None:
        self._odps = odps
        self._oss_root = oss_root
        self._stats = stats
        self._addresses = addresses
        self._store = StateStore(root.resolve())
        self._changed = threading.Condition(threading.RLock())
        self._sessions: dict[str, Session] = {}
        self._dags: dict[str, dict[str, Dag]] = {}
        self._instances: dict[str, Instance] = {}
        self._last_used: dict[str, float] = {}
        self._python = Path(python)
        self._closing = False
        self._timers: list[threading.Timer] = []
        self._closed = threading.Event()
        threading.Thread(target=self._tidy_up, name="maxframe-expiry", daemon=True).start()
        self._launcher = EngineLauncher(
            python, self._store.root, on_ended=self._process_ended, on_lost=self._host_lost
        )

    # The protocol of task services.

    def start(self, instance: Instance, task: Task) -> None:
        """Open a session; OdpsError for a command other than CREATE_SESSION."""
        self._stats.count("maxframe.create_session")
        if task.command != "CREATE_SESSION":
            raise invalid_argument(f"MaxFrame task with command {task.command!r}; expected CREATE_SESSION")
        settings = _json_object(task.settings.get("odps.maxframe.settings"))
        session = Session(instance.id, instance.project, settings, started=time.time())
        self._store.save_session(session)
        with self._changed:
            self._sessions[session.id] = session
            self._dags[session.id] = {}
            self._watch(instance)
        self._launcher.warm_up()

    def recover(self, instance: Instance) -> None:
        """Take a session up again after a restart of the server, and follow or fail its running DAGs."""
        with self._changed:
            if self._session(instance.id) is None:
                logger.error("MaxFrame session %s has no state on disk; it is closed", instance.id)
                self._odps.finish_instance(instance)
                return
            session = self._sessions[instance.id]
            if session.closed is None:
                self._watch(instance)
            for dag in self._dags[instance.id].values():
                if not dag.status.terminal:
                    self._recover_dag(dag, "the local cloud ended before the DAG had begun; submit it again")
                    if session.closed is not None:
                        self._cancel(dag)
        if session.closed is not None:
            # The last server was killed while it closed the session.
            self._drop_tables(session)
            self._odps.finish_instance(instance)

    def stop(self, instance: Instance) -> None:
        """Close a session: cancel its DAGs, wait for them to end, and drop its temporary tables."""
        with self._changed:
            session = self._session(instance.id)
            if session is None or session.closed is not None:
                return
            self._stats.count("maxframe.stop_session")
            session.closed = time.time()
            self._instances.pop(session.id, None)
            self._store.save_session(session)
            running = [dag for dag in self._dags[session.id].values() if not dag.status.terminal]
        for dag in running:
            self._cancel(dag)
        self._wait_until_ended(running, _STOP_WITHIN_SECONDS)
        self._drop_tables(session)

    def get_info(self, instance: Instance, task_name: str, key: str) -> str:  # noqa: ARG002  (a TaskService)
        """Answer ``status``, which clients poll until the session is ready."""
        if key != "status":
            return "{}"
        session = self._session(instance.id)
        is_open = session is not None and session.closed is None
        return json.dumps({"status": "Running" if is_open else "Terminated"})

    def put_info(self, instance: Instance, task_name: str, method: str, value: str) -> str:  # noqa: ARG002
        """Run a method of the session protocol. A closed session answers ``{"result": null}``."""
        session = self._session(instance.id)
        if session is None or session.closed is not None:
            return json.dumps({"result": None})
        self._last_used[session.id] = time.monotonic()
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
        if self._session(instance.id) is None:
            return logview.unknown_session()
        with self._changed:
            dags = [dag for dag in self._dags[instance.id].values() if dag_id in (None, dag.id)]
        return logview.render(dags)

    def close(self) -> None:
        """End all running DAGs as failed, and the engine with them; sessions stay usable after a restart."""
        with self._changed:
            self._closing = True
            self._closed.set()
            running = [
                dag for dags in self._dags.values() for dag in dags.values() if not dag.status.terminal
            ]
        for dag in running:
            self._kill(dag)
        self._wait_until_ended(running, _STOP_WITHIN_SECONDS)
        self._launcher.close(_STOP_WITHIN_SECONDS)
        with self._changed:
            # A waiting timer would hold the service, and all that it knows, until the interpreter exits.
            for timer in self._timers:
                timer.cancel()

    # Methods of the session protocol.

    def _get_session(self, session: Session, _request: Mapping[str, Any]) -> dict[str, Any]:
        with self._changed:
            return {
                "session_id": session.id,
                "settings": {},
                "start_timestamp": session.started,
                "idle_timestamp": None,
                "dag_infos": {dag.id: _dag_info(dag, []) for dag in self._dags[session.id].values()},
            }

    def _submit_dag(self, session: Session, request: Mapping[str, Any]) -> dict[str, Any]:
        self._stats.count("maxframe.submit_dag")
        try:
            graph = base64.b64decode(request["dag"], validate=True)
            inputs = base64.b64decode(request.get("managed_input_infos") or "", validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise invalid_argument(f"SUBMIT_DAG without a readable DAG: {error}") from error
        dag = self._store.new_dag(session)
        dag.path(files.GRAPH_FILE).write_bytes(graph)
        dag.path(files.INPUTS_FILE).write_bytes(inputs)
        dag.save()
        with self._changed:
            if self._closing:
                raise OdpsError(503, "ServiceUnavailable", "the local cloud is shutting down")
            session.settings.update(_changed_settings(request))
            self._store.save_session(session)
            self._dags[session.id][dag.id] = dag
            settings = dict(session.settings)
        addresses = self._addresses()
        dag.token = self._odps.tokens.issue(f"{JOB_PURPOSE}{session.id}:{dag.id}", _TOKEN_SECONDS)
        self._launcher.run(
            Job(
                session_id=session.id,
                dag_id=dag.id,
                directory=str(dag.directory),
                project=session.project,
                endpoint=addresses.odps,
                token=dag.token,
                oss_root=str(self._oss_root.resolve()),
                oss_endpoint=addresses.oss,
                oss_region=addresses.oss_region,
                settings=settings,
            )
        )
        return _dag_info(dag, [])

    def _get_dag_info(self, session: Session, request: Mapping[str, Any]) -> dict[str, Any] | None:
        self._stats.count("maxframe.get_dag_info")
        with self._changed:
            dag = self._dags[session.id].get(str(request.get("dag_id")))
            return _dag_info(dag, _unread_messages(dag)) if dag is not None else None

    def _cancel_dag(self, session: Session, request: Mapping[str, Any]) -> dict[str, Any] | None:
        self._stats.count("maxframe.cancel_dag")
        with self._changed:
            dag = self._dags[session.id].get(str(request.get("dag_id")))
        if dag is None:
            return None
        self._cancel(dag)
        with self._changed:
            return _dag_info(dag, [])

    # Sessions.

    def _session(self, session_id: str) -> Session | None:
        with self._changed:
            session = self._sessions.get(session_id)
            if session is None:
                session = self._store.load_session(session_id)
                if session is not None:
                    self._sessions[session_id] = session
                    self._dags[session_id] = {dag.id: dag for dag in self._store.load_dags(session_id)}
            return session

    def _watch(self, instance: Instance) -> None:
        self._instances[instance.id] = instance
        self._last_used[instance.id] = time.monotonic()

    def _tidy_up(self) -> None:
        """Close sessions whose time is over, and delete what is old and in no use, until the service ends."""
        purged = -math.inf
        while not self._closed.wait(_EXPIRY_POLL_SECONDS):
            try:
                self._expire_sessions()
                if time.monotonic() - purged > _PURGE_SECONDS:
                    purged = time.monotonic()
                    self._purge(time.time())
            except Exception:
                logger.exception("tidying up after MaxFrame sessions failed; it goes on")

    def _purge(self, now: float) -> None:
        self._store.purge_sessions_closed_before(now - _KEEP_CLOSED_SESSIONS_SECONDS)
        folder = self._store.root / files.ENVIRONMENTS_DIRECTORY
        environments.purge(folder, now - _KEEP_UNUSED_ENVIRONMENTS_SECONDS, keep=self._python)

    def _expire_sessions(self) -> None:
        """Close sessions that have been open, or left alone, for longer than their settings allow."""
        with self._changed:
            watched = list(self._instances.values())
        for instance in watched:
            reason = self._expiry(instance.id)
            if reason is not None and not self._closing:
                logger.info("MaxFrame session %s is closed: %s", instance.id, reason)
                self.stop(instance)
                self._odps.finish_instance(instance)

    def _expiry(self, session_id: str) -> str | None:
        """Return why a session has to be closed, None while it may stay open. A DAG that runs is use."""
        with self._changed:
            session = self._sessions[session_id]
            if session.closed is not None:
                return None
            now = time.monotonic()
            if any(not dag.status.terminal for dag in self._dags[session_id].values()):
                self._last_used[session_id] = now
            spent = {
                "session.max_alive_seconds": time.time() - session.started,
                "session.max_idle_seconds": now - self._last_used[session_id],
            }
            for name, seconds in spent.items():
                allowed = session.settings.get(name)
                if allowed and seconds > float(allowed):
                    return f"{name}={allowed}"
        return None

    def _release(self, session: Session, keys: Iterable[str]) -> None:
        """Drop what the client no longer needs, once it has had time to need it again.

        Equal data has equal keys, so a client that lets go of a frame may have uploaded the same one anew
        just before. After the session's ``recycle_delay_seconds`` tables go, unless a DAG was submitted
        since: then they go with the session.
        """
        names = {f"tmp_mf_{session.id.lower()}_{key.lower()}" for key in keys}
        delay = float(session.settings.get("session.recycle_delay_seconds", _RECYCLE_DELAY_SECONDS))
        self._later(delay, self._recycle, session, names, len(self._dags[session.id]))

    def _later(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        """Do something after a while, unless the service is closed before."""
        timer = threading.Timer(seconds, action, arguments)
        timer.daemon = True
        with self._changed:
            self._timers = [known for known in self._timers if known.is_alive()]
            timer.start()
            self._timers.append(timer)

    def _recycle(self, session: Session, names: set[str], dag_count: int) -> None:
        with self._changed:
            unchanged = len(self._dags[session.id]) == dag_count and session.closed is None
        if unchanged and not self._closing:
            for name in names & set(self._odps.list_tables(session.project, f"tmp_mf_{session.id.lower()}_")):
                self._odps.drop_table(session.project, name)

    def _drop_tables(self, session: Session) -> None:
        for name in list(self._odps.list_tables(session.project, f"tmp_mf_{session.id.lower()}_")):
            self._odps.drop_table(session.project, name)

    # Life of a DAG's process.

    def _process_ended(self, dag_id: str) -> None:
        with self._changed:
            dag = next((dags[dag_id] for dags in self._dags.values() if dag_id in dags), None)
        if dag is not None:
            self._settle(dag)

    def _host_lost(self, not_begun: set[str]) -> None:
        """Follow the DAGs of a host that has died; fail those that it had not begun."""
        with self._changed:
            running = [
                dag for dags in self._dags.values() for dag in dags.values() if not dag.status.terminal
            ]
        for dag in running:
            if dag.path(files.PROCESS_FILE).exists() or dag.id in not_begun:
                self._recover_dag(dag, "the engine broke down before the DAG had begun; see engine.log")

    def _recover_dag(self, dag: Dag, not_begun: str) -> None:
        """Follow a DAG whose process is not, or no longer, a child of our own host."""
        if read_json(dag.path(files.PROCESS_FILE)) is None:
            # The old host may still have it in its queue.
            dag.path(files.CANCEL_FILE).touch()
            self._end(dag, DagStatus.FAILED, not_begun)
            return
        threading.Thread(target=self._follow, args=(dag,), name=f"maxframe-{dag.id}", daemon=True).start()

    def _follow(self, dag: Dag) -> None:
        process = read_json(dag.path(files.PROCESS_FILE))
        while is_alive(process["pid"], process["started"]) and not dag.path(files.EXIT_FILE).exists():
            time.sleep(_ORPHAN_POLL_SECONDS)
        if not dag.path(files.EXIT_FILE).exists():
            # A living host says how the process ended a moment after it has.
            time.sleep(_ORPHAN_POLL_SECONDS)
        self._settle(dag)

    def _settle(self, dag: Dag) -> None:
        """Record how a DAG ended, now that its process has."""
        result = read_json(dag.path(files.RESULT_FILE))
        exit_code = (read_json(dag.path(files.EXIT_FILE)) or {}).get("code")
        with self._changed:
            if dag.status.terminal:
                return
            if result is not None and result["status"] == "SUCCEEDED":
                dag.results = result["results"]
                self._end(dag, DagStatus.SUCCEEDED)
            elif dag.path(files.CANCEL_FILE).exists() and not self._closing:
                self._end(dag, DagStatus.CANCELLED)
            elif result is not None:
                dag.error = result["error"]
                self._end(dag, DagStatus.FAILED)
            elif self._closing:
                self._end(
                    dag, DagStatus.FAILED, "the local cloud was stopped while the DAG ran; submit it again"
                )
            elif exit_code is None:
                self._end(dag, DagStatus.FAILED, "the DAG's process was lost while the local cloud was down")
            else:
                tail = logview.log_tail(dag, 2000)
                self._end(
                    dag,
                    DagStatus.FAILED,
                    f"the DAG's process ended without a result: {describe_exit(exit_code)}\n{tail}".rstrip(),
                )

    def _end(self, dag: Dag, status: DagStatus, message: str | None = None) -> None:
        with self._changed:
            dag.status = status
            dag.ended = time.time()
            if message is not None:
                dag.error = text_error(message)
            dag.save()
            dag.discard_input()
            remove_links(dag.directory)
            if dag.token is not None:
                self._odps.tokens.revoke(dag.token)
            self._stats.add(f"maxframe.dag_{status.name.lower()}")
            self._changed.notify_all()

    def _cancel(self, dag: Dag) -> None:
        with self._changed:
            if dag.status is not DagStatus.RUNNING:
                return
            dag.status = DagStatus.CANCELLING
            dag.save()
        self._kill(dag)

    def _kill(self, dag: Dag) -> None:
        """Have a DAG's processes end: at once if they heed SIGTERM, else after a few seconds."""
        # First the file, then the look for a process: see the host, which does it the other way round.
        dag.path(files.CANCEL_FILE).touch()
        self._signal(dag, signal.SIGTERM)
        self._later(_KILL_AFTER_SECONDS, self._signal, dag, signal.SIGKILL)

    def _signal(self, dag: Dag, number: signal.Signals) -> None:
        process = read_json(dag.path(files.PROCESS_FILE))
        if process is None or dag.status.terminal or not is_alive(process["pid"], process["started"]):
            return
        with suppress(ProcessLookupError):
            os.killpg(process["pid"], number)

    def _wait_until_ended(self, dags: Iterable[Dag], timeout: float) -> None:
        pending = list(dags)
        with self._changed:
            if not self._changed.wait_for(lambda: all(dag.status.terminal for dag in pending), timeout):
                logger.error("MaxFrame DAGs did not end within %s seconds", timeout)


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


def _unread_messages(dag: Dag) -> list[dict[str, Any]]:
    """Return the messages that the client has not been given yet."""
    path = dag.path(files.MESSAGES_FILE)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    unread = lines[dag.messages_read :]
    dag.messages_read = len(lines)
    return [json.loads(line) for line in unread]


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
