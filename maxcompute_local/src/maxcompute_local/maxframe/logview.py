"""The LogView page's part on a MaxFrame session, as HTML."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from maxcompute_local.maxframe.engine import job as files
from maxcompute_local.maxframe.engine.job import read_json
from maxcompute_local.maxframe.state import Dag, DagStatus

_LOG_BYTES = 64 * 1024
_OPERATOR_LOG_BYTES = 8 * 1024

_STYLE = (
    "table.operators{width:100%}.operators td,.operators th{border-bottom:1px solid #ddd}"
    ".operators td.number,.operators th.number{text-align:right;font-variant-numeric:tabular-nums}"
    ".operators pre{margin:.3rem 0;max-height:20rem}summary{cursor:pointer}"
    ".done{color:#1a7f37}.running{color:#9a6700}.failed{color:#cf222e;font-weight:600}.waiting{color:#777}"
    "section.dag{border-top:2px solid #ccc;margin-top:2rem}small{color:#666}"
)
_CLASSES = {
    DagStatus.RUNNING: "running",
    DagStatus.SUCCEEDED: "done",
    DagStatus.FAILED: "failed",
    DagStatus.CANCELLING: "failed",
    DagStatus.CANCELLED: "failed",
}


def unknown_session() -> str:
    """Return what is shown of a session that left no trace."""
    return "<p>Nothing is known of this MaxFrame session.</p>"


def render(dags: Iterable[Dag]) -> str:
    """Return a section per DAG, the latest first."""
    sections = [_dag(dag) for dag in sorted(dags, key=lambda dag: dag.id, reverse=True)]
    return (
        "\n".join([f"<style>{_STYLE}</style>", *sections])
        if sections
        else "<p>No DAG has been submitted.</p>"
    )


def log_tail(dag: Dag, size: int, begin: int = 0, end: int | None = None) -> str:
    """Return the last ``size`` bytes of a DAG's log between two offsets, from a line's start if it can."""
    path = dag.path(files.LOG_FILE)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        stop = path.stat().st_size if end is None else end
        start = max(begin, stop - size)
        file.seek(start)
        data = file.read(max(0, stop - start))
    if start > begin:
        data = data.partition(b"\n")[2] or data
    return data.decode("utf-8", errors="replace")


def _dag(dag: Dag) -> str:
    progress = read_json(dag.path(files.PROGRESS_FILE)) or {}
    fraction = 1.0 if dag.status is DagStatus.SUCCEEDED else progress.get("fraction", 0.0)
    facts = {
        "Progress": f"{fraction:.0%}",
        "Started": _moment(dag.started),
        "Ended": _moment(dag.ended) if dag.ended else "",
        "Duration": _seconds((dag.ended or time.time()) - dag.started),
    }
    rows = "".join(
        f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in facts.items() if value
    )
    operators = progress.get("operators") or []
    status = f'<span class="{_CLASSES[dag.status]}">{dag.status.name.lower()}</span>'
    return (
        f'<section class="dag" id="{escape(dag.id, quote=True)}">'
        f"<h2>DAG {escape(dag.id)}: {status}</h2>"
        f"<table>{rows}</table>{_error(dag.error)}{_operators(dag, operators, progress.get('current', -1))}"
        f"{_log(_rest_of_log(dag, operators))}</section>"
    )


def _log(text: str) -> str:
    return f"<h3>Log</h3><pre>{escape(text)}</pre>" if text.strip() else ""


def _error(error: dict[str, Any] | None) -> str:
    if not error:
        return ""
    message = "\n".join(error.get("error_messages") or [])
    trace = "".join(line for lines in error.get("error_tracebacks") or [] for line in lines)
    details = f"<details><summary>Traceback</summary><pre>{escape(trace)}</pre></details>" if trace else ""
    return f"<h3>Error</h3><pre>{escape(message)}</pre>{details}"


def _operators(dag: Dag, operators: Sequence[Mapping[str, Any]], current: int) -> str:
    if not operators:
        return ""
    head = "".join(f"<th>{title}</th>" for title in ("#", "Operator", "State"))
    head += "".join(
        f'<th class="number">{title}</th>' for title in ("Rows in", "Rows out", "Chunks", "Seconds")
    )
    body = "".join(
        _operator(dag, position, operator, _state(dag.status, position, operator, current))
        for position, operator in enumerate(operators)
    )
    return f'<h3>Operators</h3><table class="operators"><tr>{head}</tr>{body}</table>'


def _state(status: DagStatus, position: int, operator: Mapping[str, Any], current: int) -> str:
    if status is DagStatus.SUCCEEDED or position < current:
        return "done"
    if position > current:
        return "waiting"
    if not status.terminal:
        return "done" if operator.get("seconds") is not None else "running"
    # Beyond the last operator, the DAG's results were being stored.
    return "cancelled" if status is DagStatus.CANCELLED else "failed"


def _operator(dag: Dag, position: int, operator: Mapping[str, Any], state: str) -> str:
    name, title = operator["name"], operator.get("title")
    details = "; ".join(filter(None, (name if title else "", operator.get("resources"))))
    shown = escape(title or name) + (f"<br><small>{escape(details)}</small>" if details else "")
    chunks = operator.get("chunks")
    cells = (
        _number(operator.get("rows_in")),
        _number(operator.get("rows_out")),
        "" if chunks is None else f"{operator.get('chunks_done', 0)} of {chunks}",
        _duration(operator, dag),
    )
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    kind = "failed" if state in ("failed", "cancelled") else state
    row = f'<tr><td>{position + 1}</td><td>{shown}</td><td class="{kind}">{state}</td>{numbers}</tr>'
    output = _output(dag, operator)
    if not output:
        return row
    opened = " open" if state in ("failed", "running") else ""
    return (
        f'{row}<tr><td></td><td colspan="6"><details{opened}><summary>Output</summary>'
        f"<pre>{escape(output)}</pre></details></td></tr>"
    )


def _output(dag: Dag, operator: Mapping[str, Any]) -> str:
    begin = operator.get("log_begin")
    if begin is None:
        return ""
    return log_tail(dag, _OPERATOR_LOG_BYTES, begin, operator.get("log_end")).rstrip()


def _rest_of_log(dag: Dag, operators: Sequence[Mapping[str, Any]]) -> str:
    """Return what was logged before the first operator and after the last one."""
    begins = [operator["log_begin"] for operator in operators if operator.get("log_begin") is not None]
    ends = [operator["log_end"] for operator in operators if operator.get("log_end") is not None]
    if not begins:
        return log_tail(dag, _LOG_BYTES)
    before = log_tail(dag, _LOG_BYTES, 0, min(begins))
    return before + (log_tail(dag, _LOG_BYTES, max(ends)) if len(ends) == len(begins) else "")


def _duration(operator: Mapping[str, Any], dag: Dag) -> str:
    if operator.get("started") is None:
        return ""
    seconds = operator.get("seconds")
    return f"{(dag.ended or time.time()) - operator['started'] if seconds is None else seconds:.1f}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
