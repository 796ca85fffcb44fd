"""The LogView page's part on a MaxFrame session, as HTML."""

from __future__ import annotations

import time
from collections.abc import Iterable
from html import escape
from typing import Any

from airflow_provider_drivepipe.local.maxframe.engine import job as files
from airflow_provider_drivepipe.local.maxframe.engine.job import read_json
from airflow_provider_drivepipe.local.maxframe.state import Dag, DagStatus

_LOG_BYTES = 64 * 1024


def unknown_session() -> str:
    """Return what is shown of a session that left no trace."""
    return "<p>Nothing is known of this MaxFrame session.</p>"


def render(dags: Iterable[Dag]) -> str:
    """Return a section per DAG, the latest first."""
    sections = [_dag(dag) for dag in sorted(dags, key=lambda dag: dag.id, reverse=True)]
    return "\n".join(sections) or "<p>No DAG has been submitted.</p>"


def log_tail(dag: Dag, size: int) -> str:
    """Return the last ``size`` bytes of a DAG's log, from a line's start where there is one."""
    path = dag.path(files.LOG_FILE)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - size)
        file.seek(start)
        data = file.read()
    if start:
        data = data.partition(b"\n")[2] or data
    return data.decode("utf-8", errors="replace")


def _dag(dag: Dag) -> str:
    progress = read_json(dag.path(files.PROGRESS_FILE)) or {}
    fraction = 1.0 if dag.status is DagStatus.SUCCEEDED else progress.get("fraction", 0.0)
    facts = {
        "Status": dag.status.name,
        "Progress": f"{fraction:.0%}",
        "Started": _moment(dag.started),
        "Ended": _moment(dag.ended) if dag.ended else "",
        "Duration": f"{(dag.ended or time.time()) - dag.started:.1f} s",
    }
    rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return (
        f'<section class="dag" id="{escape(dag.id, quote=True)}"><h2>DAG {escape(dag.id)}</h2>'
        f"<table>{rows}</table>{_error(dag.error)}{_operators(progress, dag.status)}"
        f"<h3>Log</h3><pre>{escape(log_tail(dag, _LOG_BYTES))}</pre></section>"
    )


def _error(error: dict[str, Any] | None) -> str:
    if not error:
        return ""
    lines = list(error.get("error_messages") or [])
    for traceback in error.get("error_tracebacks") or []:
        lines += traceback
    return f"<h3>Error</h3><pre>{escape(chr(10).join(lines))}</pre>"


def _operators(progress: dict[str, Any], status: DagStatus) -> str:
    current = progress.get("current", -1)
    items = []
    for position, name in enumerate(progress.get("operators") or []):
        if status is DagStatus.SUCCEEDED or position < current:
            state = "done"
        elif position == current:
            state = "running" if status is DagStatus.RUNNING else "stopped here"
        else:
            state = "waiting"
        items.append(f"<li>{escape(name)}: {state}</li>")
    return f"<h3>Operators</h3><ol>{''.join(items)}</ol>" if items else ""


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
