"""Life of DAGs: handed to the engine, followed, cancelled, and their end recorded, also over restarts."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from maxcompute_local.maxframe import logview
from maxcompute_local.maxframe.engine import job as files
from maxcompute_local.maxframe.engine.errors import describe_exit, text_error
from maxcompute_local.maxframe.engine.job import Job, is_alive, read_json
from maxcompute_local.maxframe.launcher import EngineLauncher
from maxcompute_local.maxframe.state import Dag, DagStatus, StateStore
from maxcompute_local.maxframe.workers import Worker
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.errors import OdpsError
from maxcompute_local.stats import Stats

logger = logging.getLogger(__name__)

JOB_PURPOSE = "maxframe:"
"""Beginning of the purpose of every DAG's token."""

_KILL_AFTER_SECONDS = 5.0
_STOP_WITHIN_SECONDS = 10.0
_ORPHAN_POLL_SECONDS = 0.2
_TOKEN_SECONDS = 7 * 86400.0
"""Longest life of a DAG's token, which is revoked when the DAG ends."""


class Tokens(Protocol):
    """Bearer tokens of the MaxCompute service."""

    def issue(self, purpose: str, lifetime_seconds: float | None = None) -> str:
        """Return a new token."""
        ...

    def revoke(self, purpose: str) -> None:
        """Make the tokens of a purpose invalid."""
        ...


@dataclass(frozen=True)
class Addresses:
    """Where DAG processes reach the local cloud: base URLs of MaxCompute and OSS, and the region of OSS."""

    odps: str
    oss: str
    oss_region: str


class Dags:
    """Runs DAGs. ``on_ended`` is called after the end of one has been recorded.

    :param addresses: called when a DAG is started, by when the sockets are bound.
    """

    def __init__(
        self,
        store: StateStore,
        database: Database,
        tokens: Tokens,
        stats: Stats,
        *,
        worker: Worker,
        oss_root: Path,
        addresses: Callable[[], Addresses],
        on_ended: Callable[[Dag], None],
    ) -> None:
        self._store = store
        self._db = database
        self._tokens = tokens
        self._stats = stats
        self._worker = worker
        self._oss_root = oss_root
        self._addresses = addresses
        self._on_ended = on_ended
        self._ended = threading.Condition()
        self._unrecorded: dict[str, Callable[[], None]] = {}
        self._closing = False
        self._launcher = EngineLauncher(
            str(worker.python), store.root, on_ended=self._process_ended, on_lost=self._host_lost
        )

    def warm_up(self) -> None:
        """Have the engine ready for the first DAG; if it cannot be started, that DAG will say so."""
        try:
            self._launcher.warm_up()
        except (OSError, RuntimeError) as error:
            logger.warning("the MaxFrame engine cannot be started: %s", error)

    def recover(self) -> None:
        """Follow the DAGs that the last server left running, and fail those that had not begun."""
        for dag in self._store.live_dags():
            if dag.status is DagStatus.CANCELLING:
                self._kill(dag)
            self._recover(dag, "the local cloud ended before the DAG had begun; submit it again")

    def submit(
        self, session_id: str, graph: bytes, inputs: bytes, changed_settings: Mapping[str, Any]
    ) -> Dag | None:
        """Store a DAG, then hand it to the engine. None when the session is closed."""
        if self._closing:
            raise OdpsError(503, "ServiceUnavailable", "the local cloud is shutting down")
        dag = self._store.new_dag(session_id)
        try:
            dag.path(files.GRAPH_FILE).write_bytes(graph)
            dag.path(files.INPUTS_FILE).write_bytes(inputs)
            with self._db.write():
                session = self._store.add_dag(dag, changed_settings)
                token = self._tokens.issue(_purpose(dag), _TOKEN_SECONDS) if session is not None else ""
        except BaseException:
            shutil.rmtree(dag.directory, ignore_errors=True)
            raise
        if session is None:
            shutil.rmtree(dag.directory, ignore_errors=True)
            return None
        addresses = self._addresses()
        job = Job(
            session_id=session.id,
            dag_id=dag.id,
            directory=str(dag.directory),
            project=session.project,
            endpoint=addresses.odps,
            token=token,
            oss_root=str(self._oss_root.resolve()),
            oss_endpoint=addresses.oss,
            oss_region=addresses.oss_region,
            settings=dict(session.settings),
            requirements=self._worker.requirements,
        )
        try:
            self._launcher.run(job)
        except (OSError, RuntimeError) as error:
            self._end(dag, DagStatus.FAILED, f"the DAG could not be handed to the engine: {error}")
        return self._store.dag(session_id, dag.id)

    def cancel(self, dag: Dag) -> None:
        """Have a DAG end soon; one that has ended stays as it is."""
        if self._store.cancel_dag(dag.id):
            self._kill(dag)

    def end_all(self, session_id: str) -> None:
        """Kill the DAGs of a session that is closed, and wait for their ends."""
        for dag in self._store.live_dags(session_id):
            self._kill(dag)
        self._wait_until_ended(session_id)

    def retry(self) -> None:
        """Record ends that could not be recorded when they came, as on a full disk."""
        for dag_id in list(self._unrecorded):
            self._unrecorded.pop(dag_id)()

    def close(self) -> None:
        """End all running DAGs as failed, and the engine with them."""
        self._closing = True
        for dag in self._store.live_dags():
            self._kill(dag)
        self._wait_until_ended(None)
        self._launcher.close(_STOP_WITHIN_SECONDS)

    # The end of a process.

    def _process_ended(self, dag_id: str) -> None:
        dag = self._store.live_dag(dag_id)
        if dag is not None:
            self._settle(dag)

    def _host_lost(self, not_begun: set[str]) -> None:
        """Follow the DAGs of a host that has died; fail those that it had not begun."""
        for dag in self._store.live_dags():
            if dag.path(files.PROCESS_FILE).exists() or dag.id in not_begun:
                self._recover(dag, "the engine broke down before the DAG had begun; see engine.log")

    def _recover(self, dag: Dag, not_begun: str) -> None:
        """Follow a DAG whose process is not, or no longer, a child of our own host."""
        process = read_json(dag.path(files.PROCESS_FILE))
        if process is None:
            # The old host may still have it in its queue.
            _ask_to_end(dag)
            if dag.status is DagStatus.CANCELLING:
                self._end(dag, DagStatus.CANCELLED)
            else:
                self._end(dag, DagStatus.FAILED, not_begun)
            return
        threading.Thread(
            target=self._follow, args=(dag, process), name=f"maxframe-{dag.id}", daemon=True
        ).start()

    def _follow(self, dag: Dag, process: Mapping[str, Any]) -> None:
        while is_alive(process["pid"], process["started"]) and not dag.path(files.EXIT_FILE).exists():
            time.sleep(_ORPHAN_POLL_SECONDS)
        if not dag.path(files.EXIT_FILE).exists():
            # A living host says how the process ended a moment after it has.
            time.sleep(_ORPHAN_POLL_SECONDS)
        self._process_ended(dag.id)

    def _settle(self, dag: Dag) -> None:
        """Record how a DAG ended, now that its process has."""
        result = read_json(dag.path(files.RESULT_FILE))
        exit_code = (read_json(dag.path(files.EXIT_FILE)) or {}).get("code")
        if result is not None and result["status"] == "SUCCEEDED":
            self._end(dag, DagStatus.SUCCEEDED, results=result["results"])
        elif dag.status is DagStatus.CANCELLING:
            self._end(dag, DagStatus.CANCELLED)
        elif result is not None:
            self._end(dag, DagStatus.FAILED, error=result["error"])
        elif dag.path(files.CANCEL_FILE).exists():
            self._end(dag, DagStatus.FAILED, "the local cloud was stopped while the DAG ran; submit it again")
        elif exit_code is None:
            self._end(dag, DagStatus.FAILED, "the DAG's process was lost while the local cloud was down")
        else:
            tail = logview.log_tail(dag, 2000)
            self._end(
                dag,
                DagStatus.FAILED,
                f"the DAG's process ended without a result: {describe_exit(exit_code)}\n{tail}".rstrip(),
            )

    def _end(
        self,
        dag: Dag,
        status: DagStatus,
        message: str | None = None,
        *,
        results: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the end of a DAG and take away its token in one step, then tidy up after it."""
        if message is not None:
            error = text_error(message)
        try:
            with self._db.write():
                first = self._store.end_dag(dag, status, results, error)
                self._tokens.revoke(_purpose(dag))
        except (sqlite3.Error, OSError):
            logger.exception("cannot record how DAG %s ended; it is tried again", dag.id)
            self._unrecorded[dag.id] = partial(self._end, dag, status, results=results, error=error)
            return
        if not first:
            return
        try:
            dag.discard_input()
        except OSError:
            logger.exception("cannot tidy up after DAG %s; the next start does it", dag.id)
        self._stats.add(f"maxframe.dag_{status.name.lower()}")
        with self._ended:
            self._ended.notify_all()
        self._on_ended(dag)

    # Killing.

    def _kill(self, dag: Dag) -> None:
        """Have a DAG's processes end: at once if they heed SIGTERM, else after a few seconds."""
        # First the file, then the look for a process: see the host, which does it the other way round.
        _ask_to_end(dag)
        _signal(dag, signal.SIGTERM)
        timer = threading.Timer(_KILL_AFTER_SECONDS, _signal, (dag, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def _wait_until_ended(self, session_id: str | None) -> None:
        def ended() -> bool:
            return not self._store.live_dags(session_id)

        with self._ended:
            if not self._ended.wait_for(ended, _STOP_WITHIN_SECONDS):
                logger.error("MaxFrame DAGs did not end within %s seconds", _STOP_WITHIN_SECONDS)


def _purpose(dag: Dag) -> str:
    return f"{JOB_PURPOSE}{dag.session_id}:{dag.id}"


def _ask_to_end(dag: Dag) -> None:
    dag.directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # somebody may have deleted it
    dag.path(files.CANCEL_FILE).touch()


def _signal(dag: Dag, number: signal.Signals) -> None:
    process = read_json(dag.path(files.PROCESS_FILE))
    if process is not None and is_alive(process["pid"], process["started"]):
        with suppress(ProcessLookupError):
            os.killpg(process["pid"], number)
