"""A whole Airflow on PostgreSQL in a folder of its own: API server, scheduler, DAG processor, triggerer."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from airflow_provider_drivepipe.cli.airflow_home import HOST, USER, AirflowHome
from airflow_provider_drivepipe.cli.postgres import free_port
from tests.system.airflow_api import AirflowApi
from tests.system.component import Component
from tests.system.watchdog import AIRFLOW, RUN

HEALTHY_SECONDS = 180.0
_POLL_SECONDS = 0.2
_PARSE_AGAIN_SECONDS = 3.0

_HEALTH_PARTS = {"scheduler": "scheduler", "triggerer": "triggerer", "dag-processor": "dag_processor"}
"""What the health report calls the components."""

_SETTINGS = {
    "CORE__PARALLELISM": "8",
    "CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    "CORE__MAX_ACTIVE_RUNS_PER_DAG": "64",
    # New files and edits are seen within seconds. Other files are left alone: parsing them takes a core.
    "DAG_PROCESSOR__REFRESH_INTERVAL": "1",
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    # A killed scheduler or triggerer is given up after seconds instead of minutes.
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


@dataclass(frozen=True)
class ImpatientAirflowHome(AirflowHome):
    """An Airflow that looks often, and runs more at once than a person's laptop does."""

    def environment(self) -> dict[str, str]:
        """Return the environment of every Airflow process. It holds secrets: never log it."""
        return {**super().environment(), **{f"AIRFLOW__{name}": value for name, value in _SETTINGS.items()}}


class AirflowCluster:
    """Starts, kills and starts again the four processes of an Airflow; everything listens on loopback only.

    :param folder: of logs, pid files and DAGs.
    :param connection: value of ``AIRFLOW_CONN_DRIVEPIPE_DEFAULT``.
    """

    def __init__(self, folder: Path, connection: str) -> None:
        self.dags = folder / "dags"
        self.dags.mkdir(parents=True)
        self._run = folder / RUN
        self._run.mkdir(parents=True)
        self._home = ImpatientAirflowHome(
            path=folder / AIRFLOW,
            dags=self.dags,
            connections={"AIRFLOW_CONN_DRIVEPIPE_DEFAULT": connection},
            api_port=free_port(),
        )
        self._commands = {
            "api-server": [
                "api-server",
                "--host",
                HOST,
                "--port",
                str(self._home.api_port),
                "--workers",
                "1",
            ],
            "scheduler": ["scheduler", "--skip-serve-logs"],
            "dag-processor": ["dag-processor"],
            "triggerer": ["triggerer", "--skip-serve-logs"],
        }

    @property
    def url(self) -> str:
        """Address of the UI."""
        return self._home.url

    def command(self, *arguments: str) -> list[str]:
        """Return an ``airflow`` command."""
        return self._home.command(*arguments)

    def environment(self) -> dict[str, str]:
        """Return the environment of every Airflow process. It holds secrets: never log it."""
        return self._home.environment()

    def prepare(self) -> None:
        """Make secrets, and the database with its tables."""
        self._home.prepare()
        self.api = AirflowApi(self.url, USER, self._home.password())

    def start(self, *names: str) -> None:
        """Start the components named, or all, and wait until they are healthy."""
        environment = self._home.environment()
        for name in names or self._commands:
            component = self._component(name)
            # What a killed one has left behind, as a service manager would.
            component.end()
            component.start(self._home.command(*self._commands[name]), environment)
        self._wait_until_healthy(names or tuple(self._commands))

    def kill(self, name: str) -> None:
        """End a component with SIGKILL. What it started lives on until the component starts again."""
        self._component(name).kill()

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Let a component and everything that it started stand still inside the ``with`` block."""
        component = self._component(name)
        component.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            component.signal(signal.SIGCONT)

    def listening(self) -> set[str]:
        """Return the addresses on which the components and their children listen."""
        found = set()
        for name in self._commands:
            for process in _tree(self._component(name).pid):
                try:
                    connections = process.net_connections("tcp")
                except psutil.NoSuchProcess:
                    continue
                found |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
        return found

    def airflow(self, *arguments: str) -> str:
        """Run an ``airflow`` command and return what it printed. Raises AssertionError when it fails."""
        done = subprocess.run(
            self._home.command(*arguments),
            env=self._home.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"airflow {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout

    def write_dag(self, file: str, text: str, dag_ids: Iterable[str]) -> None:
        """Write a file below the DAG folder and wait until Airflow serves these DAGs as the file has them."""
        path = self.dags / file
        if path.exists() and path.read_text() == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        before = {dag_id: self._parsed(dag_id) for dag_id in dag_ids}
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text)
        temporary.replace(path)
        for dag_id, parsed in before.items():
            # The first parse to end may have begun before the file was written.
            for _ in range(2 if parsed else 1):
                parsed = self._wait_until_parsed(dag_id, parsed)

    def wait_until_served(self, *dag_ids: str) -> None:
        """Wait until Airflow has loaded DAGs."""
        for dag_id in dag_ids:
            self._wait_until_parsed(dag_id, None)

    def _wait_until_parsed(self, dag_id: str, before: str | None) -> str:
        """Have the DAG files parsed until one parse has ended that ``before`` does not tell of."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        touched = 0.0
        while time.monotonic() < deadline:
            parsed = self._parsed(dag_id)
            if parsed is not None and parsed != before:
                return parsed
            # Also files that are parsed just now, and files that read another one, which was written.
            if time.monotonic() - touched > _PARSE_AGAIN_SECONDS:
                touched = time.monotonic()
                for path in self.dags.glob("*.py"):
                    path.touch()
            errors = self.api.import_errors()
            if errors:
                raise AssertionError(f"DAG {dag_id} is not served:\n" + "\n".join(errors))
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"DAG {dag_id} is not served; see {self._component('dag-processor').log}")

    def _parsed(self, dag_id: str) -> str | None:
        dag = self.api.dag(dag_id)
        return dag["last_parsed_time"] if dag else None

    def _component(self, name: str) -> Component:
        return Component(name, self._run)

    def _wait_until_healthy(self, names: Iterable[str]) -> None:
        parts = {"metadatabase", *(_HEALTH_PARTS[name] for name in names if name in _HEALTH_PARTS)}
        deadline = time.monotonic() + HEALTHY_SECONDS
        said: object = "no answer"
        while time.monotonic() < deadline:
            for name in names:
                component = self._component(name)
                if not component.alive():
                    raise AssertionError(f"Airflow's {name} has ended: {component.log.read_text()[-3000:]}")
            try:
                health = self.api.health()
                said = {part: health.get(part) for part in parts}
                if all(status == "healthy" for status in said.values()):
                    return
            except requests.RequestException as error:
                said = error
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"Airflow is not healthy after {HEALTHY_SECONDS:.0f} s: {said}")


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
