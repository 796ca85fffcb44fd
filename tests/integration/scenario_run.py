"""Runs a scenario's DAG on the local cloud, task by task, and keeps the graphs that it submits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from tests.integration.operator_context import Run

EXAMPLES = Path(__file__).parents[2] / "dags" / "scenarios"
_NAMED = ("video_input_table", "source_table", "output_table")


def example(name: str, bucket: str, table: str, **changed: Any) -> DrivingScenario:
    """Return the example scenario ``name`` with a bucket and tables of the test's own.

    Tables get the test's name in front; keys in ``changed`` are set as they are.
    """
    scenario = load_scenario(EXAMPLES / f"{name}.yaml")
    values = scenario.model_dump(exclude_unset=True)
    values["scenario_name"] = table
    if "oss_bucket" in values:
        values["oss_bucket"] = bucket
    for key in _NAMED:
        if key in values:
            values[key] = f"{table}_{values[key]}"
    return DrivingScenario(**{**values, **changed})


@dataclass
class ScenarioRun:
    """Reports by task id, and all operators of the graphs that were submitted, with the task's id."""

    run: Run = field(default_factory=Run)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    submitted: list[tuple[str, Any]] = field(default_factory=list)

    def execute(
        self, scenario: DrivingScenario, try_number: int = 1, reports: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Run all tasks of a scenario's DAG in their order; return their stage reports.

        :param reports: whether the partition's report is written too.
        """
        from maxframe_client.session.graph import gen_submit_tileable_graph

        real = MaxFrameHook.submit
        for task in build_dag(scenario).topological_sort():
            # Nobody listens to asset events here.
            task.deferrable, task.poll_interval, task.outlets = False, 0.2, []
            task.report_of = task.report_of if reports else None

            def submit(hook: MaxFrameHook, session_id: str, outputs: Any, task_id: str = task.task_id) -> Any:
                tileables = [getattr(output, "data", output) for output in outputs]
                graph, _ = gen_submit_tileable_graph(None, tileables, {})
                self.submitted += [(task_id, node.op) for node in graph]
                return real(hook, session_id, outputs)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(MaxFrameHook, "submit", submit)
                self.reports[task.task_id] = self.run.execute(task, try_number)
        return self.reports
