"""Rows that meet a model's rate limit: they wait, none is lost, none is paid twice, and no try is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators import MaxFrameStageOperator
from airflow_provider_drivepipe.scenario.options import GateOptions, SelectionOptions
from airflow_provider_drivepipe.stages.generate import Generate
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run

ROWS = 60
PER_MINUTE = 1200
READER = {"name": "reader", "task": "text-generation", "backend": "script", "script": [{"content": "-"}]}
BUSY = READER | {"name": "busy", "max_requests_per_minute": PER_MINUTE}
SCHEMA = json.dumps({"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud with a model that is limited, and one that is not."""
    root = tmp_path_factory.mktemp("cloud")
    (root / "models.json").write_text(json.dumps({"models": [READER, BUSY]}))
    cloud = LocalCloud(root, odps_port=0, oss_port=0).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def hook(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> MaxFrameHook:
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", connection_json(cloud.settings))
    return MaxFrameHook()


def notes(hook: MaxFrameHook, table: str, *names: str) -> None:
    hook.execute_sql(f"CREATE TABLE {table}_i (id STRING, note STRING) PARTITIONED BY (ds STRING)")
    values = ", ".join(f"('{name}', 'note {name}')" for name in names)
    hook.execute_sql(f"INSERT OVERWRITE TABLE {table}_i PARTITION (ds='20261120') VALUES {values}")


def operator(table: str, *stages: Generate) -> MaxFrameStageOperator:
    return MaxFrameStageOperator(
        task_id="read",
        source_table=f"{table}_i",
        output_table=f"{table}_o",
        unit_key="id",
        stages=stages,
        selection=SelectionOptions(max_row_attempts=2),
        gate=GateOptions(max_failure_rate=1.0),
        deferrable=False,
        poll_interval=0.2,
    )


def test_more_rows_than_the_model_takes_at_once(cloud: LocalCloud, hook: MaxFrameHook, table: str) -> None:
    notes(hook, table, *map(str, range(ROWS)))
    with cloud.control.counting() as counted:
        report = Run().execute(operator(table, Generate("read", "busy", "Read {note}", columns=("note",))))
    assert (report["ok"], report["failed"]) == (ROWS, 0)
    assert counted["model.chat.ok"] == ROWS, "none is lost, none is paid twice"
    assert 0 < counted["model.chat.error.429"] < ROWS, "at the limit, not over it"


@pytest.mark.slow
def test_a_rate_limit_is_no_try(cloud: LocalCloud, hook: MaxFrameHook, table: str) -> None:
    notes(hook, table, "fine", "limited", "wrong")
    script: Any = cloud.control.models.script
    script("reader", content={"topic": "x"})
    script("reader", prompts=["note wrong"], content="no JSON")
    script("reader", prompts=["note limited"], status=429, retry_after=3600)
    stage = Generate("read", "reader", "Read {note}", columns=("note",), schema=SCHEMA, repair_rounds=0)

    def run(number: int) -> tuple[int, dict[str, list[Any]]]:
        with cloud.control.counting() as counted:
            Run(run_id=f"run{number}").execute(operator(table, stage))
        rows = hook.execute_sql(f"SELECT id, status, error_type, attempt FROM {table}_o WHERE ds='20261120'")
        return counted.get("model.chat", 0), {name: values for name, *values in rows}

    runs = [run(number) for number in range(4)]
    assert [calls for calls, _ in runs] == [3, 2, 1, 1], "what is wrong twice is left alone, limits are not"
    assert runs[-1][1] == {
        "fine": ["ok", "", 1],
        "limited": ["failed", "rate_limited", 1],
        "wrong": ["failed", "invalid_json", 2],
    }
    cloud.control.models.clear()
    script("reader", content={"topic": "x"})
    assert run(4) == (1, {**runs[-1][1], "limited": ["ok", "", 1]})
