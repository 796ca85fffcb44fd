"""DrivepipeTaskGroup: the tasks of a scenario in somebody's own DAG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import TaskGroup

from airflow_provider_drivepipe.factory.compiled import compile_file
from airflow_provider_drivepipe.factory.tasks import build_tasks, default_arguments


class DrivepipeTaskGroup(TaskGroup):
    """The tasks of a scenario, one behind the other: ``start >> DrivepipeTaskGroup("night.yaml") >> end``.

    A run owns the partition that its partition key, ``ds`` in its conf or params, or its logical date names,
    in this order and under the scenario's settings. What the scenario's own DAG has in its trigger form
    (``limit``, ``reprocess``, ``label_prompt``, …) counts here too when the run's params or conf give it, for
    all groups of the DAG alike; what they do not give is as the scenario says. Its ``schedule``,
    ``start_date``, ``max_active_runs``, ``tags`` and ``partition_value`` are left to the DAG.

    :param scenario_file: path, absolute or relative to the DAG's file.
    :param group_id: what the ids of its tasks start with; the name of the file unless given.
    :param options: further arguments of :class:`~airflow.sdk.TaskGroup`. ``default_args``, and those of the
        DAG, take precedence over the scenario's owner, two retries and ``deferrable``.

    Raises ScenarioError with everything that is wrong with the file.
    """

    def __init__(self, scenario_file: Path | str, group_id: str | None = None, **options: Any) -> None:
        super().__init__(group_id=group_id or Path(scenario_file).stem, **options)
        compiled = compile_file(Path(self.dag.fileloc).parent / scenario_file)
        scenario = compiled.scenario
        given = {**self.dag.default_args, **self.default_args}
        self.default_args = {**default_arguments(scenario), **given}
        self.tooltip = self.tooltip or scenario.description
        self.doc_md = self.doc_md or compiled.doc
        with self:
            build_tasks(compiled, grouped=False)
