"""``drivepipe demo``: real video files through Airflow to a labelled partition, against the local cloud."""

from __future__ import annotations

import argparse
import fcntl
import json
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.cli import demo_report
from airflow_provider_drivepipe.cli.activity import activity
from airflow_provider_drivepipe.cli.airflow_home import AirflowHome, database_folder, find_dags
from airflow_provider_drivepipe.cli.airflow_log import Progress
from airflow_provider_drivepipe.cli.child import child, signals_as_interrupts
from airflow_provider_drivepipe.cli.components import COMPONENTS, Component
from airflow_provider_drivepipe.cli.demo_data import upload_demo_videos
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.folders import add_folders
from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.cli.postgres import Postgres
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.stages.embed import Embed
from maxcompute_local import lifecycle
from maxcompute_local.clients import oss_client
from maxcompute_local.errors import LocalCloudError
from maxcompute_local.rootlock import is_locked
from maxcompute_local.settings import PROJECT, ServerSettings

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient
    from odps import ODPS

    from airflow_provider_drivepipe.cli.demo_checks import Expected, Found
    from airflow_provider_drivepipe.contracts import OssUri
    from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
    from maxcompute_local.samples.driving_videos import DemoVideo

SCENARIO_FILE = "driving_demo.yaml"
PARTITION = "20261120"


def main(arguments: Sequence[str]) -> int:
    """Run the demo; return 0 when everything is as it must be, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="drivepipe demo",
        description="Run the example DAG in Airflow over drawn driving videos; check and show the result.",
    )
    add_folders(parser)
    options = parser.parse_args(arguments)
    root, home = options.root.absolute(), options.home.absolute()
    with signals_as_interrupts():
        was_running = is_locked(root)
        try:
            with _only_demo(home), _database_of(home):
                dags = find_dags(options.dags, f"scenarios/{SCENARIO_FILE}")
                return _Demo(root, home, dags).run()
        except (CommandError, LocalCloudError) as error:
            print(f"\ndrivepipe demo: {error}", file=sys.stderr)
            return 1
        finally:
            if not was_running:
                lifecycle.down(root)


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


@dataclass
class _Run:
    """What the Airflow run left: its outcome, our own log messages, the whole log."""

    outcome: dict[str, Any]
    messages: list[str]
    log: Path


@dataclass
class _Demo:
    """One run of the demo."""

    root: Path
    home: Path
    dags: Path
    started: float = field(default_factory=time.monotonic)

    def run(self) -> int:
        from airflow_provider_drivepipe.pipelines.loading import load_scenario
        from airflow_provider_drivepipe.pipelines.registry import plan

        steps = plan(load_scenario(self.dags / "scenarios" / SCENARIO_FILE))
        settings = self._start_cloud()
        oss = oss_client(settings)
        videos = self._upload(oss, steps)
        airflow = AirflowHome(self.home, self.dags, connection_json(settings))
        run = self._run_dag(airflow, steps)
        expected, found = self._read_back(settings, oss, steps, videos, run)
        self._show(found, steps, run, self._contact_sheet(settings, oss, steps))
        return self._check(expected, found, settings, airflow, steps)

    def _start_cloud(self) -> ServerSettings:
        self._step("local cloud")
        started = lifecycle.up(self.root)
        how = "runs already" if started.already else "started"
        print(f"  {how}: MaxCompute {started.settings.odps_endpoint}, OSS {started.settings.oss_endpoint}")
        return started.settings

    def _upload(self, oss: OssClient, steps: Plan) -> list[DemoVideo]:
        self._step("videos")
        if steps.bucket is None:
            raise CommandError(f"{SCENARIO_FILE} names no bucket")
        return upload_demo_videos(self.home.parent / "demo-videos", oss, steps.bucket)

    def _run_dag(self, airflow: AirflowHome, steps: Plan) -> _Run:
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
        command = self._run_command(steps, result)
        with (
            activity() as now,
            child(command, environment, signal.SIGINT) as process,
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
        outcome = json.loads(result.read_text("utf-8"))
        for task, lines in progress.of_tasks.items():
            # Where Airflow's UI looks for it: a run in this process writes no logs of tasks.
            task_log = airflow.task_log(steps.dag_id, outcome["run_id"], task)
            task_log.parent.mkdir(parents=True, exist_ok=True)
            task_log.write_text("".join(lines), "utf-8")
        return _Run(outcome, progress.messages, log)

    def _run_command(self, steps: Plan, result: Path) -> list[str]:
        conf = json.dumps({steps.partition.columns[0]: PARTITION})
        module = "airflow_provider_drivepipe.cli.airflow_run"
        arguments = ["--dag-id", steps.dag_id, "--conf", conf, "--result", str(result)]
        return [sys.executable, "-m", module, *arguments]

    def _failure(self, steps: Plan, code: int, progress: Progress, log: Path) -> str:
        said = progress.failure or f"exit code {code}"
        text = f"the run of {steps.dag_id} failed: {said}\nThe whole log: {log}"
        if lifecycle.running(self.root) is None:
            text += (
                f"\nThe local cloud has gone; its log: {lifecycle.log_file(self.root)}. "
                "The same command starts it again and goes on with what is missing."
            )
        return text

    def _read_back(
        self, settings: ServerSettings, oss: OssClient, steps: Plan, videos: list[DemoVideo], run: _Run
    ) -> tuple[Expected, Found]:
        import alibabacloud_oss_v2 as sdk

        from airflow_provider_drivepipe.cli.demo_checks import Expected, Found
        from airflow_provider_drivepipe.contracts import OssUri

        manifest, labels = steps.tasks
        extraction, embedding = labels.find(FrameExtraction), labels.find(Embed)
        assert steps.bucket is not None
        assert extraction is not None
        assert embedding is not None
        partition = f"{steps.partition.columns[0]}={PARTITION}"
        prefix = f"{extraction.frames.frames_prefix}/{partition}/"
        pages = oss.list_objects_v2_paginator().iter_page(
            sdk.ListObjectsV2Request(bucket=steps.bucket, prefix=prefix)
        )
        expected = Expected(
            videos,
            Fraction(extraction.frames.fps or 0),
            embedding.dimension or 0,
            OssUri(settings.oss_endpoint.removeprefix("http://"), steps.bucket),
        )
        logs = {
            str(path): path.read_text("utf-8", errors="replace")
            for path in [run.log, *self.root.rglob("*.log"), *(self.root / "maxframe").rglob("log.txt")]
        }
        found = Found(
            manifest=_rows(settings, manifest, partition),
            labels=_rows(settings, labels, partition),
            xcoms=run.outcome["xcoms"],
            frame_keys=[str(each.key) for page in pages for each in page.contents or []],
            messages=run.messages,
            logs=logs,
        )
        return expected, found

    def _contact_sheet(self, settings: ServerSettings, oss: OssClient, steps: Plan) -> Path:
        """Write the page that ``drivepipe frames`` writes."""
        import alibabacloud_oss_v2 as sdk

        from airflow_provider_drivepipe.cli.contact_sheet import read_sheet, render
        from airflow_provider_drivepipe.scenario.partition import PartitionSpec

        table = _odps(settings).get_table(steps.tasks[-1].output_table.name)

        def query(sql: str) -> list[list[Any]]:
            with _odps(settings).execute_sql(sql).open_reader(tunnel=True) as reader:
                return [list(record.values) for record in reader]

        def read(uri: OssUri) -> bytes:
            return bytes(oss.get_object(sdk.GetObjectRequest(bucket=uri.bucket, key=uri.key)).body.read())

        columns = [column.name for column in table.table_schema.simple_columns]
        partition = PartitionSpec(steps.partition.columns, (PARTITION,))
        sheet = read_sheet(steps.scenario, table.name, columns, partition, query, read)
        page = self.home / f"{steps.scenario}_{PARTITION}.html"
        page.write_text(render(sheet), "utf-8")
        return page

    def _show(self, found: Found, steps: Plan, run: _Run, page: Path) -> None:
        manifest, labels = steps.tasks
        print(f"\nStages of partition {steps.partition.columns[0]}={PARTITION}\n")
        print(demo_report.stage_table(found))
        print()
        print(demo_report.totals(found))
        print("\nWho answered\n")
        print(demo_report.models(found))
        print(f"\nA sample of {labels.output_table.name}\n")
        print(demo_report.sample(found))
        frames = labels.find(FrameExtraction)
        folder = frames.frames.frames_prefix if frames else ""
        print("\nWhere it is\n")
        print(f"  tables   {manifest.output_table.name}, {labels.output_table.name} in project {PROJECT}")
        print(f"  look     {page}")
        print(f"  frames   {self.root / 'oss' / str(steps.bucket) / folder} (bucket {steps.bucket})")
        print(f"  log      {run.log} and {lifecycle.log_file(self.root)}")

    def _check(
        self,
        expected: Expected,
        found: Found,
        settings: ServerSettings,
        airflow: AirflowHome,
        steps: Plan,
    ) -> int:
        from airflow_provider_drivepipe.cli.demo_checks import problems

        frames = steps.tasks[1].find(FrameExtraction)
        paths = [str(self.root), str(self.home), str(self.dags), tempfile.gettempdir() + "/"]
        paths += [frames.oss.mount_path] if frames else []
        secrets = [settings.access_key_secret, settings.control_token, *airflow.secret_values()]
        wrong = problems(expected, found, secrets, paths)
        seconds = time.monotonic() - self.started
        if wrong:
            print(f"\nNot as it must be ({len(wrong)}):\n")
            print("\n".join(f"  {line}" for line in wrong))
            return 1
        print(f"\nEverything is as it must be ({seconds:.0f} s).")
        print(f"\nnext:  {_next_command()}   the same DAG in Airflow's UI")
        return 0

    def _step(self, text: str) -> None:
        print(f"\n{time.monotonic() - self.started:4.0f} s  {text}", flush=True)


def _rows(settings: ServerSettings, step: TaskPlan, partition: str) -> list[dict[str, Any]]:
    table = _odps(settings).get_table(step.output_table.name)
    names = [column.name for column in table.table_schema.simple_columns]
    with table.open_reader(partition=partition) as reader:
        return [{name: record[name] for name in names} for record in reader]


def _odps(settings: ServerSettings) -> ODPS:
    from odps import ODPS

    return ODPS(
        settings.access_key_id,
        settings.access_key_secret,
        project=PROJECT,
        endpoint=settings.odps_endpoint,
        overwrite_global=False,
    )


def _next_command() -> str:
    return "make up" if Path("Makefile").exists() else shlex.join(["drivepipe", "up"])
