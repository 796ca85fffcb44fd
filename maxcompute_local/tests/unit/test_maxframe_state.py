"""State and LogView of the MaxFrame service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from maxcompute_local.maxframe import logview
from maxcompute_local.maxframe.engine.job import (
    ENVIRONMENTS_DIRECTORY,
    GRAPH_FILE,
    LOG_FILE,
    PROGRESS_FILE,
    write_json,
)
from maxcompute_local.maxframe.state import Dag, DagStatus, Session, StateStore
from maxcompute_local.odps.database import Database

ID = "20261121000000000g0000000001"


def open_store(root: Path) -> StateStore:
    return StateStore(root / "maxframe", Database(root / "catalog.sqlite"))


def new_dag(root: Path) -> tuple[StateStore, Dag]:
    store = open_store(root)
    store.add_session(Session(ID, "local", {"sql.settings": {}}, started=1.0))
    dag = store.new_dag(ID)
    store.add_dag(dag, {})
    return store, dag


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_sessions_and_dags_are_read_back(tmp_path: Path) -> None:
    store, dag = new_dag(tmp_path)
    assert store.end_dag(dag, DagStatus.SUCCEEDED, results={"k": {"result_type": 0}})
    again = open_store(tmp_path)
    assert again.session(ID) == Session(ID, "local", {"sql.settings": {}}, started=1.0)
    assert again.session("other") is None
    (found,) = again.dags(ID)
    assert found.ended is not None
    assert found == replace(
        dag, status=DagStatus.SUCCEEDED, ended=found.ended, results={"k": {"result_type": 0}}
    )
    assert again.dag(ID, dag.id) == found
    assert again.dag("other", dag.id) is None


def test_a_dag_ends_once(tmp_path: Path) -> None:
    store, dag = new_dag(tmp_path)
    assert store.cancel_dag(dag.id)
    assert not store.cancel_dag(dag.id)
    assert store.end_dag(dag, DagStatus.CANCELLED)
    assert not store.end_dag(dag, DagStatus.FAILED, error={"error_messages": ["late"]})
    assert not store.cancel_dag(dag.id)
    assert store.live_dags() == []
    ended = store.dag(ID, dag.id)
    assert ended is not None
    assert (ended.status, ended.error) == (DagStatus.CANCELLED, None)


def test_a_closed_session_takes_no_dags_and_cancels_those_it_has(tmp_path: Path) -> None:
    store, dag = new_dag(tmp_path)
    late = store.new_dag(ID)
    assert store.close_session(ID)
    assert not store.close_session(ID)
    assert store.add_dag(late, {}) is None
    assert [(d.id, d.status) for d in store.live_dags(ID)] == [(dag.id, DagStatus.CANCELLING)]
    assert store.open_sessions() == []


def test_settings_of_a_session_change_with_a_dag(tmp_path: Path) -> None:
    store, _ = new_dag(tmp_path)
    session = store.add_dag(store.new_dag(ID), {"a": 1})
    assert session is not None
    assert session.settings == {"sql.settings": {}, "a": 1}


def test_dags_are_listed_in_order_of_submission_also_when_the_clock_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, first = new_dag(tmp_path)
    monkeypatch.setattr("time.time", lambda: first.started - 3600)
    second = store.new_dag(ID)
    store.add_dag(second, {})
    assert second.id < first.id
    assert [dag.id for dag in store.dags(ID)] == [first.id, second.id]
    store.end_dag(first, DagStatus.SUCCEEDED)
    ended = store.dag(ID, first.id)
    assert ended is not None
    assert ended.ended == first.started


def test_nobody_else_can_read_the_state(tmp_path: Path) -> None:
    _, dag = new_dag(tmp_path)
    for folder in (tmp_path / "maxframe", dag.directory.parent, dag.directory):
        assert folder.stat().st_mode & 0o077 == 0


def test_old_closed_sessions_are_purged(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for name, closed in (("old", 10.0), ("busy", 10.0), ("fresh", 30.0), ("open", None)):
        store.add_session(Session(name, "local", {}, started=1.0))
        dag = store.new_dag(name)
        store.add_dag(dag, {})
        if name != "busy":
            store.end_dag(dag, DagStatus.SUCCEEDED)
        if closed is not None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("time.time", lambda at=closed: at)
                store.close_session(name)
    store.purge_sessions_closed_before(20.0)
    assert names(tmp_path / "maxframe") == {"busy", "fresh", "open"}
    assert store.session("old") is None
    assert store.dags("old") == []


def test_what_a_killed_server_left_is_removed(tmp_path: Path) -> None:
    store, running = new_dag(tmp_path)
    ended, unknown = store.new_dag(ID), store.new_dag(ID)
    store.add_dag(ended, {})
    store.end_dag(ended, DagStatus.SUCCEEDED)
    for dag in (running, ended, unknown):
        dag.path(GRAPH_FILE).write_text("a graph with credentials")
        dag.path(LOG_FILE).touch()
    purged = store.root / "20261120000000000g0000000002"
    (purged / "dag").mkdir(parents=True)
    (store.root / ENVIRONMENTS_DIRECTORY).mkdir()
    (store.root / "engine.log").touch()
    store.remove_leftovers()
    assert names(store.root) == {ID, ENVIRONMENTS_DIRECTORY, "engine.log"}
    assert names(store.root / ID) == {running.id, ended.id}
    assert names(running.directory) == {GRAPH_FILE, LOG_FILE}
    assert names(ended.directory) == {LOG_FILE}


def test_logview_escapes_everything(tmp_path: Path) -> None:
    _, dag = new_dag(tmp_path)
    evil = "<script>alert(1)</script>"
    dag = replace(
        dag,
        status=DagStatus.FAILED,
        ended=dag.started + 2,
        error={"error_messages": [evil], "error_tracebacks": [[evil]]},
    )
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
