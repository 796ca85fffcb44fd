"""Sessions and DAGs: rows of the MaxCompute service's database, and a folder per DAG for its files.

No row is kept in memory, so nobody is told what a crash could take back. A folder is made before its row and
goes after it: what a crash leaves are folders without a row, which the next start removes.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from maxcompute_local.maxframe.engine import job as files
from maxcompute_local.maxframe.engine.mounts import remove_links
from maxcompute_local.odps.database import Database

_TABLES = """
CREATE TABLE IF NOT EXISTS maxframe_sessions (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, settings TEXT NOT NULL, started REAL NOT NULL, closed REAL);
CREATE INDEX IF NOT EXISTS maxframe_sessions_by_end ON maxframe_sessions (closed);
CREATE TABLE IF NOT EXISTS maxframe_dags (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL REFERENCES maxframe_sessions ON DELETE CASCADE,
    started REAL NOT NULL, status TEXT NOT NULL, ended REAL, error TEXT, results TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS maxframe_dags_by_session ON maxframe_dags (session_id, number);
CREATE INDEX IF NOT EXISTS maxframe_dags_by_status ON maxframe_dags (status);
"""
_SESSION_FOLDER = re.compile(r"\d{17}g\w+")
_LIVE = "status IN ('RUNNING', 'CANCELLING')"

logger = logging.getLogger(__name__)


class DagStatus(Enum):
    """States of a DAG, numbered as in the wire protocol."""

    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLING = 4
    CANCELLED = 5

    @property
    def terminal(self) -> bool:
        """Return whether the DAG has ended."""
        return self in (DagStatus.SUCCEEDED, DagStatus.FAILED, DagStatus.CANCELLED)


@dataclass(frozen=True)
class Dag:
    """One submitted DAG. Times are seconds since the epoch; ``error`` and ``results`` are in wire form."""

    id: str
    session_id: str
    directory: Path
    started: float
    status: DagStatus = DagStatus.RUNNING
    ended: float | None = None
    error: dict[str, Any] | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return the path of one of the DAG's files."""
        return self.directory / name

    def discard_input(self) -> None:
        """Delete what only the run needed: mounts, scratch files, and the graph, which holds credentials."""
        remove_links(self.directory)
        for scratch in self.directory.glob("chunk-*"):
            scratch.unlink(missing_ok=True)
        shutil.rmtree(self.path(files.WORK_DIRECTORY), ignore_errors=True)
        # Last: while it is there, the next start does all of this again.
        self.path(files.GRAPH_FILE).unlink(missing_ok=True)


@dataclass(frozen=True)
class Session:
    """One session; its id is that of the instance. ``closed`` is when closing it began."""

    id: str
    project: str
    settings: Mapping[str, Any]
    started: float
    closed: float | None = None


class StateStore:
    """Reads and writes sessions and DAGs; ``root`` is the folder of their folders.

    Every change is a transaction, or joins that of its caller.
    """

    def __init__(self, root: Path, database: Database) -> None:
        self.root = root
        self._db = database
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        database.create(_TABLES)

    # Sessions.

    def add_session(self, session: Session) -> None:
        """Store a new session."""
        with self._db.write() as db:
            db.execute(
                "INSERT INTO maxframe_sessions VALUES (?, ?, ?, ?, ?)",
                (session.id, session.project, json.dumps(session.settings), session.started, session.closed),
            )

    def session(self, session_id: str) -> Session | None:
        """Return a session, None when there is none."""
        with self._db.read() as db:
            row = db.execute("SELECT * FROM maxframe_sessions WHERE id = ?", (session_id,)).fetchone()
        return None if row is None else _session(row)

    def open_sessions(self) -> list[Session]:
        """Return the sessions that nobody has begun to close."""
        with self._db.read() as db:
            rows = db.execute("SELECT * FROM maxframe_sessions WHERE closed IS NULL").fetchall()
        return [_session(row) for row in rows]

    def close_session(self, session_id: str) -> bool:
        """Take no more DAGs and cancel those that run; return False when that was done before."""
        with self._db.write() as db:
            closed = db.execute(
                "UPDATE maxframe_sessions SET closed = ? WHERE id = ? AND closed IS NULL",
                (time.time(), session_id),
            )
            db.execute(
                f"UPDATE maxframe_dags SET status = 'CANCELLING' WHERE session_id = ? AND {_LIVE}",
                (session_id,),
            )
            return closed.rowcount > 0

    # DAGs.

    def new_dag(self, session_id: str) -> Dag:
        """Make the folder of a DAG that is not stored yet."""
        now = time.time()
        second, microsecond = divmod(int(now * 1_000_000), 1_000_000)
        moment = f"{time.strftime('%Y%m%d%H%M%S', time.gmtime(second))}{microsecond:06d}"
        dag_id = f"{moment}_{uuid.uuid4().hex[:12]}"
        folder = self.root / session_id
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / dag_id).mkdir(mode=0o700)
        return Dag(dag_id, session_id, folder / dag_id, started=now)

    def add_dag(self, dag: Dag, changed_settings: Mapping[str, Any]) -> Session | None:
        """Store a new DAG and return its session with the changed settings, None when that is closed."""
        with self._db.write() as db:
            row = db.execute(
                "SELECT * FROM maxframe_sessions WHERE id = ? AND closed IS NULL", (dag.session_id,)
            ).fetchone()
            if row is None:
                return None
            settings = json.dumps({**json.loads(row["settings"]), **changed_settings})
            db.execute("UPDATE maxframe_sessions SET settings = ? WHERE id = ?", (settings, dag.session_id))
            db.execute(
                "INSERT INTO maxframe_dags (id, session_id, started, status, results) VALUES (?, ?, ?, ?, ?)",
                (dag.id, dag.session_id, dag.started, dag.status.name, json.dumps(dag.results)),
            )
        return self.session(dag.session_id)

    def dag(self, session_id: str, dag_id: str) -> Dag | None:
        """Return a DAG of a session, None when there is none."""
        found = self._dags("id = ? AND session_id = ?", dag_id, session_id)
        return found[0] if found else None

    def dags(self, session_id: str) -> list[Dag]:
        """Return a session's DAGs in the order in which they were submitted."""
        return self._dags("session_id = ?", session_id)

    def count_dags(self, session_id: str) -> int:
        """Return how many DAGs were submitted to a session."""
        with self._db.read() as db:
            query = "SELECT count(*) FROM maxframe_dags WHERE session_id = ?"
            return int(db.execute(query, (session_id,)).fetchone()[0])

    def live_dags(self, session_id: str | None = None) -> list[Dag]:
        """Return the DAGs, of one session or all, that have not ended."""
        return self._dags(f"{_LIVE} AND session_id = coalesce(?, session_id)", session_id)

    def live_dag(self, dag_id: str) -> Dag | None:
        """Return a DAG that has not ended, None when it has or there is none."""
        found = self._dags(f"{_LIVE} AND id = ?", dag_id)
        return found[0] if found else None

    def cancel_dag(self, dag_id: str) -> bool:
        """Note that a DAG is to end; return False when it has ended or was cancelled before."""
        with self._db.write() as db:
            changed = db.execute(
                "UPDATE maxframe_dags SET status = 'CANCELLING' WHERE id = ? AND status = 'RUNNING'",
                (dag_id,),
            )
            return changed.rowcount > 0

    def end_dag(
        self,
        dag: Dag,
        status: DagStatus,
        results: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record how a DAG ended; return False when that was done before."""
        with self._db.write() as db:
            changed = db.execute(
                f"UPDATE maxframe_dags SET status = ?, ended = ?, results = ?, error = ? "
                f"WHERE id = ? AND {_LIVE}",
                (
                    status.name,
                    max(time.time(), dag.started),  # the clock may have been put back
                    json.dumps(results or {}),
                    None if error is None else json.dumps(error),
                    dag.id,
                ),
            )
            return changed.rowcount > 0

    def _dags(self, condition: str, *values: object) -> list[Dag]:
        with self._db.read() as db:
            rows = db.execute(
                f"SELECT * FROM maxframe_dags WHERE {condition} ORDER BY number", values
            ).fetchall()
        return [self._dag(row) for row in rows]

    def _dag(self, row: sqlite3.Row) -> Dag:
        return Dag(
            id=row["id"],
            session_id=row["session_id"],
            directory=self.root / row["session_id"] / row["id"],
            started=row["started"],
            status=DagStatus[row["status"]],
            ended=row["ended"],
            error=None if row["error"] is None else json.loads(row["error"]),
            results=json.loads(row["results"]),
        )

    # Cleaning up.

    def purge_sessions_closed_before(self, moment: float) -> None:
        """Delete sessions that were closed before a time and whose DAGs have ended, with their logs."""
        with self._db.write() as db:
            rows = db.execute(
                "DELETE FROM maxframe_sessions WHERE closed < ? AND id NOT IN "
                f"(SELECT session_id FROM maxframe_dags WHERE {_LIVE}) RETURNING id",
                (moment,),
            ).fetchall()
        for row in rows:
            _remove(self.root / row["id"])

    def remove_leftovers(self) -> None:
        """Remove what a killed server left: folders without a row, input of DAGs that have ended.

        Only safe before the first request.
        """
        with self._db.read() as db:
            sessions = {row["id"] for row in db.execute("SELECT id FROM maxframe_sessions")}
            dags = {row["id"]: row["status"] for row in db.execute("SELECT id, status FROM maxframe_dags")}
        for folder in self.root.iterdir():
            if not _SESSION_FOLDER.fullmatch(folder.name):
                continue
            if folder.name not in sessions:
                _remove(folder)
                continue
            for directory in folder.iterdir():
                if directory.name not in dags:
                    _remove(directory)
                elif DagStatus[dags[directory.name]].terminal and (directory / files.GRAPH_FILE).exists():
                    Dag(directory.name, folder.name, directory, started=0).discard_input()


def _session(row: sqlite3.Row) -> Session:
    return Session(row["id"], row["project"], json.loads(row["settings"]), row["started"], row["closed"])


def _remove(folder: Path) -> None:
    """Delete a folder as far as that is possible: users' functions may have left anything there."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logger.warning("%s cannot be deleted", folder)
