"""DAGs that people write by hand, with plain arguments and templates, against the local cloud."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from maxcompute_local.models.backend import ChatRequest
from maxcompute_local.models.script_rules import ModelRules
from maxcompute_local.models.scripted import Request, Step
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run
from tests.unit.test_macros import context_of

READER = {"name": "reader", "task": "text-generation", "backend": "script", "script": [{"content": "-"}]}
TOPIC = json.dumps({"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}})
DAY = datetime(2026, 11, 20, 4, tzinfo=UTC)


class Worker(Run):
    """Runs tasks as a worker of Airflow does: templates are rendered with Airflow's own context."""

    def run(self, operator: BaseOperator, **dag_run: Any) -> dict[str, Any]:
        """Run a task in a run of its DAG; ``dag_run`` are conf, logical date and partition key."""
        task = copy.copy(operator)
        context = context_of(task, **(dag_run or {"logical_date": DAY}))
        own = {name: value for name, value in self.context(task).items() if name not in ("params", "dag_run")}
        context = {**context, **own}
        task.render_template_fields(context)
        if getattr(task, "deferrable", False):
            task.deferrable = False
        task.poll_interval, task.outlets = 0.2, []
        report: dict[str, Any] = task.execute(context)
        return report


@pytest.fixture(scope="module")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud that has a model which only reads."""
    root = tmp_path_factory.mktemp("cloud")
    (root / "models.json").write_text(json.dumps({"models": [READER]}))
    cloud = LocalCloud(root, odps_port=0, oss_port=0).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What models are told; their answer is its last word, as the topic."""
    heard: list[str] = []
    step = ModelRules.step

    def listen(rules: ModelRules, request: Request) -> Any:
        if not isinstance(request, ChatRequest):
            return step(rules, request)
        heard.append(request.text)
        return Step(content={"topic": "weather"})

    monkeypatch.setattr(ModelRules, "step", listen)
    return heard


@pytest.fixture
def hook(airflow_connection: str) -> DrivepipeHook:
    return DrivepipeHook(airflow_connection)


@pytest.fixture
def notes(hook: DrivepipeHook, table: str) -> str:
    hook.execute_sql(f"CREATE TABLE {table} (id STRING, note STRING, place STRING, n BIGINT) PARTITIONED BY (ds STRING)")
    write_notes(hook, table, ("a", "rain", "bridge"), ("b", "fog {n}", "{note}"), ("c", None, "tunnel"))
    return table


def write_notes(hook: DrivepipeHook, table: str, *rows: tuple[str | None, ...]) -> None:
    values = ", ".join(
        f"({', '.join('NULL' if v is None else chr(39) + v + chr(39) for v in row)}, 1)" for row in rows
    )
    hook.execute_sql(f"INSERT OVERWRITE TABLE {table} PARTITION (ds='20261120') VALUES {values}")


def rows_of(hook: DrivepipeHook, table: str, *columns: str) -> list[list[Any]]:
    return hook.execute_sql(f"SELECT {', '.join(columns)} FROM {table} WHERE ds='20261120' ORDER BY 1 LIMIT 100")
