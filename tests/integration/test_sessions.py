"""Tags of MaxFrame sessions, and ``drivepipe sessions``, against the local cloud."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow import settings as airflow_settings
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.taskinstance import TaskInstance
from maxframe.config import options as maxframe_options
from maxframe.session import new_session
from maxframe_client.session.task import MaxFrameInstanceCaller
from odps import ODPS
from sqlalchemy import create_engine, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import sessionmaker

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.cli.main import main
from airflow_provider_drivepipe.exceptions import TransientError
from airflow_provider_drivepipe.hooks.maxframe import JobState, MaxFrameHook, SessionTags
from maxcompute_local.odps import instance_api
from maxcompute_local.server import LocalCloud

HERE = "https://airflow.example"


@pytest.fixture(autouse=True)
def base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", HERE)


@pytest.fixture
def hook(airflow_connection: str) -> MaxFrameHook:
    return MaxFrameHook(airflow_connection)


@pytest.fixture
def tags() -> SessionTags:
    """Tags that no other test has."""
    return SessionTags("driving", f"manual__{uuid.uuid4().hex}", "label", -1, 1)


@pytest.fixture
def foreign(odps_client: ODPS) -> Iterator[str]:
    """A session that somebody else opened with the same access key."""
    session = new_session(odps_client, default=False)
    yield session.session_id
    session.destroy()


def live(hook: MaxFrameHook, run_id: str) -> list[str]:
    return [s.session_id for s in hook.list_sessions() if s.tags.run_id == run_id]


def is_running(odps: ODPS, session_id: str) -> bool:
    return not odps.get_instance(session_id).is_terminated()


# Tags.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"run_id": "manual__2026-11-20T00:00:00+00:00", "map_index": 12, "try_number": 3},
        {"task_id": "schildererkennung_über_夜間.étape"},
        {"task_id": """quotes " ' ` and <xml> & ]]> and {"json": 1} \\ %s"""},
        {"dag_id": "d" * 250, "run_id": "r" * 250, "task_id": "長" * 250},
    ],
)
def test_tags_survive(airflow_connection: str, tags: SessionTags, changes: dict[str, Any]) -> None:
    tags = replace(tags, **changes)
    before = datetime.now(UTC)
    session_id = MaxFrameHook(airflow_connection).open_session(tags)
    found = {s.session_id: s for s in MaxFrameHook(airflow_connection).list_sessions()}[session_id]
    assert found.tags == tags
    assert found.installation == HERE
    assert found.owner
    assert found.started is not None
    assert abs(found.started - before) < timedelta(minutes=1)
    MaxFrameHook(airflow_connection).stop_session(session_id)


def test_a_session_runs_in_the_inference_quota_of_its_connection(
    airflow_connection: str, local_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quota_of(hook: MaxFrameHook) -> tuple[str | None, str | None]:
        session_id = hook.open_session()
        settings = json.loads(hook.odps.get_instance(session_id).tasks[0].properties["settings"])
        hook.stop_session(session_id)
        with hook.session_options():
            built = maxframe_options.session.inference_quota_name
        assert maxframe_options.session.inference_quota_name is None
        return json.loads(settings["odps.maxframe.settings"]).get("session.inference_quota_name"), built

    assert quota_of(MaxFrameHook(airflow_connection)) == (None, None)
    connection = json.loads(connection_json(local_cloud.settings))
    connection["extra"]["inference_quota"] = "models"
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", json.dumps(connection))
    assert quota_of(MaxFrameHook(airflow_connection)) == ("models", "models")


def test_job_identifiers_stand_beside_the_tags(hook: MaxFrameHook, tags: SessionTags) -> None:
    session_id = hook.open_session(tags)
    properties = hook.odps.get_instance(session_id).tasks[0].properties
    settings = json.loads(properties["settings"])
    assert settings["EXT_PLATFORM_ID"] == "airflow-drivepipe"
    assert settings["EXT_NODE_NAME"] == "driving.label"
    assert "odps.maxframe.settings" in settings
    secret = hook.settings.require_maxcompute().access_key.secret
    assert secret not in str(properties)
    hook.stop_session(session_id)


def test_tags_stay_with_the_session_they_were_given_to(hook: MaxFrameHook, tags: SessionTags) -> None:
    tagged, plain = hook.open_session(tags), hook.open_session()
    sql = hook.odps.execute_sql("SELECT 1")
    assert live(hook, tags.run_id) == [tagged]
    assert plain not in [s.session_id for s in hook.list_sessions()]
    assert "drivepipe" not in sql.tasks[0].properties["settings"]
    hook.stop_session(tagged)
    hook.stop_session(plain)


def test_sessions_are_listed_beyond_the_first_page(
    hook: MaxFrameHook, tags: SessionTags, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_api, "MAX_LISTED", 2)
    opened = [hook.open_session(replace(tags, map_index=index)) for index in range(5)]
    assert live(hook, tags.run_id) == opened
    for session_id in opened:
        hook.stop_session(session_id)
    assert live(hook, tags.run_id) == []


def test_instances_are_listed_by_their_start(odps_client: ODPS) -> None:
    instance = odps_client.execute_sql("SELECT 1")
    now = int(datetime.now(UTC).timestamp())
    started = {"inside": (now - 60, now + 60), "later": (now + 60, None), "earlier": (None, now - 3600)}
    found = {
        name: instance.id in [i.id for i in odps_client.list_instances(start_time=first, end_time=last)]
        for name, (first, last) in started.items()
    }
    assert found == {"inside": True, "later": False, "earlier": False}


def test_a_session_that_does_not_become_ready_is_stopped(
    hook: MaxFrameHook, tags: SessionTags, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_ready(caller: MaxFrameInstanceCaller) -> None:
        assert live(hook, tags.run_id) == [caller.instance.id]
        raise TimeoutError("too slow")

    monkeypatch.setattr(MaxFrameInstanceCaller, "_wait_instance_task_ready", not_ready)
    with pytest.raises(TransientError):
        hook.open_session(tags)
    assert live(hook, tags.run_id) == []


def test_jobs_of_a_session(hook: MaxFrameHook, tags: SessionTags, table: str) -> None:
    import maxframe.dataframe as md

    hook.execute_sql(f"CREATE TABLE {table} (n BIGINT)")
    hook.odps.to_global()
    session_id = hook.open_session(tags)
    assert hook.session_jobs(session_id) == {}
    rows = md.read_odps_table(table, odps_entry=hook.odps)
    job = hook.submit(session_id, [md.to_odps_table(rows, f"{table}_copy", index=False)])
    [(dag_id, status)] = hook.session_jobs(session_id).items()
    assert dag_id == job.dag_id
    assert status.state in (JobState.RUNNING, JobState.SUCCEEDED)
    hook.stop_session(session_id)
    assert hook.session_jobs(session_id) == {}


# Stopping what a dead worker left.


def test_sessions_of_a_task_instance_are_stopped(
    hook: MaxFrameHook, tags: SessionTags, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = [hook.open_session(replace(tags, try_number=number)) for number in (1, 2, 3)]
    others = [
        hook.open_session(replace(tags, map_index=0)),
        hook.open_session(replace(tags, task_id="embed")),
        hook.open_session(replace(tags, dag_id="parking")),
    ]
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://staging.example")
    others.append(hook.open_session(tags))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", HERE)

    def earlier_try(other: SessionTags) -> bool:
        return replace(other, try_number=4) == replace(tags, try_number=4)

    assert hook.stop_sessions(lambda other: earlier_try(other) and other.try_number != 2) == [
        tries[0],
        tries[2],
    ]
    assert live(hook, tags.run_id) == [tries[1], *others]
    assert hook.stop_sessions(earlier_try) == [tries[1]]
    assert hook.stop_sessions(earlier_try) == []
    assert live(hook, tags.run_id) == others
    assert is_running(hook.odps, foreign)
    for session_id in others:
        hook.stop_session(session_id)


def test_sessions_are_found_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = LocalCloud(tmp_path, odps_port=0, oss_port=0).start()
    variable = "AIRFLOW_CONN_DRIVEPIPE_DEFAULT"
    tags = SessionTags("driving", "manual__2026-11-20T00:00:00+00:00", "étape", 7, 2)
    try:
        monkeypatch.setenv(variable, connection_json(cloud.settings))
        before = MaxFrameHook()
        kept, stopped = before.open_session(tags), before.open_session(tags)
        foreign = new_session(before.odps, default=False).session_id
        before.stop_session(stopped)
        cloud.stop()
        cloud = LocalCloud(tmp_path, odps_port=0, oss_port=0).start()
        monkeypatch.setenv(variable, connection_json(cloud.settings))
        after = MaxFrameHook()
        assert [(s.session_id, s.tags) for s in after.list_sessions()] == [(kept, tags)]
        assert main(["sessions", "--all", "--stop", "--yes"]) == 0
        assert after.list_sessions() == []
        assert is_running(after.odps, foreign)
    finally:
        cloud.stop()


# The command.


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["sessions", "--json", *arguments]) == 0
    shown: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return shown


def test_list_by_tags_and_age(
    hook: MaxFrameHook, tags: SessionTags, capsys: pytest.CaptureFixture[str]
) -> None:
    first = hook.open_session(tags)
    second = hook.open_session(replace(tags, task_id="embed", map_index=4, try_number=2))
    run = ("--run", tags.run_id)

    def found(*arguments: str) -> list[str]:
        return [entry["session_id"] for entry in listed(capsys, *arguments)]

    assert found(*run) == [first, second]
    assert found(*run, "--task", "embed") == [second]
    assert found(*run, "--dag", "parking") == []
    assert found(*run, first) == [first]
    assert found(*run, "--older-than", "1h") == []
    assert found(*run, "--older-than", "0s") == [first, second]
    [entry] = listed(capsys, *run, "--task", "embed")
    assert (entry["map_index"], entry["try_number"], entry["jobs"]) == (4, 2, [])

    assert main(["sessions", *run]) == 0
    shown = capsys.readouterr()
    heading, *rows = shown.out.splitlines()
    assert heading.split() == ["SESSION", "AGE", "JOB", "TRY", "TASK", "RUN"]
    assert [row.split()[0] for row in rows] == [first, second]
    assert "driving.embed[4]" in rows[1]
    secret = hook.settings.require_maxcompute().access_key.secret
    assert secret not in shown.out + shown.err
    for session_id in (first, second):
        hook.stop_session(session_id)
    assert main(["sessions", *run]) == 0
    assert capsys.readouterr().out == "no live sessions found\n"


def test_stop_asks_first(
    hook: MaxFrameHook,
    tags: SessionTags,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session_id = hook.open_session(tags)
    answers = iter(["n", "", "y"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _question: next(answers))
    command = ["sessions", "--run", tags.run_id, "--stop"]
    assert main(command) == 1
    assert main(command) == 1
    assert live(hook, tags.run_id) == [session_id]
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"stopped {session_id}"
    assert live(hook, tags.run_id) == []


def test_one_that_cannot_be_stopped_is_reported(
    hook: MaxFrameHook,
    tags: SessionTags,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck, other = hook.open_session(tags), hook.open_session(tags)
    stop = MaxFrameHook.stop_session

    def stop_session(self: MaxFrameHook, session_id: str) -> None:
        if session_id == stuck:
            raise TransientError("no answer")
        stop(self, session_id)

    with monkeypatch.context() as patch:
        patch.setattr(MaxFrameHook, "stop_session", stop_session)
        assert main(["sessions", "--run", tags.run_id, "--stop", "--yes", "--json"]) == 1
    captured = capsys.readouterr()
    assert {e["session_id"]: e["stopped"] for e in json.loads(captured.out)} == {stuck: False, other: True}
    assert f"not stopped: session {stuck}: no answer" in captured.err
    assert live(hook, tags.run_id) == [stuck]
    hook.stop_session(stuck)


def test_unknown_connection(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "--conn-id", "nowhere"]) == 1
    assert "no connection 'nowhere'" in capsys.readouterr().err


def test_only_json_is_on_stdout(airflow_connection: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_provider_drivepipe.cli.main", "sessions", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert isinstance(json.loads(done.stdout), list)


# Orphans.


@pytest.fixture
def airflow_db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An Airflow database with tables and no rows."""
    engine = create_engine(f"sqlite:///{tmp_path / 'airflow.db'}")
    import_all_models()
    Base.metadata.create_all(engine)
    monkeypatch.setattr(airflow_settings, "Session", sessionmaker(engine))
    yield engine
    engine.dispose()


def add_task(engine: Engine, tags: SessionTags, state: str | None) -> None:
    with engine.begin() as db:
        values = {
            "id": uuid.uuid4(),
            "dag_id": tags.dag_id,
            "run_id": tags.run_id,
            "task_id": tags.task_id,
            "map_index": tags.map_index,
            "state": state,
            "try_number": tags.try_number,
            "max_tries": 2,
            "pool": "default_pool",
            "pool_slots": 1,
        }
        db.execute(TaskInstance.__table__.insert().values(values))


def add_dag(engine: Engine, dag_id: str) -> None:
    values = {
        "dag_id": dag_id,
        "bundle_name": "dags",
        "max_active_tasks": 16,
        "max_consecutive_failed_dag_runs": 0,
        "has_task_concurrency_limits": False,
    }
    with engine.begin() as db:
        db.execute(DagModel.__table__.insert().values(values))


def open_in_state(hook: MaxFrameHook, engine: Engine, tags: SessionTags, state: str | None) -> str:
    add_task(engine, tags, state)
    return hook.open_session(tags)


def test_orphans_are_sessions_without_a_task_that_needs_them(
    hook: MaxFrameHook,
    tags: SessionTags,
    airflow_db: Engine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_dag(airflow_db, tags.dag_id)
    needed = {
        state: open_in_state(hook, airflow_db, replace(tags, task_id=f"is_{state}"), state)
        for state in ("running", "deferred", "queued", "scheduled", "up_for_retry", "restarting", None)
    }
    orphans = {
        state: open_in_state(hook, airflow_db, replace(tags, task_id=f"is_{state}"), state)
        for state in ("success", "failed", "upstream_failed", "skipped", "removed")
    }
    orphans["gone"] = hook.open_session(replace(tags, task_id="gone"))
    # The task instance of another map index says nothing of this one.
    orphans["other index"] = hook.open_session(replace(tags, task_id="is_running", map_index=5))
    unknown_dag = hook.open_session(replace(tags, dag_id="elsewhere"))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://staging.example")
    other_airflow = hook.open_session(replace(tags, task_id="is_failed"))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", HERE)

    run = ("--run", tags.run_id)
    capsys.readouterr()
    assert main(["sessions", "--json", "--orphans", *run]) == 0
    captured = capsys.readouterr()
    why = {entry["session_id"]: entry["airflow"] for entry in json.loads(captured.out)}
    assert set(why) == set(orphans.values())
    assert why[orphans["failed"]] == "failed, try 1"
    assert why[orphans["gone"]] == "no such task instance"
    assert f"not judged: session {unknown_dag}, this Airflow has no DAG 'elsewhere'" in captured.err
    assert f"not judged: session {other_airflow}, opened by the Airflow at https://staging" in captured.err

    assert main(["sessions", "--orphans", *run, "--stop", "--yes"]) == 0
    assert set(live(hook, tags.run_id)) == {*needed.values(), unknown_dag, other_airflow}
    main(["sessions", *run, "--stop", "--yes"])


def test_an_orphan_that_is_taken_up_again_is_not_stopped(
    hook: MaxFrameHook,
    tags: SessionTags,
    airflow_db: Engine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_dag(airflow_db, tags.dag_id)
    session_id = open_in_state(hook, airflow_db, tags, "failed")

    def cleared_meanwhile(_question: str) -> str:
        with airflow_db.begin() as db:
            db.execute(
                update(TaskInstance.__table__)
                .where(TaskInstance.run_id == tags.run_id)
                .values(state="running", try_number=2)
            )
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", cleared_meanwhile)
    assert main(["sessions", "--run", tags.run_id, "--orphans", "--stop"]) == 1
    captured = capsys.readouterr()
    assert f"not stopped: session {session_id}, its task is in use: running, try 2" in captured.err
    assert live(hook, tags.run_id) == [session_id]
    hook.stop_session(session_id)


def test_without_an_airflow_database_orphans_cannot_be_told(
    hook: MaxFrameHook,
    tags: SessionTags,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = create_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    monkeypatch.setattr(airflow_settings, "Session", sessionmaker(empty))
    session_id = hook.open_session(tags)
    assert main(["sessions", "--orphans", "--run", tags.run_id, "--stop", "--yes"]) == 1
    assert "Airflow's database cannot be read" in capsys.readouterr().err
    assert live(hook, tags.run_id) == [session_id]
    hook.stop_session(session_id)
    empty.dispose()
