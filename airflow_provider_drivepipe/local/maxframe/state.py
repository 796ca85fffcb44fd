"""Sessions and DAGs on disk: ``<root>/<session>/session.json`` and ``<root>/<session>/<dag>/dag.json``."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from airflow_provider_drivepipe.local.maxframe.engine import job as files

SESSION_FILE = "session.json"
DAG_FILE = "dag.json"


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


@dataclass
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
    token: str | None = field(default=None, repr=False)
    """Lets the DAG's process speak to the server; not written to disk."""
    messages_read: int = 0
    """How many of the DAG's messages the client has been given; not kept over a restart."""

    def path(self, name: str) -> Path:
        """Return the path of one of the DAG's files."""
        return self.directory / name

    def save(self) -> None:
        """Write the DAG's state."""
        files.write_json(
            self.path(DAG_FILE),
            {
                "started": self.started,
                "status": self.status.name,
                "ended": self.ended,
                "error": self.error,
                "results": self.results,
            },
        )

    @classmethod
    def load(cls, directory: Path) -> Dag | None:
        """Return the DAG of a folder, None when the folder holds none."""
        values = files.read_json(directory / DAG_FILE)
        if values is None:
            return None
        values["status"] = DagStatus[values["status"]]
        return cls(id=directory.name, session_id=directory.parent.name, directory=directory, **values)

    def discard_input(self) -> None:
        """Delete what only the run needed: scratch files, and the graph, which holds credentials."""
        self.path(files.GRAPH_FILE).unlink(missing_ok=True)
        for scratch in self.directory.glob("chunk-*"):
            scratch.unlink(missing_ok=True)
        shutil.rmtree(self.path(files.WORK_DIRECTORY), ignore_errors=True)


@dataclass
class Session:
    """One session; its id is that of the instance."""

    id: str
    project: str
    settings: dict[str, Any]
    started: float
    closed: float | None = None


class StateStore:
    """Reads and writes the state below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for graph in root.glob(f"*/*/{files.GRAPH_FILE}"):
            dag = Dag.load(graph.parent)
            if dag is None or dag.status.terminal:
                # A server was killed between the DAG's end and this.
                (dag or Dag(graph.parent.name, graph.parent.parent.name, graph.parent, 0)).discard_input()

    def save_session(self, session: Session) -> None:
        """Write a session's state."""
        directory = self.root / session.id
        directory.mkdir(exist_ok=True, mode=0o700)
        files.write_json(directory / SESSION_FILE, asdict(session))

    def load_session(self, session_id: str) -> Session | None:
        """Return a session, None when there is none."""
        values = files.read_json(self.root / session_id / SESSION_FILE)
        return Session(**values) if values is not None else None

    def new_dag(self, session: Session) -> Dag:
        """Make the folder of a new DAG; its id sorts by time."""
        now = time.time()
        second, microsecond = divmod(int(now * 1_000_000), 1_000_000)
        moment = f"{time.strftime('%Y%m%d%H%M%S', time.gmtime(second))}{microsecond:06d}"
        dag_id = f"{moment}_{uuid.uuid4().hex[:12]}"
        directory = self.root / session.id / dag_id
        directory.mkdir(mode=0o700)
        return Dag(dag_id, session.id, directory, started=now)

    def load_dags(self, session_id: str) -> Iterator[Dag]:
        """Yield a session's DAGs, oldest first."""
        for directory in sorted(path for path in (self.root / session_id).iterdir() if path.is_dir()):
            dag = Dag.load(directory)
            if dag is not None:
                yield dag

    def purge_sessions_closed_before(self, moment: float) -> None:
        """Delete sessions that were closed before a time, with their logs."""
        for path in self.root.glob(f"*/{SESSION_FILE}"):
            session = self.load_session(path.parent.name)
            if session is not None and session.closed is not None and session.closed < moment:
                shutil.rmtree(path.parent)
