"""The DAGs of the Airflow that ``drivepipe up`` serves: which are there, which can run, what to look at."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_drivepipe.cli.airflow_home import USER, AirflowHome
from airflow_provider_drivepipe.cli.demo import SCENARIO_FILE
from airflow_provider_drivepipe.cli.demo_run import PARTITION
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario, scenario_files
from maxcompute_local.settings import PROJECT

if TYPE_CHECKING:
    from airflow_provider_drivepipe.scenario.plan import Plan
    from maxcompute_local.settings import ServerSettings

_READ_SECONDS = 180.0
_SETTLED_SECONDS = 4.0
"""How long Airflow has to find nothing more until the folder counts as read."""


@dataclass(frozen=True)
class ShownDags:
    """What a person looks at first: a page of the UI, and lines of what can be done next."""

    page: str = ""
    next_steps: list[str] = field(default_factory=list)


@dataclass
class UpDags:
    """Asks and tells a healthy Airflow about its DAGs."""

    airflow: AirflowHome
    cloud: ServerSettings

    def switch_on(self) -> ShownDags:
        """Wait until Airflow has read its folder, and switch on what can run; return what to look at."""
        login = {"username": USER, "password": self.airflow.password()}
        self._token = request(self.airflow, "POST", "/auth/token", login)["access_token"]
        plans = {plan.dag_id: plan for plan in _plans(self.airflow.dags)}
        dags, errors = self._wait_until_read(set(plans))
        without_input = {
            dag_id: table
            for dag_id, plan in sorted(plans.items())
            if dag_id in dags and (table := self._missing_input(plan))
        }
        for dag_id in sorted(plans.keys() & dags):
            self._fail_dead_runs(dag_id)
            self._call("PATCH", f"/dags/{dag_id}", {"is_paused": dag_id in without_input})
        print(f"  DAGs: {', '.join(sorted(dags - without_input.keys())) or 'none'}")
        if without_input:
            names = ", ".join(f"{dag_id} ({table})" for dag_id, table in without_input.items())
            print(f"  paused, for there is no input table yet: {names}")
        for file, error in errors.items():
            print(f"  cannot be read: {file}: {error}")
        return self._shown(dags, plans)

    def _wait_until_read(self, wanted: set[str]) -> tuple[set[str], dict[str, str]]:
        """Return the DAGs that Airflow serves and the files that it cannot read, with the reasons."""
        deadline = time.monotonic() + _READ_SECONDS
        seen: object = None
        since = time.monotonic()
        while time.monotonic() < deadline:
            dags = {dag["dag_id"] for dag in self._call("GET", "/dags?limit=1000")["dags"]}
            failed = self._call("GET", "/importErrors?limit=100")["import_errors"]
            errors = {str(each["filename"]): _last_line(each["stack_trace"]) for each in failed}
            if wanted and wanted <= dags:
                return dags, errors
            if seen != (dags, errors):
                seen, since = (dags, errors), time.monotonic()
            if (dags or errors) and time.monotonic() - since > _SETTLED_SECONDS:
                return dags, errors
            time.sleep(1)
        raise CommandError(
            f"Airflow has found no DAG in {self.airflow.dags}. Scenario files need a DAG file:\n"
            "  from airflow_provider_drivepipe.factory import load_scenarios\n"
            "  globals().update(load_scenarios('FOLDER OF THE SCENARIO FILES'))"
        )

    def _missing_input(self, plan: Plan) -> str | None:
        """Return the table that a scenario starts from when it is not there."""
        from odps import ODPS

        first = plan.tasks[0]
        if first.is_listing:
            return None
        odps = ODPS(
            self.cloud.access_key_id,
            self.cloud.access_key_secret,
            project=PROJECT,
            endpoint=self.cloud.odps_endpoint,
            overwrite_global=False,
        )
        return None if odps.exist_table(first.source) else first.source

    def _fail_dead_runs(self, dag_id: str) -> None:
        """End what a demo that was killed has left: the scheduler would go on with it."""
        for run in self._call("GET", f"/dags/{dag_id}/dagRuns?state=running&state=queued")["dag_runs"]:
            if run["triggered_by"] == "test":
                self._call("PATCH", _run_path(dag_id, run["dag_run_id"]), {"state": "failed"})

    def _shown(self, dags: set[str], plans: dict[str, Plan]) -> ShownDags:
        demo = next((p for p in plans.values() if f"{p.scenario}.yaml" == SCENARIO_FILE), None)
        if demo is None or demo.dag_id not in dags:
            return ShownDags("/dags")
        runs = self._call("GET", f"/dags/{demo.dag_id}/dagRuns?limit=1&order_by=-run_after")["dag_runs"]
        column = demo.partition.columns[0]
        trigger = f"DAG {demo.dag_id}, button Trigger, parameter {column}: {PARTITION}"
        if not runs:
            return ShownDags(f"/dags/{demo.dag_id}", [f"run it    {trigger}"])
        pictures = self.airflow.path / f"{demo.scenario}_{PARTITION}.html"
        steps = [f"pictures  {pictures.as_uri()}"] if pictures.exists() else []
        run = quote(runs[0]["dag_run_id"], safe="")
        return ShownDags(f"/dags/{demo.dag_id}/runs/{run}", [*steps, f"run again {trigger}"])

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return request(self.airflow, method, f"/api/v2{path}", body, self._token)


def request(
    airflow: AirflowHome, method: str, path: str, body: object = None, token: str | None = None
) -> dict[str, Any]:
    """Return the JSON answer of an Airflow's API server. Raises OSError."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"{airflow.url}{path}", data=data, headers=headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _plans(dags: Path) -> Iterator[Plan]:
    """Yield the plans of the scenario files below a folder; what is wrong with others, Airflow says."""
    from airflow_provider_drivepipe.pipelines.registry import plan

    for folder in sorted({file.parent for pattern in ("*.yaml", "*.yml") for file in dags.rglob(pattern)}):
        for file in scenario_files(folder):
            try:
                yield plan(load_scenario(file))
            except ScenarioError:
                continue


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
