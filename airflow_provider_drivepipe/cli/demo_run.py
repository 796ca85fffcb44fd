"""What all demos do: run an example DAG in Airflow over drawn videos, against the local cloud."""

from __future__ import annotations

import argparse
import fcntl
import json
import shlex
import signal
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_drivepipe.cli.activity import activity
from airflow_provider_drivepipe.cli.airflow_home import AirflowHome, database_folder, find_dags
from airflow_provider_drivepipe.cli.airflow_log import Progress
from airflow_provider_drivepipe.cli.child import child, signals_as_interrupts
from airflow_provider_drivepipe.cli.components import COMPONENTS, Component
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.folders import add_folders
from airflow_provider_drivepipe.cli.local import connections
from airflow_provider_drivepipe.cli.postgres import Postgres
from maxcompute_local import lifecycle
from maxcompute_local.clients import odps_client, oss_client
from maxcompute_local.errors import LocalCloudError
from maxcompute_local.rootlock import is_locked
from maxcompute_local.settings import ServerSettings
from maxcompute_local.stats import since

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient
    from odps import ODPS

    from airflow_provider_drivepipe.scenario.plan import Plan

PARTITION = "20261120"


@dataclass(frozen=True)
class DemoRun:
    """A run of the DAG that succeeded, and the cloud that it ran on.

    :param xcoms: by task, then by key.
    :param messages: what our own code logged.
    :param log: the whole log of the run.
    :param logs: that one and those of the local cloud, by file name.
    :param calls: how often models were called meanwhile, as the local cloud counted.
    :param secrets: what must show nowhere.
    :param local_paths: what must show in no row, XCom or message.
    """

    steps: Plan
    settings: ServerSettings
    oss: OssClient
    xcoms: Mapping[str, Mapping[str, Any]]
    messages: Sequence[str]
    log: Path
    logs: Mapping[str, str]
    calls: int
    secrets: Sequence[str]
    local_paths: Sequence[str]

    @property
    def partition(self) -> str:
        """The partition, as ``ds=20261120``."""
        return f"{self.steps.partition.columns[0]}={PARTITION}"

    @property
    def odps(self) -> ODPS:
        """A client of the local MaxCompute."""
        return odps_client(self.settings)

    def rows(self, table_name: str) -> list[dict[str, Any]]:
        """Return the rows of the partition in a table."""
        table = self.odps.get_table(table_name)
        names = [column.name for column in table.table_schema.simple_columns]
        with table.open_reader(partition=self.partition) as reader:
            return [{name: record[name] for name in names} for record in reader]

    def query(self, sql: str) -> list[list[Any]]:
        """Return the rows of a SELECT."""
        with self.odps.execute_sql(sql).open_reader(tunnel=True) as reader:
            return [list(record.values) for record in reader]

    def object(self, key: str) -> bytes:
        """Return the content of an object in the scenario's bucket."""
        import alibabacloud_oss_v2 as sdk

        request = sdk.GetObjectRequest(bucket=self.steps.bucket, key=key)
        return bytes(self.oss.get_object(request).body.read())


class Demo(ABC):
    """One run of a demo.

    :param root: folder of the local cloud.
    :param home: ``AIRFLOW_HOME``.
    :param dags: folder of DAGs, which holds ``scenarios/<scenario_file>``.
    """

    command: ClassVar[str]
    description: ClassVar[str]
    scenario_file: ClassVar[str]
    scenarios_before: ClassVar[Sequence[str]] = ()
    """Files of scenarios that are run first, since this one reads what they write."""

    def __init__(self, root: Path, home: Path, dags: Path) -> None:
        self.root = root
        self.home = home
        self.dags = dags
        self._started = time.monotonic()

    @classmethod
    def main(cls, arguments: Sequence[str]) -> int:
        """Run the demo; return 0 when everything is as it must be, 1 otherwise."""
        parser = argparse.ArgumentParser(prog=f"drivepipe {cls.command}", description=cls.description)
        add_folders(parser)
        options = parser.parse_args(arguments)
        root, home = options.root.absolute(), options.home.absolute()
        with signals_as_interrupts():
            was_running = is_locked(root)
            try:
                with _only_demo(home), _database_of(home):
                    dags = find_dags(options.dags, f"scenarios/{cls.scenario_file}")
                    return cls(root, home, dags).run()
            except (CommandError, LocalCloudError) as error:
                print(f"\ndrivepipe {cls.command}: {error}", file=sys.stderr)
                return 1
            finally:
                if not was_running:
                    lifecycle.down(root)

    @abstractmethod
    def upload(self, oss: OssClient, bucket: str) -> None:
        """Make the videos and put them into the bucket; what is there already stays."""

    def prepare(self, settings: ServerSettings, bucket: str) -> None:  # noqa: B027 - most demos have nothing to do here
        """Make what the scenario reads and no other one writes."""

    @abstractmethod
    def examine(self, run: DemoRun) -> list[str]:
        """Show what came of a run; return a line for everything that is not as it must be."""

    def run(self) -> int:
        """Start, upload, run, show and check; return the exit code."""
        from airflow_provider_drivepipe.pipelines.loading import load_scenario
        from airflow_provider_drivepipe.pipelines.registry import plan

        files = [*self.scenarios_before, self.scenario_file]
        *before, steps = (plan(load_scenario(self.dags / "scenarios" / file)) for file in files)
        settings = self._start_cloud()
        oss = oss_client(settings)
        self._step("videos")
        if steps.bucket is None:
            raise CommandError(f"{self.scenario_file} names no bucket")
        self.upload(oss, steps.bucket)
        airflow = AirflowHome(self.home, self.dags, connections(settings))
        calls = sum(self._run_dag(airflow, settings, oss, each).calls for each in before)
        self.prepare(settings, steps.bucket)
        run = self._run_dag(airflow, settings, oss, steps)
        run = replace(run, calls=run.calls + calls)
        wrong = self.examine(run)
        if wrong:
            print(f"\nNot as it must be ({len(wrong)}):\n")
            print("\n".join(f"  {line}" for line in wrong))
            return 1
        print(f"\nEverything is as it must be ({time.monotonic() - self._started:.0f} s).")
        print(f"\nnext:  {_next_command()}   the same DAG in Airflow's UI")
        return 0

    def _start_cloud(self) -> ServerSettings:
        self._step("local cloud")
        started = lifecycle.up(self.root)
        how = "runs already" if started.already else "started"
        print(f"  {how}: MaxCompute {started.settings.odps_endpoint}, OSS {started.settings.oss_endpoint}")
        return started.settings

    def _run_dag(
        self, airflow: AirflowHome, settings: ServerSettings, oss: OssClient, steps: Plan
    ) -> DemoRun:
        self._step(f"Airflow: DAG {steps.dag_id}, partition {PARTITION}")
        with activity() as now:
            now.say("making Airflow's database")
            airflow.prepare()
        airflow.logs.mkdir(exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        log = airflow.logs / f"demo-{stamp}.jsonl"
        result = airflow.path / "demo-result.json"
        result.unlink(missing_ok=True)
        progress = Progress()
        environment = {**airflow.environment(), "AIRFLOW__LOGGING__JSON_LOGS": "True"}
        counted = lifecycle.stats(self.root)
        with (
            activity() as now,
            child(_run_command(steps, result), environment, signal.SIGINT) as process,
            log.open("w", buffering=1) as file,
        ):
            now.say("starting Airflow")
            for line in process.stdout or ():
                file.write(line)
                shown = progress.read(line)
                if shown:
                    print(shown, flush=True)
                    now.say(shown.partition(" in session")[0].strip())
            process.wait()
        if process.returncode != 0:
            raise CommandError(self._failure(steps, process.returncode, progress, log))
        counts = since(counted, lifecycle.stats(self.root))
        outcome = json.loads(result.read_text("utf-8"))
        for task, lines in progress.of_tasks.items():
            # Where Airflow's UI looks for it: a run in this process writes no logs of tasks.
            task_log = airflow.task_log(steps.dag_id, outcome["run_id"], task)
            task_log.parent.mkdir(parents=True, exist_ok=True)
            task_log.write_text("".join(lines), "utf-8")
        cloud_logs = [*self.root.rglob("*.log"), *(self.root / "maxframe").rglob("log.txt")]
        return DemoRun(
            steps,
            settings,
            oss,
            outcome["xcoms"],
            progress.messages,
            log,
            {str(path): path.read_text("utf-8", errors="replace") for path in (log, *cloud_logs)},
            sum(counts.get(f"model.{kind}", 0) for kind in ("chat", "embed", "draw")),
            [settings.access_key_secret, settings.control_token, *airflow.secret_values()],
            [str(self.root), str(self.home), str(self.dags), tempfile.gettempdir() + "/"],
        )

    def _failure(self, steps: Plan, code: int, progress: Progress, log: Path) -> str:
        said = progress.failure or f"exit code {code}"
        text = f"the run of {steps.dag_id} failed: {said}\nThe whole log: {log}"
        if lifecycle.running(self.root) is None:
            text += (
                f"\nThe local cloud has gone; its log: {lifecycle.log_file(self.root)}. "
                "The same command starts it again and goes on with what is missing."
            )
        return text

    def _step(self, text: str) -> None:
        print(f"\n{time.monotonic() - self._started:4.0f} s  {text}", flush=True)


@contextmanager
def _database_of(home: Path) -> Iterator[None]:
    """Stop Airflow's database in the end, a killed demo's too, unless ``up`` serves this home."""
    try:
        yield
    finally:
        if all(Component(name, home / "run").note() is None for name in COMPONENTS):
            Postgres(database_folder(home)).stop()


@contextmanager
def _only_demo(home: Path) -> Iterator[None]:
    """Keep a second demo out of the same folders; raise CommandError when this is the second."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"another demo is running in {home}; wait for it, or name a --home") from None
        yield


def _run_command(steps: Plan, result: Path) -> list[str]:
    conf = json.dumps({steps.partition.columns[0]: PARTITION})
    module = "airflow_provider_drivepipe.cli.airflow_run"
    arguments = ["--dag-id", steps.dag_id, "--conf", conf, "--result", str(result)]
    return [sys.executable, "-m", module, *arguments]


def _next_command() -> str:
    return "make up" if Path("Makefile").exists() else shlex.join(["drivepipe", "up"])
