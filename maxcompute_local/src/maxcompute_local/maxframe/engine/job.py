"""What a DAG's process is told, and the files by which server, host and DAG process know of each other.

Each file has one writer, is replaced atomically, and stays readable after any of the three has died.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GRAPH_FILE = "dag.bin"
"""Serialized graph; from the server. It holds the user's credentials, so it is deleted once the DAG ended."""
INPUTS_FILE = "inputs.bin"
"""Serialized infos of tables that the client uploaded for this DAG and later ones; from the server."""
LOG_FILE = "log.txt"
"""Standard output and error of the DAG's processes."""
PROCESS_FILE = "process.json"
"""``{"pid", "started"}``; from the host, before the DAG's code runs."""
CANCEL_FILE = "cancel"
"""Empty; from the server, which wants the DAG ended or never begun."""
PROGRESS_FILE = "progress.json"
"""``{"fraction", "operators", "current"}``; from the DAG process."""
MESSAGES_FILE = "messages.jsonl"
"""Messages for the client, one JSON object per line; from the DAG process."""
LINKS_FILE = "links.json"
"""Symbolic links that stand in for mounts; from the DAG process. The server removes them."""
RESULT_FILE = "result.json"
"""``{"status", "ended", "results" | "error"}``; from the DAG process, its last act."""
EXIT_FILE = "exit.json"
"""``{"code"}``, negative for a signal; from the host, after the process has ended."""

ENVIRONMENTS_DIRECTORY = "environments"
"""Beside the sessions: Python environments for functions with requirements."""

WORK_DIRECTORY = "work"
"""Current folder of the DAG's code."""


@dataclass(frozen=True)
class Job:
    """One DAG to run. ``directory`` is its own folder; ``token`` lets it speak to the server.

    ``requirements`` are the Python requirements of all DAGs; functions may have more.
    """

    session_id: str
    dag_id: str
    directory: str
    project: str
    endpoint: str
    token: str
    oss_root: str
    oss_endpoint: str
    oss_region: str
    settings: dict[str, Any]
    requirements: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON-serialisable values. They hold the token: never log them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Job:
        """Build a job from :meth:`to_json`'s values."""
        return cls(**values)

    def path(self, name: str) -> Path:
        """Return the path of one of the DAG's files."""
        return Path(self.directory, name)

    @property
    def environments(self) -> Path:
        """Folder of the Python environments of all sessions."""
        return Path(self.directory).parents[1] / ENVIRONMENTS_DIRECTORY


def is_for_pip(name: str) -> bool:
    """Return whether an environment variable is for pip; some hold credentials, so functions see none."""
    return name.startswith("PIP_") or name == "XDG_CONFIG_HOME" or name.upper().endswith("_PROXY")


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically and durably; readers see the old content or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(value))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_passing_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically. It is cheap: the file may not outlive a crash of the machine."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Return a JSON file's content, or None when there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def process_start(pid: int) -> str | None:
    """Return an opaque start time of a live process, to tell it from a later one of the same id.

    None when there is no such process, when it is a zombie, or where ``/proc`` is missing.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    state, start = fields[0], fields[19]
    return None if state == "Z" else start


def is_alive(pid: int, started: str | None) -> bool:
    """Return whether the process that began at ``started`` (see :func:`process_start`) still runs."""
    if started is not None:
        return process_start(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
