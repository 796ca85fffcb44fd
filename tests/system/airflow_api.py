"""Airflow's REST interface as tests use it: trigger, wait, look, clear, fail, back-fill."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection
from typing import Any, TypeVar
from urllib.parse import quote

import requests

ENDED = ("success", "failed")

_POLL_SECONDS = 0.25
_LOG_END = 3000
_LOG_FIRST = ("timestamp", "level", "event")
_LOG_PLAIN = (*_LOG_FIRST, "logger", "filename", "lineno")

Json = dict[str, Any]
Seen = TypeVar("Seen")


class ApiError(AssertionError):
    """Airflow refused a request. ``status`` is the HTTP status."""

    def __init__(self, request: str, status: int, text: str) -> None:
        super().__init__(f"{request}: {status} {text[:2000]}")
        self.status = status
        self.text = text


class AirflowApi:
    """Client of one API server. All waiting methods raise AssertionError when their time is up.

    :param url: address of the API server.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False

    # Plain calls.

    def call(self, method: str, path: str, body: Json | None = None, **query: Any) -> Any:
        """Return the JSON answer to a call below ``/api/v2``, None when it is empty. Raises ApiError."""
        if "Authorization" not in self._session.headers and path != "/monitor/health":
            answer = self._session.post(f"{self._url}/auth/token", json=self._login, timeout=30)
            token = answer.json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        answer = self._session.request(
            method, f"{self._url}/api/v2{path}", json=body, params=query, timeout=60
        )
        if answer.status_code >= 400:
            raise ApiError(f"{method} {path}", answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def page(self, url: str, *, logged_in: bool = True) -> requests.Response:
        """Return a page of the API server, whatever its status."""
        headers = {"Authorization": self._session.headers["Authorization"]} if logged_in else {}
        return requests.get(url, headers=headers, timeout=60)

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """Return the addresses of a task's extra links by name."""
        found: Json = self.call("GET", f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}/links")
        return dict(found["extra_links"])

    def health(self) -> dict[str, str | None]:
        """Return the state of each component; unreachable servers raise ``requests.RequestException``."""
        answer: dict[str, Json | None] = self.call("GET", "/monitor/health")
        return {name: (part or {}).get("status") for name, part in answer.items()}

    # DAGs.

    def dag(self, dag_id: str) -> Json | None:
        """Return a DAG, None when Airflow does not serve it."""
        try:
            return self.call("GET", f"/dags/{dag_id}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def import_errors(self) -> list[str]:
        """Return ``file: error`` of every file that cannot be loaded."""
        found = self.call("GET", "/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in found]

    def unpause(self, dag_id: str) -> None:
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    # Runs.

    def trigger(self, dag_id: str, partition_key: str | None = None, conf: Json | None = None) -> str:
        """Start a run by hand and return its id."""
        run_id = f"test_{uuid.uuid4().hex[:12]}"
        body = {"dag_run_id": run_id, "logical_date": None, "partition_key": partition_key}
        self.call("POST", f"/dags/{dag_id}/dagRuns", {**body, "conf": conf or {}})
        return run_id

    def runs(self, dag_id: str, **query: Any) -> list[Json]:
        """Return the runs of a DAG, the oldest first; ``query`` is e.g. ``run_type="backfill"``."""
        found: list[Json] = self.call(
            "GET", f"/dags/{dag_id}/dagRuns", **{"limit": 100, "order_by": "id", **query}
        )["dag_runs"]
        return found

    def run(self, dag_id: str, run_id: str) -> Json:
        found: Json = self.call("GET", _run_path(dag_id, run_id))
        return found

    def delete_run(self, dag_id: str, run_id: str) -> None:
        self.call("DELETE", _run_path(dag_id, run_id))

    def wait_run(self, dag_id: str, run_id: str, state: str | None = "success", timeout: float = 300) -> Json:
        """Wait until a run has ended and return it; it must have ended in ``state``, or anyhow if None."""
        run = self._wait(
            f"run {run_id} of {dag_id} to end",
            lambda: self.run(dag_id, run_id),
            lambda run: run["state"] in ENDED,
            timeout,
            lambda: self.describe(dag_id, run_id),
        )
        if state is not None and run["state"] != state:
            raise AssertionError(f"the run ended as {run['state']}:\n{self.describe(dag_id, run_id)}")
        return run

    def describe(self, dag_id: str, run_id: str) -> str:
        """Return the state of each task of a run and the end of its log, for messages of failed tests."""
        parts = []
        for task in self.tasks(dag_id, run_id):
            log = self.log(dag_id, run_id, task["task_id"], task["try_number"])
            parts.append(f"{task['task_id']} {task['state']} try {task['try_number']}\n{log[-_LOG_END:]}")
        return "\n".join(parts)

    # Task instances.

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        found: list[Json] = self.call("GET", f"{_run_path(dag_id, run_id)}/taskInstances")["task_instances"]
        return found

    def task(self, dag_id: str, run_id: str, task_id: str) -> Json:
        """Return a task instance: ``state``, ``try_number``, ``pid`` and more."""
        found: Json = self.call("GET", f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}")
        return found

    def wait_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        states: Collection[str],
        timeout: float = 300,
        try_number: int | None = None,
    ) -> Json:
        """Wait until a task is in one of ``states`` (in a certain try, if given) and return it."""
        return self._wait(
            f"{dag_id}.{task_id} to be {' or '.join(states)}",
            lambda: self.task(dag_id, run_id, task_id),
            lambda task: task["state"] in states and try_number in (None, task["try_number"]),
            timeout,
            lambda: self.describe(dag_id, run_id),
        )

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[Json]:
        """Return every try of a task so far."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}/tries"
        found: list[Json] = self.call("GET", path)["task_instances"]
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", path, deserialize=False, stringify=False)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> str:
        """Return the log of a try, an event per line; empty when there is none."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        try:
            content = self.call("GET", path, full_content=True)["content"]
        except ApiError as error:
            if error.status == 404:
                return ""
            raise
        return "\n".join(line if isinstance(line, str) else _log_line(line) for line in content)

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as ``failed`` or ``success`` by hand."""
        self.call("PATCH", f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}", {"new_state": state})

    def clear_task(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Press Clear on tasks of a run, or on all of them when none is named."""
        named = {"task_ids": list(task_ids)} if task_ids else {}
        self.call(
            "POST",
            f"/dags/{dag_id}/clearTaskInstances",
            {
                "dry_run": False,
                "dag_run_id": run_id,
                **named,
                "only_failed": False,
                "include_downstream": True,
                "reset_dag_runs": True,
            },
        )

    def clear_partition(self, dag_id: str, partition_key: str) -> None:
        """Clear every run of a partition."""
        body = {"dry_run": False, "partition_key": partition_key}
        self.call("POST", f"/dags/{dag_id}/clearDagRuns", body)

    # Pools.

    def set_pool(self, name: str, slots: int) -> None:
        """Make a pool, or change how many tasks run in it at once; 0 holds them back."""
        try:
            self.call("PATCH", f"/pools/{name}", {"pool": name, "slots": slots, "include_deferred": False})
        except ApiError as error:
            if error.status != 404:
                raise
            self.call("POST", "/pools", {"name": name, "slots": slots})

    # Backfills.

    def backfill(
        self,
        dag_id: str,
        first: str,
        last: str,
        reprocess: str = "none",
        conf: Json | None = None,
        timeout: float = 240,
    ) -> list[Json]:
        """Back-fill the days from ``first`` to ``last`` (ISO dates), wait, and return the runs it made."""
        known = {run["dag_run_id"] for run in self.runs(dag_id)}

        def made() -> list[Json]:
            return [run for run in self.runs(dag_id) if run["dag_run_id"] not in known]

        body = {"dag_id": dag_id, "from_date": f"{first}T00:00:00Z", "to_date": f"{last}T00:00:00Z"}
        more = {"reprocess_behavior": reprocess, "max_active_runs": 8, "dag_run_conf": conf or {}}
        backfill = self.call("POST", "/backfills", {**body, **more})
        self._wait(
            f"the runs of backfill {backfill['id']} of {dag_id} to end",
            made,
            lambda runs: all(run["state"] in ENDED for run in runs),
            timeout,
        )
        # The scheduler notices only every 30 s that nothing is left to do.
        self.call("PUT", f"/backfills/{backfill['id']}/cancel")
        return made()

    # Waiting.

    def _wait(
        self,
        what: str,
        look: Callable[[], Seen],
        good: Callable[[Seen], bool],
        timeout: float,
        explain: Callable[[], str] = str,
    ) -> Seen:
        deadline = time.monotonic() + timeout
        while True:
            seen = look()
            if good(seen):
                return seen
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout:.0f} s for {what}; seen last: {seen}\n{explain()}")
            time.sleep(_POLL_SECONDS)


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _log_line(event: Json) -> str:
    rest = {name: value for name, value in event.items() if name not in _LOG_PLAIN}
    return " ".join([*(str(event.get(name, "")) for name in _LOG_FIRST), str(rest) if rest else ""]).strip()
