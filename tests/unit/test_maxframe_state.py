"""State and LogView of the MaxFrame service."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_drivepipe.local.maxframe import logview
from airflow_provider_drivepipe.local.maxframe.engine.job import LOG_FILE, PROGRESS_FILE, write_json
from airflow_provider_drivepipe.local.maxframe.state import Dag, DagStatus, Session, StateStore


def new_dag(root: Path) -> tuple[StateStore, Dag]:
    store = StateStore(root)
    session = Session("s1", "local", {"sql.settings": {}}, started=1.0)
    store.save_session(session)
    return store, store.new_dag(session)


def test_sessions_and_dags_are_read_back(tmp_path: Path) -> None:
    _, dag = new_dag(tmp_path)
    dag.status, dag.ended, dag.results = DagStatus.SUCCEEDED, 5.0, {"k": {"result_type": 0}}
    dag.save()
    again = StateStore(tmp_path)
    assert again.load_session("s1") == Session("s1", "local", {"sql.settings": {}}, started=1.0)
    assert again.load_session("other") is None
    assert list(again.load_dags("s1")) == [dag]


def test_dags_are_listed_in_order_of_submission(tmp_path: Path) -> None:
    store, first = new_dag(tmp_path)
    session = store.load_session("s1")
    assert session is not None
    later = [store.new_dag(session) for _ in range(5)]
    for dag in reversed(later):
        dag.save()
    first.save()
    assert [dag.id for dag in store.load_dags("s1")] == [first.id, *(dag.id for dag in later)]


def test_nobody_else_can_read_the_state(tmp_path: Path) -> None:
    _, dag = new_dag(tmp_path / "maxframe")
    for folder in (tmp_path / "maxframe", dag.directory.parent, dag.directory):
        assert folder.stat().st_mode & 0o077 == 0


def test_old_closed_sessions_are_purged(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    for name, closed in (("old", 10.0), ("fresh", 30.0), ("open", None)):
        store.save_session(Session(name, "local", {}, started=1.0, closed=closed))
    store.purge_sessions_closed_before(20.0)
    assert {path.name for path in tmp_path.iterdir()} == {"fresh", "open"}


def test_logview_escapes_everything(tmp_path: Path) -> None:
    _, dag = new_dag(tmp_path)
    evil = "<script>alert(1)</script>"
    dag.status, dag.ended = DagStatus.FAILED, dag.started + 2
    dag.error = {"error_messages": [evil], "error_tracebacks": [[evil]]}
    dag.path(LOG_FILE).write_text(evil * 3)
    operators = [
        {"name": "Read", "started": dag.started, "seconds": 1.25, "rows_in": None, "rows_out": 1234},
        {"name": evil, "started": dag.started + 1, "resources": evil, "chunks": 4, "chunks_done": 3}
        | {"log_begin": len(evil), "log_end": 2 * len(evil)},
        {"name": "Write"},
    ]
    write_json(dag.path(PROGRESS_FILE), {"fraction": 0.25, "operators": operators, "current": 1})
    page = logview.render([dag])
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 7
    assert "25%" in page
    assert '<td class="done">done</td><td class="number"></td><td class="number">1,234</td>' in page
    assert '<td class="failed">failed</td>' in page
    assert '<td class="number">3 of 4</td><td class="number">1.0</td>' in page
    assert '<td>Write</td><td class="waiting">waiting</td>' in page


def test_log_tail_begins_with_a_whole_line(tmp_path: Path) -> None:
    _, dag = new_dag(tmp_path)
    assert logview.log_tail(dag, 10) == ""
    dag.path(LOG_FILE).write_text("first line\nsecond\nthird\n")
    assert logview.log_tail(dag, 10) == "third\n"
    assert logview.log_tail(dag, 100) == "first line\nsecond\nthird\n"
    assert logview.log_tail(dag, 100, 11, 18) == "second\n"
