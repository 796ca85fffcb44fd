"""A task's context as operators see it, without an Airflow database: state store and XCom as dicts."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.sdk import BaseOperator


class StateStore(dict[str, Any]):
    """Stands for ``context["task_state_store"]``."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


class RunningTask:
    """Stands for the task instance; remembers what was pushed."""

    map_index = -1
    task_states: ClassVar[dict[str, dict[str, dict[str, str]]]] = {}
    """What Airflow would say of other tasks: DAG id to run id to task id to state."""

    def __init__(self, task_id: str, run_id: str, try_number: int = 1) -> None:
        self.dag_id = "dag"
        self.task_id = task_id
        self.run_id = run_id
        self.try_number = try_number
        self.pushed: dict[str, Any] = {}
        self.others: dict[str, RunningTask] = {}
        self.log_url = f"http://localhost:8080/dags/dag/runs/{run_id}/tasks/{task_id}"

    def get_task_states(self, dag_id: str, **_: Any) -> dict[str, dict[str, str]]:
        return RunningTask.task_states.get(dag_id, {})

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.others[task_ids].pushed.get(key) if task_ids in self.others else None


class Run:
    """Executes operators for one partition, keeping state between tries as Airflow does."""

    def __init__(
        self, ds: str = "20261120", run_id: str = "run1", params: dict[str, Any] | None = None
    ) -> None:
        self.params = {"ds": ds, **(params or {})}
        self.run_id = run_id
        self.stores: dict[str, StateStore] = {}
        self.tasks: dict[str, RunningTask] = {}

    def context(self, operator: BaseOperator, try_number: int = 1) -> dict[str, Any]:
        ti = RunningTask(operator.task_id, self.run_id, try_number)
        self.tasks[operator.task_id], ti.others = ti, self.tasks
        return {
            "ti": ti,
            "task_instance": ti,
            "params": self.params,
            "dag_run": None,
            "task_state_store": self.stores.setdefault(operator.task_id, StateStore()),
        }

    def execute(self, operator: BaseOperator, try_number: int = 1) -> dict[str, Any]:
        return operator.execute(self.context(operator, try_number))

    def xcom(self, operator: BaseOperator, key: str) -> Any:
        return self.tasks[operator.task_id].pushed[key]
